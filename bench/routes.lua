-- SPDX-License-Identifier: Apache-2.0
-- Arguments: how many routes to ask in turn, and the distance between two. The requests are made once.
require "report"
local requests, at, count = {}, 0, 0
function init(args)
  local step = tonumber(args[2] or 1)
  count = tonumber(args[1])
  for i = 0, count - 1 do
    requests[i] = wrk.format("GET", string.format("/api/v1/svc-%d/items/42", i * step))
  end
end
function request()
  at = (at + 1) % count
  return requests[at]
end
