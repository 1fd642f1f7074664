#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Responses that hosts share through Redis: fetched once for all, served by all, purged everywhere; without Redis every
host goes on by itself."""
import json
import threading
from lib.goma import *
from lib.redis import RedisServer

time_limit(180)
count, lock, held = {}, threading.Lock(), threading.Event()
held.set()


def answer(request):
    path = request.target.split("?")[0]
    with lock:
        count[path] = count.get(path, 0) + 1
        n = count[path]
    if path.startswith("/cold"):
        held.wait(PATIENCE)
    headers = {"Content-Type": "text/plain", "Cache-Control": "max-age=300"}
    if path == "/private":
        headers["Cache-Control"] = "private"
    if path.startswith("/tagged"):
        headers["Cache-Tag"] = "blue, green"
    if path == "/vary":
        headers["Vary"] = "X-Lang"
        return Reply(200, headers=headers, body=f"{request.headers.get('X-Lang')} {n}")
    return Reply(200, headers=headers, body=("x" * 20_000 if path == "/long" else "") + f"{path} {n}")


origin = Origin(answer)
redis = RedisServer(args=["enable-debug-command yes"])


def host(workers=2):
    return Goma([route("/", origin, "main", middlewares=["cache"])], [{**middleware("cache", "httpCache", {"memoryLimit": "8Mi", "purgeToken": "s3cret"}), "paths": ["/"]}],
                workers=workers, redis={"addr": redis.address}, monitoring={"enableMetrics": True}, log={"level": "warn"})


hosts = [host() for _ in range(3)]
for goma in hosts:
    expect(wait_for(lambda: goma.ctl_json("redis")["knowsPurges"]), "Redis is used")


def everywhere(path, **fields):
    return [goma.get(path, fields) for goma in hosts]


def told(replies):
    return [(r["X-Cache-Status"], r.text[-20:]) for r in replies]


# --- one fetch, three hosts

same(told(everywhere("/a")), [("MISS", "/a 1"), ("HIT", "/a 1"), ("HIT", "/a 1")], "what one host fetched the others serve")
first, second = hosts[0].get("/long"), hosts[1].get("/long")
same((second["X-Cache-Status"], second.text == first.text, second["Content-Type"], second["Cache-Control"]), ("HIT", True, "text/plain", "max-age=300"), "with its fields, also when it was deflated")
same(told(everywhere("/vary", **{"X-Lang": "de"}))[1:], [("HIT", "de 1"), ("HIT", "de 1")], "a variant is found")
same(told(everywhere("/vary", **{"X-Lang": "fr"})), [("MISS", "fr 2"), ("HIT", "fr 2"), ("HIT", "fr 2")], "and another one is another")
same([r.text for r in everywhere("/private")], ["/private 1", "/private 2", "/private 3"], "what is private is nobody else's")

# --- many clients, one key, nothing stored yet

held.clear()
statuses = []


def ask(goma):
    reply = goma.get("/cold")
    with lock:
        statuses.append((reply.status, reply.text))


clients = [threading.Thread(target=ask, args=(hosts[i % 3],)) for i in range(1000 if LONG else 150)]
for client in clients:
    client.start()
wait_for(lambda: count.get("/cold"))
time.sleep(0.3)         # the others have come meanwhile, or come later and find it
held.set()
for client in clients:
    client.join()
same((set(statuses), len(statuses), count["/cold"]), ({(200, "/cold 1")}, len(clients), 1), "many clients on three hosts: one request to the backend")

# --- purges

for what, path, order in [("a URL", "/a", ["url", "http://a.test/a"]), ("a prefix", "/p/q/r", ["prefix", "a.test/p/"]), ("a tag", "/tagged/1", ["tag", "green"]), ("all", "/b", ["all"])]:
    everywhere(path)
    before = count[path]
    begun = time.monotonic()
    code, out, err = hosts[0].ctl("cache", "purge", *order)
    same((code, "on all hosts" in out), (0, True), f"{what} is purged") or note(out + err)
    expect(wait_for(lambda: hosts[2].get(path).text != f"{path} {before}"), f"{what}: gone on another host")
    note(f"{what}: gone after {(time.monotonic() - begun) * 1000:.0f} ms, gomactl included")
    expect(wait_for(lambda: len({r.text for r in everywhere(path)}) == 1), f"{what}: all hosts have the new one", told(everywhere(path)))
same(hosts[0].ctl("cache", "purge", "nothing")[0], 2, "a purge of nothing is bad usage")

everywhere("/g")
before = [hosts[0].request("PURGE", "/g", {"Authorization": word}).status for word in ("Bearer wrong", "Bearer ", "Bearer s3cre", "Basic s3cret")]
same((before, [s for s, _ in told(everywhere("/g"))]), ([403] * 4, ["HIT"] * 3), "who does not know the token purges nothing")
reply = hosts[1].request("PURGE", "/g", {"Authorization": "Bearer s3cret"})
same((reply.status, json.loads(reply.text)), (200, {"purged": "url a.test/g"}), "who knows it purges by request")
expect(wait_for(lambda: hosts[0].get("/g").text == "/g 2"), "on every host")
everywhere("/tagged/2")
hosts[1].request("PURGE", "/", {"Authorization": "Bearer s3cret", "X-Purge": "tag blue"})
expect(wait_for(lambda: hosts[0].get("/tagged/2").text == "/tagged/2 2"), "a tag as well")
same(hosts[1].request("PURGE", "/", {"Authorization": "Bearer s3cret", "X-Purge": "url x"}).status, 400, "and what is none of it is bad")

# --- the channel is cut: the stream tells

everywhere("/c")
redis.cli("ACL", "SETUSER", "default", "resetchannels")
redis.cli("CLIENT", "KILL", "TYPE", "pubsub")
begun = time.monotonic()
hosts[0].ctl("cache", "purge", "url", "a.test/c")
expect(wait_for(lambda: hosts[2].get("/c").text == "/c 2"), "a purge that was not heard is read", told(everywhere("/c")))
note(f"gone after {time.monotonic() - begun:.1f} s")
expect(time.monotonic() - begun < 4 * SLOW, "within the two seconds that are promised, and a little")
redis.cli("ACL", "SETUSER", "default", "allchannels")

# --- a lease that nobody waits for any more is given back

def leases():
    return [k for k in redis.cli("KEYS", "goma:cache:*") if k.endswith(":lease")]


redis.cli("CLIENT", "PAUSE", "150", "ALL")
same(hosts[0].get("/slow-store").status, 200, "a store that does not answer in time is not waited for")
expect(wait_for(lambda: redis.cli("PING")) and wait_for(lambda: not leases(), 2), "what it answered later is given back", leases())
sleeper = threading.Thread(target=redis.cli, args=("DEBUG", "SLEEP", "0.04"))
sleeper.start()
client = hosts[0].client()
client.send(b"GET /left HTTP/1.1\r\nHost: a.test\r\n\r\n")
client.close()
sleeper.join()
expect(wait_for(lambda: not leases(), 2), "and so is that of a client who left", leases())

# --- Redis away, and full

redis.kill()
same(sorted(told(everywhere("/d"))), sorted([("MISS", "/d 1"), ("MISS", "/d 2"), ("MISS", "/d 3")]), "without Redis every host fetches for itself")
same([s for s, _ in told(everywhere("/d"))], ["HIT"] * 3, "and serves what it has")
redis.start()
for goma in hosts:
    expect(wait_for(lambda: goma.ctl_json("redis")["usable"] and goma.ctl_json("redis")["knowsPurges"]), "Redis is used again")
redis.cli("CONFIG", "SET", "maxmemory", "1")
same([r.status for r in everywhere("/e")], [200] * 3, "a full Redis costs no request")
redis.cli("CONFIG", "SET", "maxmemory", "0")
key = [k for k in redis.cli("KEYS", "goma:cache:*") if not k.endswith("lease")]
hosts[0].get("/f")
for k in redis.cli("KEYS", "goma:cache:*"):
    redis.cli("SET", k, "nonsense")
same((hosts[1].get("/f").status, hosts[1].get("/f")["X-Cache-Status"]), (200, "HIT"), "a value that is none is fetched anew")
