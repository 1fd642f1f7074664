#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Memory that must not grow: an idle keep-alive connection costs under 0.8 KiB, and reloads leave nothing behind."""
import resource
from lib.goma import *

if SLOW > 1:
    skip_all("the sanitizers keep memory of their own")
COUNT = 4000
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
if hard != resource.RLIM_INFINITY and hard < COUNT + 200:
    skip_all(f"the descriptor limit is {hard}")
resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, COUNT + 200), hard))
origin = Origin()
goma = Goma([route("/", origin)], workers=1, log={"level": "error"})
worker = goma.worker_pids()[0]


def fill(count):
    clients = [goma.client() for _ in range(count)]
    for client in clients:
        client.get("/")
    return clients


first = fill(200)
before = resident(worker)
clients = fill(COUNT)
each = (resident(worker) - before) / COUNT
expect(each <= 0.8, f"{COUNT} idle connections cost at most 0.8 KiB each", round(each, 3))
same({c.get("/").status for c in clients[::50]}, {200}, "and are alive")
for client in clients + first:
    client.close()
expect(wait_for(lambda: descriptors(worker) < 60), "they end with their clients", descriptors(worker))


def reloads(count):
    for _ in range(count):
        code, out = goma.reload()
        if code:
            expect(False, "reload", out)
    return resident(worker)


routes = [route(f"/r{i}", origin) for i in range(500)]
goma.configure(routes, log={"level": "error"})
settled = max(reloads(15), reloads(30))  # the heap finds its size; a leak would go on growing
after = reloads(30)
expect(after <= settled * 1.05 + 64, "30 reloads of 500 routes leave no memory behind", f"{settled} KiB, then {after} KiB")
