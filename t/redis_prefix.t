#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two installations of two hosts each on one Redis, with the same names of routes and middlewares: nothing is shared between
them, by content and by every key; the two hosts of each share everything. On a single server and on a cluster."""
from lib.goma import *
from lib.cache import status
from lib.redis import RedisCluster, RedisServer

LIMITS = [middleware("bucket", "rateLimit", {"unit": "hour", "requestsPerUnit": 5, "sync": "exact"}),
          middleware("settled", "rateLimit", {"unit": "hour", "requestsPerUnit": 1000}),
          middleware("window", "rateLimit", {"unit": "hour", "requestsPerUnit": 5, "sync": "exact", "algorithm": "slidingWindow"}),
          middleware("quota", "quota", {"period": "day", "requests": 5, "sync": "exact"}),
          middleware("ban", "rateLimit", {"unit": "hour", "requestsPerUnit": 1, "banAfter": 1, "banDuration": "1h"})]


def installation(redis, name, **more):
    origin = Origin(lambda r: Reply(200, {"Cache-Control": "max-age=600", "Cache-Tag": "all", "Vary": "X-Lang"}, f"of {name}"))
    routes = [route(f"/{m['name']}", origin, m["name"], middlewares=[m["name"]]) for m in LIMITS] + [route("/page", origin, "page", middlewares=["cache"])]
    cache = middleware("cache", "httpCache", {"memoryLimit": "8Mi", "purgeToken": "s3cret"}, paths=["/"])
    return [Goma(routes, [*LIMITS, cache], workers=1, log={"level": "warn"}, redis={**redis, "name": name, **more}) for _ in range(2)]


def ready(hosts):
    return [goma.ctl_json("redis")["knowsPurges"] and goma.ctl_json("redis")["hosts"] for goma in hosts] == [2, 2]


def used(hosts):
    """What each host lets in of nine requests, over both."""
    return {m["name"]: sum(hosts[n % 2].get(f"/{m['name']}").status == 200 for n in range(9)) for m in LIMITS if m["name"] not in ("ban", "settled")}


def judge(what, redis, keys):
    shop, mail = installation(redis, "shop"), installation(redis, "mail")
    for hosts in (shop, mail):
        expect(wait_for(lambda: ready(hosts)), f"{what}: the two hosts of an installation know of each other, and of no others", hosts[0].ctl("redis"))
    for hosts, name in ((shop, "shop"), (mail, "mail")):
        same(used(hosts), {"bucket": 5, "window": 5, "quota": 5}, f"{what}: {name} has limits of its own, over both hosts")
        same([goma.get("/page").text for goma in hosts], [f"of {name}"] * 2, f"{what}: and pages of its own")
        same(status(hosts[1].get("/page")), "HIT", f"{what}: which are kept")
        hosts[0].get("/settled")
    while shop[0].get("/ban").status != 403:
        pass
    expect(wait_for(lambda: shop[1].get("/ban").status == 403), f"{what}: a ban of one installation holds on its other host")
    same(mail[0].get("/ban").status, 200, f"{what}: and not on those of the other")
    same(shop[0].request("PURGE", "/page", {"X-Purge": "all", "Authorization": "Bearer s3cret"}).status, 200, f"{what}: one purges everything")
    expect(wait_for(lambda: status(shop[1].get("/page")) == "MISS"), f"{what}: of its own, on its other host")
    same([status(goma.get("/page")) for goma in mail], ["HIT", "HIT"], f"{what}: nothing of the other's")
    found = keys()
    expect(found and all(key.startswith(("shop:", "mail:")) for key in found), f"{what}: every key belongs to one of them", [k for k in found if not k.startswith(("shop:", "mail:"))])
    kinds = ("rate:bucket", "rate:{", "quota:", "goma:cache:", "goma:bans:in-force", "goma:purges:log", "goma:{hosts}")
    missing = [kind for kind in kinds for name in ("shop:", "mail:") if not any(key.startswith(name + kind) for key in found)]
    same([kind for kind in missing if kind not in ("goma:bans:in-force", "goma:purges:log")], [], f"{what}: every kind of key was there") or note(sorted(found))
    for goma in shop + mail:
        goma.stop()


one = RedisServer()
judge("a server", {"addr": one.address}, lambda: one.cli("KEYS", "*"))
one.cli("SET", "other:thing", "1")
shop = installation({"addr": one.address}, "shop", flushOnStartup=True)
expect(wait_for(lambda: not any(key.startswith("shop:rate") for key in one.cli("KEYS", "*"))), "flushOnStartup deletes what is its own")
expect(any(key.startswith("mail:rate") for key in one.cli("KEYS", "*")) and one.cli("GET", "other:thing") == "1", "and nothing of others", one.cli("KEYS", "*"))

many = RedisCluster()
judge("a cluster", {"addrs": [s.address for s in many.servers], "mode": "cluster"},
      lambda: [key for server in many.servers for key in server.cli("KEYS", "*")])
