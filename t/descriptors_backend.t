#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""No descriptor is left for a connection to a backend: the client hears 503, the backend is not blamed, a backend that has
a connection is asked instead, and all is well when there are descriptors again."""
import resource
from lib.goma import *

if SLOW > 1:
    skip_all("the sanitizers need descriptors of their own to look at memory")
kept, other = Origin(lambda r: Reply(200, body="kept")), Origin(lambda r: Reply(200, body="other"))
goma = Goma([route("/kept", kept, "kept"), route("/other", other, "other"), route("/both", [(other, 10_000), (kept, 1)], "both")],
            workers=1, args=["-g", "user root"] if os.geteuid() == 0 else [],  # whose limits this process may change
            networking={"passiveHealthCheck": {"maxFails": 1, "ejectFor": "1h"}}, monitoring={"enableMetrics": True})
worker = goma.worker_pids()[0]
client = goma.client()
same(client.get("/kept").text, "kept", "one backend has a connection that is kept")
limits = resource.prlimit(worker, resource.RLIMIT_NOFILE)
used = {int(fd) for fd in os.listdir(f"/proc/{worker}/fd")}
resource.prlimit(worker, resource.RLIMIT_NOFILE, (min(set(range(len(used) + 1)) - used), limits[1]))

same(client.get("/other").status, 503, "a request for which no connection can be made is answered with 503")
same(client.get("/both").text, "kept", "another backend that has one is asked instead")
expect(re.search(r'upstream_error"?[=:]\s?"?exhausted', goma.told("exhausted")), "the access line has the word", goma.output[-2000:])
expect(goma.told("no means for a connection to a backend"), "and the log says what is missing")
same(client.get("/other").status, 503, "once more")

resource.prlimit(worker, resource.RLIMIT_NOFILE, limits)
same(client.get("/other").text, "other", "with descriptors the backend, of which one failure is enough, is asked at once")
metrics = goma.metrics()
same([value for name, value in metrics.items() if name.startswith("goma_backend_errors_total") and "exhausted" in name], [3.0], "what failed is counted by its word") or note(metrics)
same([name for name, value in metrics.items() if name.startswith("gateway_backend_ejections_total") and value], [], "no backend was left out")
