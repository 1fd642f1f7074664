-- SPDX-License-Identifier: Apache-2.0
-- A new connection for every request.
require "report"
wrk.headers["Connection"] = "close"
