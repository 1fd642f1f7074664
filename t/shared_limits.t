#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Three hosts, one limit: they let in together what the rule says, however the load is spread, with few words to Redis;
without Redis each keeps to its share, and afterwards all is right again."""
from lib.goma import *
from lib import pace
from lib.pace import by_second
from lib.redis import RedisServer

SECONDS = 30 if LONG else 9
RATE = 2000
time_limit(6 * SECONDS + 120)
NOWHERE = "http://127.0.0.1:9"


def host(redis, name="limit", kind="rateLimit", workers=1, **rule):
    return Goma([route("/", NOWHERE, "main", middlewares=[name, "ok"])],
                [middleware(name, kind, rule), middleware("ok", "respond", {"status": 200, "body": "ok"})],
                workers=workers, env={"GOMA_REDIS_ADDR": redis.address}, monitoring={"enableMetrics": True}, log={"level": "warn"})


def usable(goma):
    return goma.ctl_json("redis")["usable"]


def hosts(redis, n=3, **rule):
    made = [host(redis, **rule) for _ in range(n)]
    for goma in made:
        expect(wait_for(lambda: usable(goma) and goma.ctl_json("redis")["hosts"] == n), "the hosts know of each other") or note(goma.ctl("redis"))
    return made


def load(seconds, targets):
    return pace.outcome(pace.begin(seconds, targets), seconds)


def no_faults(targets, what):
    same(pace.faults(targets), 0, f"{what}: no request failed")


def commands_of(redis):
    return int(redis.cli("INFO", "stats").split("total_commands_processed:")[1].split()[0])


def finish(made):
    for goma in made:
        goma.stop()


redis = RedisServer()

# --- settle: skewed load that moves from host to host

made = hosts(redis, requestsPerUnit=RATE)
before = commands_of(redis)
targets = load(SECONDS, list(zip(made, [(4800, 300, 900), (900, 4800, 300), (300, 900, 4800)])))
commands = commands_of(redis) - before
seconds = by_second(targets, "200")
admitted, sent, allowed = sum(seconds), sum(t["sent"] for t in targets), RATE + RATE * SECONDS
note(f"settle: {admitted} of {sent} let in, {allowed} allowed, by second {seconds}, {commands} commands: one per {sent / max(commands, 1):.0f} requests")
within = 0.01 if LONG else 0.03
expect((1 - within) * min(allowed, pace.asked(targets, RATE)) <= admitted <= (1 + within) * allowed, "settle: what is let in is what one limit allows", (admitted, allowed))
expect(max(seconds[1:]) <= 1.15 * RATE, "settle: and no second has much more than its share", seconds)
expect(commands * 50 <= sent, "settle: one word to Redis per 50 requests or less", (commands, sent))
no_faults(targets, "settle")
finish(made)
redis.cli("FLUSHALL")

# --- exact

made = hosts(redis, requestsPerUnit=200, burst=100, sync="exact")
targets = load(SECONDS, [(made[0], [600]), (made[1], [200]), (made[2], [100])])
admitted, (least, most) = sum(by_second(targets, "200")), pace.allowed(targets, 200, 300)
alone = sum(goma.metrics().get("goma_limit_apart_decisions_total", 0) for goma in made)
note(f"exact: {admitted} let in, {least} to {most} allowed, {alone:.0f} decided without an answer in time; p50 {[t['p50us'] for t in targets]} us")
expect(least <= admitted <= most + alone, "exact: never more than one limit allows, and not less", (least, admitted, most))
no_faults(targets, "exact")

# what it adds to a request, beside the same answer without a limit and a bare PING, all at the same time and pace
plain = Goma([route("/", NOWHERE, "main", middlewares=["ok"])], [middleware("ok", "respond", {"status": 200, "body": "ok"})], workers=1)
ping = subprocess.Popen([pace.PACE, "-R", str(SECONDS // 3), f"{redis.port}=100"], stdout=subprocess.PIPE, text=True)
limited, free = load(SECONDS // 3, [(made[0], [100]), (plain, [100])])
bare = pace.outcome(ping, SECONDS // 3)[0]
added = limited["p50us"] - free["p50us"]
note(f"exact: p50 {limited['p50us']} us, without a limit {free['p50us']} us, so {added} us more; a bare round trip to Redis {bare['p50us']} us")
expect(sum(bare["status"]["200"]) == bare["sent"] > 0, "a bare PING is answered", bare)
expect(added <= 2 * bare["p50us"] + (0 if LONG else 1000), "exact: it adds no more than two bare round trips", (added, bare["p50us"]))
plain.stop()
finish(made)
redis.cli("FLUSHALL")

# --- Redis away in the middle

made = hosts(redis, requestsPerUnit=300, burst=0, sync="settle")
busy = pace.begin(SECONDS, [(goma, [400]) for goma in made])
begun = time.monotonic()
wait_for(lambda: time.monotonic() - begun > SECONDS / 3)
redis.kill()
wait_for(lambda: time.monotonic() - begun > 2 * SECONDS / 3)
alone = [goma.ctl_json("redis")["usable"] for goma in made]
redis.start()
targets = pace.outcome(busy, SECONDS)
admitted, allowed = by_second(targets, "200"), 300 + 300 * SECONDS
note(f"away: {sum(admitted)} let in, {allowed} allowed, by second {admitted}; by host {[sum(t['status']['200']) for t in targets]}; slowest {[t['maxus'] for t in targets]} us")
same(alone, [False] * 3, "away: gomactl says that Redis is not usable")
expect(0.95 * min(allowed, pace.asked(targets, 300)) <= sum(admitted) <= 1.05 * allowed, "away: hosts keep to their shares", (sum(admitted), allowed))
no_faults(targets, "away")
expect(wait_for(lambda: all(usable(goma) for goma in made)), "away: Redis is used again when it is back")
finish(made)
redis.cli("FLUSHALL")

# --- what holds without Redis, as the limit says

redis.stop()
for policy, want in [("local", [200, 429]), ("allow", [200, 200]), ("deny", [503, 503])]:
    goma = host(redis, unit="hour", requestsPerUnit=1, sync="exact", onStoreFailure=policy)
    same([goma.get("/").status for _ in range(2)], want, f"onStoreFailure: {policy}")
    goma.stop()
redis.start()

# --- bans

made = hosts(redis, 2, unit="hour", requestsPerUnit=1, banAfter=2, banDuration="1m")
first, second = made
same([first.get("/").status for _ in range(4)], [200, 429, 429, 403], "a client is banned on one host")
expect(wait_for(lambda: second.get("/").status == 403), "and soon on the other")
same([(b["client"], b["route"]) for b in second.ctl_json("limits")["bans"]], [("ip:127.0.0.1", "main")], "which lists it")
late = host(redis, unit="hour", requestsPerUnit=1, banAfter=2, banDuration="1m")
expect(wait_for(lambda: late.get("/").status == 403), "a host that comes later hears of it")
same(redis.cli("GET", "rate:ban:main:limit:ip:127.0.0.1"), "banned", "and Goma Gateways hear of it, too")
same(json.loads(second.ctl("--json", "limits", "lift", "ip:127.0.0.1")[1]), {"lifted": 1}, "a ban is lifted")
expect(wait_for(lambda: not any(goma.ctl_json("limits")["bans"] for goma in (first, second, late))), "on every host")
expect(wait_for(lambda: not redis.cli("EXISTS", "rate:ban:main:limit:ip:127.0.0.1")), "and for Goma Gateways")
same(first.get("/").status, 429, "where the client is only over its limit again")
finish(made + [late])
redis.cli("FLUSHALL")

# --- quotas

made = hosts(redis, 2, name="plan", kind="quota", requests=100, period="month", timeZone="Europe/Berlin")
first, second = made
targets = load(3, [(goma, [40]) for goma in made])
same((sum(by_second(targets, "200")), sum(by_second(targets, "429"))), (100, sum(t["sent"] for t in targets) - 100), "a quota is used up on both hosts together, exactly")
no_faults(targets, "quota")
answer = first.get("/")
expect(0 < int(answer["Retry-After"]) <= 31 * 86400 + 3600, "the client hears when the next month begins", answer["Retry-After"])
finish(made)
again = host(redis, name="plan", kind="quota", requests=100, period="month", timeZone="Europe/Berlin")
wait_for(lambda: usable(again))
same(again.get("/").status, 429, "a restart forgets nothing")
again.stop()
redis.stop()
