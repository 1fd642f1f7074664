#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Backend connections are bounded by maxConnsPerHost; more requests wait in a bounded queue for a bounded time."""
import threading
from lib.goma import *

gate = threading.Event()
origin = Origin(lambda r: (gate.wait(20 * SLOW) if "slow" in r.target else None, Reply(200, body="ok"))[1])
goma = Goma([route("/", origin)], workers=1, log={"level": "error"},
            networking={"transport": {"maxConnsPerHost": 2, "maxIdleConnsPerHost": 1, "idleConnTimeout": 1}, "queue": 3, "queueTimeout": 2, "connectTimeout": 1})


def ask(target="/slow"):
    client = goma.client()
    client.request("GET", target, read=False)
    return client


clients = [ask() for _ in range(5)]
expect(origin.wait(lambda o: len(o.requests) == 2), "two requests are at the backend")
extra = ask()
got = extra.outcome()
same(got, 503, "one more than the queue holds is 503 at once")
same((origin.connections, len(origin.requests)), (2, 2), "no third connection was made")
gate.set()
same([c.outcome() for c in clients], [200] * 5, "those waiting are served in the end")
same(origin.connections, 2, "through the same two connections")
expect(origin.wait(lambda o: len(o.open) <= 1), "one idle connection at most is kept")
expect(origin.wait(lambda o: not o.open, 6 * SLOW), "and closed after idleConnTimeout")
gate.clear()
clients = [ask() for _ in range(3)]
origin.wait(lambda o: len(o.open) == 2)
began = time.monotonic()
got = clients[2].outcome()
expect(got == 504 and time.monotonic() - began < 5 * SLOW, "who waits longer than queueTimeout is told so", got)
left = ask()
left.close()
gate.set()
same([c.outcome() for c in clients[:2]], [200, 200], "the others are not harmed")
same(goma.get("/").status, 200, "nor the next, after a waiting client left")

gate.clear()
goma.configure([route("/", origin)], log={"level": "error"}, networking={"transport": {"maxConnsPerHost": 2}, "queue": 3, "queueTimeout": 0})
same(goma.reload()[0], 0, "a reload with queueTimeout 0")
clients = [ask() for _ in range(2)]
expect(wait_for(lambda: sum("slow" in r.target for r in origin.requests[-2:]) == 2), "two requests are at the backend")
began = time.monotonic()
got = ask().outcome()
expect(got == 504 and time.monotonic() - began < SLOW, "queueTimeout 0: nobody waits", (got, time.monotonic() - began))
gate.set()
same([c.outcome() for c in clients], [200, 200], "the two are served")
