-- SPDX-License-Identifier: Apache-2.0
-- Plain GET requests; what wrk found out, as one line for lab.py. Nothing is called per request.
function done(summary, latency)
  local e = summary.errors
  print(string.format('REPORT {"requests": %d, "seconds": %.6f, "bad": %d, "errors": %d, "p50": %.3f, "p99": %.3f, "max": %.3f}',
    summary.requests, summary.duration / 1e6, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency.max / 1000))
end
