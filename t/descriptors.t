#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""H80: when descriptors run out a new client hears 503 at once, nothing spins, and service is back when some are free."""
import resource
from lib.goma import *

if SLOW > 1:
    skip_all("the sanitizers need descriptors of their own to look at memory")
origin = Origin()
LIMIT = 80


def preexec():
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT))


goma = Goma([route("/", origin)], workers=1, preexec=preexec, log={"level": "off"})
worker = goma.worker_pids()[0]


def cpu():
    fields = stat_of(worker)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


held = []
for _ in range(LIMIT + 40):
    client = goma.client(timeout=3 * SLOW)
    client.request("GET", "/", read=False)
    held.append(client)
got = []
for client in held:
    try:
        got.append(client.outcome())
    except Timeout:
        got.append("timeout")
expect(set(got) <= {200, 503}, "everybody is answered, and nobody hears that a backend is bad", sorted({str(g): got.count(g) for g in got}.items()))
expect(200 in got, "those before the limit are served")
began = time.monotonic()
client = goma.client()
first = client.request("GET", "/")
took = time.monotonic() - began
expect(first.status == 200 and took < 0.1 * SLOW, "a new client is served within 100 ms: an idle one gives way", (first.status, took))
spent, began = cpu(), time.monotonic()
wait_for(lambda: time.monotonic() - began > 0.5, 1)
expect(cpu() - spent < 0.2, "the worker does not spin", cpu() - spent)
for client in held:
    client.close()
began = time.monotonic()
expect(wait_for(goma.canary, 3 * SLOW) and time.monotonic() - began < 1 * SLOW, "service is back within a second", time.monotonic() - began)
origin.drop()           # what the pool keeps is no leak
expect(wait_for(lambda: descriptors(worker) <= goma.baseline[worker] + 6, 4 * SLOW), "and the descriptors as well", links(worker))

idle = Goma([route("/", origin)], workers=1, networking={"maxConnections": 10}, log={"level": "off"})
held = [idle.client() for _ in range(10)]
same([c.get("/").status for c in held], [200] * 10, "maxConnections clients are served")
expect(idle.canary(), "one more is served too: an idle connection gives way")

few = Goma([route("/", origin)], workers=1, networking={"maxConnectionsPerAddress": 3}, log={"level": "off"})
held = [few.client() for _ in range(3)]
same([c.get("/").status for c in held], [200] * 3, "maxConnectionsPerAddress connections of one address are served")
same(few.client().get("/").status, 503, "one more is turned away")
held.pop().close()
expect(wait_for(lambda: few.client().get("/").status == 200, 3 * SLOW), "until one of them has gone")
