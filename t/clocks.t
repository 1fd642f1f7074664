#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Hosts whose clocks are wrong, or turned while they run, share limits, quotas and bans with one whose clock is right: what
they let in together is what the rule says, for every algorithm, settled and exact. GOMA_LONG=1: every clock."""
import email.utils
import glob
from lib.goma import *
from lib.redis import RedisServer

found = glob.glob("/usr/lib/*/faketime/libfaketime.so.1") + glob.glob("/usr/lib64/faketime/libfaketime.so.1")
if not found or SLOW > 1:
    skip_all("this needs libfaketime, and no sanitizer")
time_limit(600)
LIMIT = 30
RULES = {"bucket": {"unit": "day", "requestsPerUnit": LIMIT}, "fixed": {"unit": "day", "requestsPerUnit": LIMIT, "algorithm": "fixedWindow"},
         "sliding": {"unit": "day", "requestsPerUnit": LIMIT, "algorithm": "slidingWindow"}}
LIMITS = [middleware(f"{name}-{sync}", "rateLimit", {**rule, "sync": sync}) for name, rule in RULES.items() for sync in ("exact", "settle")] + [
    middleware(f"quota-{sync}", "quota", {"period": "day", "requests": LIMIT, "sync": sync}) for sync in ("exact", "settle")]
BAN = middleware("ban", "rateLimit", {"unit": "hour", "requestsPerUnit": 1, "sync": "exact", "banAfter": 1, "banDuration": "10m"})
CLOCKS = ["-1s", "+1s", "-130s", "+130s", "-1h", "+1h", "-1d", "+1d", "turned"] if LONG else ["-1d", "+1h", "turned"]
while time.time() % 86400 > 86400 - 120:    # no day may begin while it is counted
    time.sleep(1)
redis, directory = RedisServer(), tempfile.mkdtemp(prefix="goma-t-")
os.chmod(directory, 0o755)              # workers read it
at_end.append(lambda: shutil.rmtree(directory, ignore_errors=True) or [])


def host(clock=None):
    env = {"LD_PRELOAD": found[0], "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_NO_CACHE": "1", "FAKETIME_TIMESTAMP_FILE": clock} if clock else {}
    routes = [route(f"/{m['name']}", "http://127.0.0.1:9", m["name"], middlewares=[m["name"], "ok"]) for m in [*LIMITS, BAN]]
    return Goma(routes, [*LIMITS, BAN, middleware("ok", "respond", {"status": 200, "body": "ok"})], workers=1,
                redis={"addr": redis.address}, env=env, log={"level": "error"})


def clock_of(goma):
    """The host's own time, as its answers say it."""
    return email.utils.parsedate_to_datetime(goma.get("/nowhere")["Date"]).timestamp()


def let_in(goma, name, n):
    return sum(goma.get(f"/{name}").status == 200 for _ in range(n))


def until_refused(goma, name):
    """Asks at a pace at which hosts that settle hear of each other in between."""
    taken = []

    def ask():
        taken.append(goma.get(f"/{name}").status == 200)
        return not taken[-1]
    wait_for(ask)
    return sum(taken)


def posted(name):
    """What Redis knows to have been taken; of a bucket, that it is nearly empty."""
    keys = [key for key in redis.cli("KEYS", f"*{name}*")]
    counts = [int(redis.cli("HGET", key, "n") or 0) if redis.cli("TYPE", key) == "hash" else LIMIT for key in keys]
    return sum(counts)


def shown(path, text):
    with open(path + ".new", "w", encoding="ascii") as file:
        file.write(text)
    os.rename(path + ".new", path)


for clock in CLOCKS:
    redis.cli("FLUSHALL")
    file = os.path.join(directory, clock.strip("+-"))
    shown(file, "+0" if clock == "turned" else clock)
    hosts = [host(), host(file)]
    expect(wait_for(lambda: [g.ctl_json("redis")["hosts"] for g in hosts] == [2, 2]), f"{clock}: two hosts know of each other")
    difference = clock_of(hosts[1]) - clock_of(hosts[0])
    if clock == "turned":
        before = {m["name"]: let_in(hosts[1], m["name"], LIMIT // 2) for m in LIMITS}
        shown(file, "-2d")
        expect(wait_for(lambda: clock_of(hosts[0]) - clock_of(hosts[1]) > 3600), "turned: a clock is turned back by two days")
    else:
        before = {m["name"]: 0 for m in LIMITS}
        expect(abs(difference) >= 0.9, f"{clock}: one host's clock is wrong", difference)
    for m in LIMITS:
        name = m["name"]
        wait_for(lambda: clock != "turned" or posted(name) >= LIMIT // 2)
        one = before[name] + until_refused(hosts[0], name)
        expect(wait_for(lambda: posted(name) >= LIMIT), f"{clock}: {name}: Redis knows what was taken", (one, posted(name)))
        other = until_refused(hosts[1], name)
        first = 0 if name.endswith("exact") else LIMIT // 3     # until a host that settles has heard of the others
        expect(LIMIT - 2 <= one + other <= LIMIT + first, f"{clock}: {name}: what both let in is one limit", (one, other))
    while hosts[0].get("/ban").status != 403:
        pass
    expect(wait_for(lambda: hosts[1].get("/ban").status == 403), f"{clock}: a ban holds on the other host")
    for goma in hosts:
        goma.stop()
