#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Everything at once on a small store: paths, variants, sizes, validation, unsafe methods, clients that leave, a reload
and a killed worker. Whatever a client gets whole is the response to its own question, byte for byte."""
import random
import threading
from lib.goma import *
from lib.cache import *

SECONDS = 20 if LONG else 4
PATHS, KINDS = 120, ("a", "b", "c")
serials = {}
lock = threading.Lock()


def body_of(path, kind, serial):
    """Different in every piece, so that no mixture of two passes for one of them."""
    seed = f"{path} {kind} {serial} "
    size = random.Random(f"{path}{serial}").choice((0, 1, 100, 3000, 65535, 65536, 70000, 200000))
    return (seed * (size // len(seed) + 1))[:size].encode() if size else b""


def handle(request):
    path, kind = request.target, request["X-Kind"]
    with lock:
        serial = serials.setdefault(path, 1)
        if request.method == "POST":
            serials[path] += 1
            return Reply(204)
    tag = f'"{path} {kind} {serial}"'
    fields = [("Cache-Control", "max-age=1, stale-while-revalidate=1"), ("Vary", "X-Kind"), ("ETag", tag), ("X-Is", f"{path} {kind} {serial}"), ("Date", http_date())]
    if request["If-None-Match"] == tag:
        return Reply(304, fields)
    if int(path[2:]) % 10 == 0:
        fields[0] = ("Cache-Control", "private")
    body = body_of(path, kind, serial)
    return Reply(200, fields, chunks=[body[:1000], body[1000:]]) if int(path[2:]) % 3 == 0 else Reply(200, fields, body)


origin = Origin(handle)
goma = Goma([route("/", origin, name="all", middlewares=["cache"])], [cache(memoryLimit="8Mi")], monitoring={"enableMetrics": True}, log={"level": "warn"})
wrong, counts, stop = [], {}, threading.Event()


def judge(path, kind, answer):
    if not answer.complete:     # the killed worker's
        return None
    with lock:
        counts[status(answer)] = counts.get(status(answer), 0) + 1
    if answer.status not in (200, 204):
        return wrong.append((path, kind, answer.status))
    if answer.status == 204:
        return None
    told = (answer["X-Is"] or "  ").split(" ")
    if told[:2] != [path, kind] or answer.body != body_of(path, kind, told[2]):
        wrong.append((path, kind, answer["X-Is"], status(answer), len(answer.body), answer.body[:80]))
    return None


def client(number):
    mind, connection = random.Random(number), None
    while not stop.is_set():
        path, kind = f"/p{int(mind.paretovariate(0.5)) % PATHS}", mind.choice(KINDS)
        method = "POST" if mind.random() < 0.02 else "GET"
        try:
            connection = connection or goma.client()
            connection.send(f"{method} {path} HTTP/1.1\r\nHost: a.test\r\nX-Kind: {kind}\r\n" + ("Content-Length: 0\r\n" if method == "POST" else "") + "\r\n")
            if mind.random() < 0.05:
                connection.close()
                connection = None
                continue
            judge(path, kind, connection.response(method))
        except (OSError, Closed, Timeout):
            connection = None


threads = [threading.Thread(target=client, args=(n,), daemon=True) for n in range(8)]
for thread in threads:
    thread.start()
began = time.monotonic()
wait_for(lambda: time.monotonic() - began > SECONDS / 3)
same(goma.reload()[0], 0, "the configuration is read again meanwhile")
wait_for(lambda: time.monotonic() - began > SECONDS * 2 / 3)
victim = goma.worker_pids()[0]
os.kill(victim, signal.SIGKILL)
goma.baseline = {}
wait_for(lambda: len(goma.worker_pids()) == 2 and victim not in goma.worker_pids() and all(alive(p) for p in goma.worker_pids()))
wait_for(lambda: time.monotonic() - began > SECONDS)
stop.set()
for thread in threads:
    thread.join(PATIENCE)
same(wrong[:3], [], "every client got the response to its own question, whole")
expect(counts.get("HIT", 0) > 20 and counts.get("MISS", 0) > 20, "from the store and from the backend", counts)
expect(counts.get("STALE", 0) + counts.get("REVALIDATED", 0) > 0, "and what was stored was validated", counts)
note(f"{counts}, evicted {goma.metrics()['goma_cache_evicted_total']}")
