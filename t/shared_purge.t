#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A purge reaches what is being fetched, on every host: what counts is when the backend was asked. Hosts agree afterwards,
for one or two requests to the backend."""
import itertools
import random
import threading
from lib.goma import *
from lib.redis import RedisServer

TRIALS = 1000 if os.environ.get("GOMA_LONG") else 24
time_limit(900 if os.environ.get("GOMA_LONG") else 120)
LATEST = 2 if os.environ.get("GOMA_LONG") else 0.15     # seconds after the purge until the content arrives
lock, asked, version, gates = threading.Lock(), {}, {}, {}


def answer(request):
    """The content as it is when the request comes; it may arrive much later."""
    with lock:
        asked[request.target] = asked.get(request.target, 0) + 1
        body, gate = f"{version.get(request.target, 0)}", gates.get(request.target)
    if gate:
        gate.wait(PATIENCE)
    return Reply(200, {"Cache-Control": "max-age=300", "Cache-Tag": request.target.strip("/").replace("/", "-")}, body)


origin, redis = Origin(answer), RedisServer()
hosts = [Goma([route("/", origin, "main", middlewares=["cache"])],
              [middleware("cache", "httpCache", {"memoryLimit": "8Mi", "purgeToken": "s3cret"}, paths=["/"])],
              workers=2, redis={"addr": redis.address}, log={"level": "warn"}) for _ in range(3)]
for goma in hosts:
    expect(wait_for(lambda: goma.ctl_json("redis")["knowsPurges"]), "a host has read the purges")


def order(kind, path):
    """What is purged, as gomactl is told it and as a request says it."""
    tag = path.strip("/").replace("/", "-")
    return {"url": (["url", "a.test" + path], path, None), "prefix": (["prefix", "a.test" + path], path, "prefix"),
            "tag": (["tag", tag], "/", "tag " + tag), "all": (["all"], "/", "all")}[kind]


def purge(goma, kind, path, by_request):
    words, target, field = order(kind, path)
    if not by_request:
        return goma.ctl("cache", "purge", *words)[0] == 0
    fields = {"Authorization": "Bearer s3cret", **({"X-Purge": field} if field else {})}
    return goma.request("PURGE", target, fields).status == 200


def one(number, kind, by_request, held):
    """Old contents that were served after the purge was answered, and what hosts say in the end."""
    path = f"/{kind}/{number}" + ("/" if kind == "prefix" else "")
    order_host, fetch_host = hosts[number % 3], hosts[number // 3 % 3]
    gate = threading.Event()
    with lock:
        version[path], asked[path] = 0, 0
        if held:
            gates[path] = gate
    reader = threading.Thread(target=fetch_host.get, args=(path,))
    reader.start()
    wait_for(lambda: asked[path])
    if not held:
        reader.join()
        [goma.get(path) for goma in hosts]
    with lock:
        version[path], gates[path], before = 1, None, asked[path]
    done = purge(order_host, kind, path, by_request)
    threading.Timer(rng.choice((0, 0.08, LATEST)), gate.set).start()
    seen = order_host.get(path).text
    reader.join()
    again = order_host.get(path).text
    agree = wait_for(lambda: [goma.get(path).text for goma in hosts] == ["1"] * 3)
    return done, seen, again, bool(agree), asked[path] - before


seed = int(os.environ.get("GOMA_SEED", "7"))
rng, wrong, most = random.Random(seed), [], 0
kinds = list(itertools.product(("url", "prefix", "tag", "all"), (True, False), (True, False)))
for number in range(TRIALS):
    kind, by_request, held = kinds[number % len(kinds)] if number < len(kinds) else rng.choice(kinds)
    got = one(number, kind, by_request, held)
    most = max(most, got[4])
    if got[:4] != (True, "1", "1", True):
        wrong.append((number, kind, by_request, held, got))
same(wrong[:3], [], f"{TRIALS} purges, half of them while the content was on its way: no old content (seed {seed})")
note(f"at most {most} requests to the backend per purge")
expect(most <= 3, "a purge costs the backend three requests at most", most)

# --- a host that starts late has read all purges before it takes what others stored

hosts[0].get("/late")
with lock:
    version["/late"] = 1
late = Goma([route("/", origin, "main", middlewares=["cache"])],
            [middleware("cache", "httpCache", {"memoryLimit": "8Mi"}, paths=["/"])], redis={"addr": redis.address}, log={"level": "warn"})
same(hosts[0].ctl("cache", "purge", "url", "a.test/late")[0], 0, "a purge, while another host starts")
for host in (hosts[0], late):
    expect(wait_for(lambda: host.get("/late").text == "1"), "what was purged is new")
same([g.get("/late").text for g in (*hosts, late)], ["1"] * 4, "everywhere")
