#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A Redis of another kind than the configuration says is not usable, and is told by its kind and with what to write: in the
log, by gomactl, by /readyz and in metrics. Nothing fails for it: limits and cache are this host's own meanwhile."""
from lib.goma import *
from lib.redis import RedisCluster, RedisSentinels, RedisServer

plain, sentinels, cluster = RedisServer(), RedisSentinels(), RedisCluster()
node, sentinel, replica = cluster.servers[0].address, sentinels.sentinels[0].address, sentinels.replicas()[0].address
WRONG = {
    "a node of a cluster as a server": ({"addr": node}, "is a node of a Redis Cluster: write \"mode: cluster\""),
    "a Sentinel as a server": ({"addr": sentinel}, "is a Sentinel: write \"masterName\""),
    "a replica as a server": ({"addr": replica}, "is a replica, not the primary"),
    "a server as a cluster": ({"addrs": [plain.address], "mode": "cluster"}, "write \"mode: standalone\""),
    "a Sentinel as a cluster": ({"addrs": [sentinel], "mode": "cluster"}, "gives no map of slots"),
    "a server as a Sentinel": ({"addrs": [plain.address], "masterName": "mymaster"}, "is no Sentinel"),
    "a node of a cluster as a Sentinel": ({"addrs": [node], "masterName": "mymaster"}, "is no Sentinel"),
}
for what, (settings, word) in WRONG.items():
    goma = Goma([route("/", "http://127.0.0.1:9", "main", middlewares=["limit", "ok"])],
                [middleware("limit", "rateLimit", {"requestsPerUnit": 1000}), middleware("ok", "respond", {"status": 200, "body": "ok"})],
                workers=1, redis=settings, monitoring={"enableMetrics": True}, log={"level": "warn"})
    began = time.monotonic()
    expect(wait_for(lambda: word in goma.ctl_json("redis")["problem"]), f"{what}: gomactl names it", goma.ctl("redis"))
    took = time.monotonic() - began
    expect(took < 2 * SLOW or LONG, f"{what}: within two seconds", took)
    same(goma.ctl_json("redis")["usable"], False, f"{what}: it is not usable")
    expect(word.replace('"', '\\"') in goma.told("Redis is not usable"), f"{what}: the log names it", goma.output)
    same(goma.get("/").status, 200, f"{what}: requests are served")
    expect("redis" in goma.get("/readyz").text.lower(), f"{what}: /readyz tells of it", goma.get("/readyz").text)
    same(goma.metrics().get("goma_redis_unusable"), 2, f"{what}: and so do metrics, for the worker and the manager")
    goma.stop()
