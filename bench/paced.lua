-- SPDX-License-Identifier: Apache-2.0
-- Every connection waits 10 to 30 ms before each request: about 50 requests per second and connection. Far from
-- saturation, latency tells what a reload does, not how fast the machine is.
require "routes"
function delay()
  return math.random(10, 30)
end
