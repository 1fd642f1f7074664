-- SPDX-License-Identifier: Apache-2.0
-- POST with a body of 8 KiB.
require "report"
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/octet-stream"
wrk.body = string.rep("0123456789abcdef", 512)
