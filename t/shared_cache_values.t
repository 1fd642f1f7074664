#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What hosts put into Redis for each other: small where that pays, never without an end, and nothing that cannot be read back.
What is too large for it stays whole on its host, or passes without being held."""
import threading
from lib.goma import *
from lib.redis import RedisServer

time_limit(60)
TEXT = "".join(f"a line with the number {n}\n" for n in range(9_000)).encode()
NOISE = os.urandom(200_000)
BODIES = {"/text": TEXT, "/noise": NOISE, "/half": TEXT[:100_000], "/small": b"x" * 100, "/above": NOISE * 2, "/huge": NOISE * 90, "/fits": NOISE * 60}
lock, count = threading.Lock(), {}
GIB = 1 << 30


def stream(connection):
    block = os.urandom(1 << 20)
    connection.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(GIB >> 20):
        connection.send(b"100000\r\n" + block + b"\r\n")
    connection.send(b"0\r\n\r\n")


def answer(request):
    with lock:
        count[request.target] = count.get(request.target, 0) + 1
    head = {"Cache-Control": "max-age=99999999", "Content-Type": "text/plain", "Cache-Tag": "t"}
    if request.target.startswith("/stream"):
        return stream(request.connection)
    return Reply(200, head, BODIES[request.target])


origin, redis = Origin(answer), RedisServer()


def host(**rule):
    return Goma([route("/", origin, "main", middlewares=["cache"])], [middleware("cache", "httpCache", {"memoryLimit": "1Gi", "purgeToken": "s3cret", **rule}, paths=["/"])],
                workers=1, redis={"addr": redis.address, "timeout": "2s"}, log={"level": "warn"})


def values():
    return {k: int(redis.cli("STRLEN", k)) for k in redis.cli("KEYS", "goma:cache:*") if not k.endswith(":lease")}


hosts = [host(), host()]
for goma in hosts:
    expect(wait_for(lambda: goma.ctl_json("redis")["knowsPurges"]), "Redis is used")

# --- what pays is deflated, up to what is shared at all

for path, low, high in (("/text", 1, len(TEXT) // 3), ("/half", 1, 33_000), ("/noise", 200_000, 201_000), ("/small", 100, 600)):
    before = set(values())
    first = hosts[0].get(path)
    new = wait_for(lambda: set(values()) - before)
    sizes = [values()[k] for k in new]
    expect(len(sizes) == 1 and low <= sizes[0] <= high, f"{path}: {len(BODIES[path])} bytes lie in Redis with {low} to {high}", sizes)
    other = hosts[1].get(path)
    same((other["X-Cache-Status"], other.body == BODIES[path], count[path]), ("HIT", True, 1), f"{path}: the other host has it from there, whole")
before = values()
same((hosts[0].get("/above").body == BODIES["/above"], hosts[0].get("/above")["X-Cache-Status"], values()), (True, "HIT", before), "above sharedMaxEntrySize it stays on its host")

# --- every key ends

same(hosts[0].request("PURGE", "/", {"Authorization": "Bearer s3cret", "X-Purge": "tag t"}).status, 200, "a purge")
expect(wait_for(lambda: redis.cli("EXISTS", "goma:purges:log") == 1), "is kept")
hosts[1].get("/text")
lives = {k: int(redis.cli("PTTL", k)) for k in redis.cli("KEYS", "goma:*")}
expect(len(lives) > 4 and min(lives.values()) > 0, "every key of the cache has an end", lives)
values_live = max(v for k, v in lives.items() if k.startswith("goma:cache:"))
expect(values_live < lives["goma:purges:log"], "and what was purged is known for longer than what is stored lives", lives)

# --- what Redis could not give back in one piece

wide = [host(sharedMaxEntrySize="64Mi"), host(sharedMaxEntrySize="64Mi")]
for goma in wide:
    expect(wait_for(lambda: goma.ctl_json("redis")["knowsPurges"]), "Redis is used")
got = [wide[0].get("/fits"), wide[1].get("/fits")]
same([(r["X-Cache-Status"], r.body == BODIES["/fits"]) for r in got], [("MISS", True), ("HIT", True)], "12 MB are shared where the operator says so")
before = values()
got = [wide[0].get("/huge"), wide[0].get("/huge"), wide[1].get("/huge")]
same([(r["X-Cache-Status"], r.body == BODIES["/huge"]) for r in got], [("MISS", True), ("HIT", True), ("MISS", True)], "18 MB stay whole on their host")
same((values(), [g.ctl_json("redis")["usable"] for g in wide]), (before, [True, True]), "and no connection to Redis was lost over them")

# --- 1 GiB passes

before = [resident(p) for p in wide[0].worker_pids()]
peak = []
done = threading.Event()


def watch():
    while not done.wait(0.05):
        peak.append(max(resident(p) for p in wide[0].worker_pids()))


watcher = threading.Thread(target=watch, daemon=True)
watcher.start()
sizes = [subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{size_download}", "http://%s:%s/stream" % wide[0].address], capture_output=True, text=True).stdout for _ in range(2)]
done.set()
watcher.join()
same((sizes, count["/stream"]), ([str(GIB)] * 2, 2), "1 GiB passes whole, and is not stored")
expect(max(peak) - max(before) < 8 << 10, "and never lies in memory as a whole", (before, max(peak)))
