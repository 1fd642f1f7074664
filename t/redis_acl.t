#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The rights that docs/redis.md tells to give are enough for all that Redis is used for, and none of them is idle."""
import re
from lib.goma import *
from lib.redis import RedisServer

page = read(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "docs/redis.md"))
told = re.search(r"^ACL SETUSER goma (.*?)^```", page, re.S | re.M)
expect(told, "docs/redis.md names the rights")
rights = told[1].replace(">PASSWORD", ">pw").split()
redis = RedisServer()
same(redis.cli("ACL", "SETUSER", "goma", *rights, "+flushdb"), "OK", "Redis understands them")
origin = Origin(lambda request: Reply(200, {"Cache-Control": "max-age=60", "Cache-Tag": "t", "Vary": "X-Lang"}, "x"))


def limit(name, kind="rateLimit", **rule):
    return middleware(name, kind, {"unit": "hour", "requestsPerUnit": 10, **rule})


LIMITS = [limit("bucket"), limit("exact", sync="exact"),
          limit("fixed", algorithm="fixedWindow"), limit("sliding", algorithm="slidingWindow"),
          limit("window", algorithm="fixedWindow", sync="exact"),
          limit("ban", requestsPerUnit=1, banAfter=2, banDuration="1h"),
          middleware("settled", "quota", {"period": "day", "requests": 100}),
          middleware("asked", "quota", {"period": "day", "requests": 100, "sync": "exact"})]


def host(**more):
    routes = [route(f"/{m['name']}", origin, m["name"], middlewares=[m["name"]]) for m in LIMITS]
    cache = middleware("cache", "httpCache", {"memoryLimit": "8Mi", "purgeToken": "s3cret"}, paths=["/"])
    return Goma([*routes, route("/cached", origin, "cached", middlewares=["cache"])], [*LIMITS, cache],
                workers=1, log={"level": "warn"}, monitoring={"enableMetrics": True},
                redis={"addr": redis.address, "username": "goma", "password": "pw", "flushOnStartup": True})


hosts = [host(), host()]
for goma in hosts:
    expect(wait_for(lambda: goma.ctl_json("redis")["knowsPurges"]), "Redis is used")
expect(wait_for(lambda: [g.ctl_json("redis")["hosts"] for g in hosts] == [2, 2]), "by both hosts")
for _ in range(4):
    for goma in hosts:
        for rule in LIMITS:
            goma.get(f"/{rule['name']}")
        goma.get("/cached", {"X-Lang": "de"})
expect(wait_for(lambda: [len(g.ctl_json("limits")["bans"]) for g in hosts] == [1, 1]), "a ban is told")
same(hosts[0].ctl("limits", "lift", "all")[0], 0, "and lifted")
expect(wait_for(lambda: [len(g.ctl_json("limits")["bans"]) for g in hosts] == [0, 0]), "everywhere")
same(hosts[1].request("PURGE", "/cached", {"Authorization": "Bearer s3cret"}).status, 200, "a request purges")
same(hosts[0].ctl("cache", "purge", "tag", "t")[0], 0, "and a command")
expect(wait_for(lambda: hosts[1].get("/cached")["X-Cache-Status"] == "HIT"), "what is stored is shared")
same(redis.cli("ACL", "LOG"), [], "Redis has refused nothing")
problems = {n: v for g in hosts for n, v in g.metrics().items() if n.startswith("goma_redis_commands_total") and "refused" in n and v}
same(problems, {}, "and no host was refused")

# --- each right is needed

used = set(re.findall(r"cmdstat_([a-z]+(?:\|[a-z-]+)?):calls=[1-9]", redis.cli("INFO", "commandstats")))
given = {r[1:] for r in rights if r.startswith("+")}
# for a Cluster, Sentinels, another database, idle times, a list of purges that has moved on, a clock that is behind
elsewhere = {"cluster|slots", "role", "select", "evalsha", "ping", "unsubscribe", "xlen", "xdel"}
idle = given - used - elsewhere
same(idle, set(), "no right is idle")
