#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Primaries that are killed and slots that move while two hosts share a limit through them: no request fails for it, and
what is let in stays near what one limit allows."""
from lib.goma import *
from lib import pace
from lib.redis import RedisCluster, RedisSentinels, slot_of

RATE, KILLS = 500, 20 if LONG else 1
time_limit(120 + 40 * KILLS)
KEY = "rate:main:limit:ip:127.0.0.1"


def hosts(**redis):
    made = [Goma([route("/", "http://127.0.0.1:9", "main", middlewares=["limit", "ok"])],
                 [middleware("limit", "rateLimit", {"requestsPerUnit": RATE}), middleware("ok", "respond", {"status": 200, "body": "ok"})],
                 workers=1, redis=redis, monitoring={"enableMetrics": True}, log={"level": "error"}) for _ in range(2)]
    for goma in made:
        expect(wait_for(lambda: goma.ctl_json("redis")["usable"] and goma.ctl_json("redis")["hosts"] == 2), f"{redis.get('mode')}: Redis is found", goma.ctl("redis"))
    return made


def under_load(what, made, seconds, act):
    """Acts in the middle of a load of twice the limit."""
    load = pace.begin(seconds, [(goma, [RATE]) for goma in made])
    begun = time.monotonic()
    wait_for(lambda: time.monotonic() - begun > 2)
    act()
    targets = pace.outcome(load, seconds)
    by_second = pace.by_second(targets, "200")
    admitted, allowed = sum(by_second[1:]), RATE * (seconds - 1)    # the first second may have had a full bucket
    note(f"{what}: {admitted} let in, {allowed} allowed, by second {by_second}; slowest {[t['maxus'] for t in targets]} us")
    same(pace.faults(targets), 0, f"{what}: no request failed")
    wanted = pace.asked(targets, RATE) - RATE   # a machine that stands still asks for less
    expect(0.95 * wanted <= admitted <= 1.05 * allowed, f"{what}: the limit holds over the whole run", (admitted, allowed))
    expect(wait_for(lambda: all(goma.ctl_json("redis")["usable"] for goma in made), 3 * PATIENCE), f"{what}: Redis is used", made[0].ctl("redis"))


def kills(kill, settle):
    def act():
        for turn in range(KILLS):
            kill(turn)
            settle()
    return act


sentinels = RedisSentinels()
made = hosts(addrs=[s.address for s in sentinels.sentinels], masterName=sentinels.name, mode="sentinel")


def kill_primary(_):
    victim = sentinels.primary()
    sentinels.kill_primary()
    sentinels.wait_failover()
    sentinels.start_as_replica(victim)


under_load("sentinel", made, 12 + 6 * (KILLS - 1), kills(kill_primary, lambda: None))
for goma in made:
    goma.stop()
sentinels.stop()

cluster = RedisCluster()
made = hosts(addrs=[cluster.servers[0].address], mode="cluster")   # one address is enough to find them all
same(sorted(n["address"] for n in made[0].ctl_json("redis")["nodes"]), sorted(s.address for s in cluster.servers[:3]), "cluster: all primaries are found from one")


def move(_):
    others = cluster.others(KEY)
    cluster.migrate_slot(slot_of(KEY), others[0])


def kill_owner(_):
    victim = cluster.kill_primary_of(KEY)
    cluster.wait_ok()
    victim.start()


under_load("slot moved", made, 6 + (KILLS - 1), kills(move, cluster.wait_ok))
moved = sum(goma.metrics().get('goma_redis_redirects_total{kind="moved"}', 0) for goma in made)
expect(moved > 0, "cluster: a moved slot was followed", moved)
under_load("cluster", made, 14 + 8 * (KILLS - 1), kills(kill_owner, cluster.wait_ok))
for goma in made:
    goma.stop()
cluster.stop()
