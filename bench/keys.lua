-- SPDX-License-Identifier: Apache-2.0
-- Arguments: how many keys, and "turn" or "random". X-Key of each request is one of them. The requests are made once.
require "report"
local requests, at, count, random = {}, 0, 0, false
function init(args)
  count, random = tonumber(args[1]), args[2] == "random"
  for i = 0, count - 1 do
    requests[i] = string.format("GET %s HTTP/1.1\r\nHost: %s\r\nX-Key: %07d\r\n\r\n", wrk.path, wrk.headers["Host"], i)
  end
end
function request()
  at = random and math.random(0, count - 1) or (at + 1) % count
  return requests[at]
end
