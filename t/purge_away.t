#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A purge that is ordered while Redis is away is not forgotten: it holds at once where it was ordered, which is what is
answered, and on the other hosts when Redis is back; also when whoever was told it has been killed meanwhile."""
import json
from lib.goma import *
from lib.cache import *
from lib.redis import RedisServer

redis, pages = RedisServer(), Pages()
for name in ("request", "command", "killed", *(f"many/{n}" for n in range(100))):
    pages.answer(f"/{name}", page("old", Cache_Control="max-age=3600"), page("new", Cache_Control="max-age=3600"))
hosts = [Goma([route("/", pages.origin, "pages", middlewares=["cache"])], [cache(purgeToken="s3cret", memoryLimit="8Mi")],
              workers=1, redis={"addr": redis.address}, log={"level": "off"}) for _ in range(2)]


def known():
    return [goma.ctl_json("redis")["usable"] and goma.ctl_json("redis")["knowsPurges"] and goma.ctl_json("redis")["hosts"] for goma in hosts] == [2, 2]


def purge(path):
    return hosts[0].request("PURGE", path, {"Authorization": "Bearer s3cret"})


def bodies(path):
    return [goma.get(path).text for goma in hosts]


expect(wait_for(known), "two hosts know of each other")
for path in pages.answers:
    same(bodies(path), ["old", "old"], "both have a page") if "many" not in path else bodies(path)
redis.kill()
expect(wait_for(lambda: not any(goma.ctl_json("redis")["usable"] for goma in hosts)), "Redis is away")
answer = purge("/request")
same((answer.status, json.loads(answer.text)), (202, {"purged": "url a.test/request", "toldOthers": False}), "a purge is accepted, with the word that others are not told yet")
code, out, _ = hosts[0].ctl("cache", "purge", "url", "a.test/command")
expect(code == 0 and "as soon as Redis can be used" in out, "gomactl says the same", out)
same([hosts[0].get(path).text for path in ("/request", "/command")], ["new", "new"], "both hold where they were ordered")
same(hosts[1].get("/request").text, "old", "the other host has not heard")
same(purge("/killed").status, 202, "one more is accepted")
hosts[0].baseline = {}
for pid in hosts[0].worker_pids():
    send_signal(pid, signal.SIGKILL)
expect(wait_for(lambda: hosts[0].canary("/request")), "the worker is replaced")
redis.start()
expect(wait_for(known), "Redis is back")
expect(wait_for(lambda: [hosts[1].get(path).text for path in ("/request", "/command", "/killed")] == ["new"] * 3), "and everybody hears of all of them")

redis.kill()
expect(wait_for(lambda: not any(goma.ctl_json("redis")["usable"] for goma in hosts)), "Redis is away once more")
same({purge(f"/many/{n}").status for n in range(100)}, {202}, "more purges than are remembered")
redis.start()
expect(wait_for(known), "Redis is back")
expect(wait_for(lambda: [hosts[1].get(f"/many/{n}").text for n in range(100)] == ["new"] * 100), "then all is purged, these among it")
