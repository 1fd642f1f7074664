#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rate limits: who is counted together, how much is let in, what is said, bans, and that nothing of it is lost."""
import threading
from lib.goma import *

origin = Origin(lambda request: Reply(200, body="ok"))


def limit(name, **rule):
    return middleware(name, "rateLimit", {"unit": "hour", **rule})


def ask(goma, path, ip="192.0.2.1", **fields):
    return goma.get(path, {"X-Forwarded-For": ip, **{k.replace("_", "-"): v for k, v in fields.items()}})


def statuses(goma, path, n, ip="192.0.2.1", **fields):
    return [ask(goma, path, ip, **fields).status for _ in range(n)]


def on(path, name):
    return route(path, origin, name=name, middlewares=[name])


def setting():
    return [on("/plain", "plain"), on("/mute", "mute"), on("/header", "header"), on("/cookie", "cookie"), on("/six", "six"),
            on("/ban", "ban"), on("/short", "short"), on("/fixed", "fixed"), on("/sliding", "sliding"), on("/fast", "fast"), on("/paths", "paths"),
            route("/other", origin, name="other", middlewares=["plain"])], [
        limit("plain", requestsPerUnit=2, burst=1), limit("mute", requestsPerUnit=1, headers=False),
        limit("header", requestsPerUnit=2, keyStrategy={"source": "Header", "name": "X-Api-Key"}),
        limit("cookie", requestsPerUnit=2, keyStrategy={"source": "cookie", "name": "sid"}),
        limit("six", requestsPerUnit=2), limit("ban", requestsPerUnit=1, unit="hour", banAfter=2, banDuration="50s"),
        limit("short", requestsPerUnit=1, unit="hour", banAfter=2, banDuration="1s"),
        limit("fixed", requestsPerUnit=3, unit="day", algorithm="fixedWindow"),
        limit("sliding", requestsPerUnit=3, unit="day", algorithm="slidingWindow"),
        limit("fast", requestsPerUnit=1000, burst=100, unit="second"),
        {**limit("paths", requestsPerUnit=1), "paths": ["/narrow"]}]


goma = Goma(start=False)
routes, limits = setting()
PROXY = {"proxy": {"enabled": True, "trustedProxies": ["127.0.0.1"]}, "monitoring": {"enableMetrics": True}, "log": {"level": "warn"}}
goma.configure(routes, limits, **PROXY)
goma.start()

# --- what is let in, and what is said

same(statuses(goma, "/plain", 4), [200, 200, 200, 429], "rate and burst are let in, then no more")
same(statuses(goma, "/plain", 1, "192.0.2.2"), [200], "another address has its own")
same(statuses(goma, "/other", 1), [200], "and so has another route with the same middleware")
first = ask(goma, "/plain", "192.0.2.3")
same([first[n] for n in ("RateLimit-Policy", "RateLimit", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After")],
     ['"plain";q=2;w=3600', '"plain";r=2;t=1800', "3", "2", "1800", None], "the answer tells what is left")
statuses(goma, "/plain", 2, "192.0.2.3")
last = ask(goma, "/plain", "192.0.2.3")
same((last.status, "429 Too many requests. Try again later." in last.text, last["RateLimit"]), (429, True, '"plain";r=0;t=1800'), "a refusal says why")
same((last["Retry-After"], last["X-RateLimit-Remaining"]), ("1800", "0"), "and when to come back")
before = origin.last
ask(goma, "/plain", "192.0.2.3")
same(origin.last is before, True, "the backend hears nothing of it")
muted = ask(goma, "/mute")
same([ask(goma, "/mute").status, muted["RateLimit"], muted["X-RateLimit-Limit"], ask(goma, "/mute")["Retry-After"]], [429, None, None, None], "headers: false says nothing")
same(statuses(goma, "/paths/wide", 3) + statuses(goma, "/paths/narrow", 2), [200, 200, 200, 200, 429], "only its paths are limited")

# --- who it is

same(statuses(goma, "/header", 3, X_Api_Key="k1") + statuses(goma, "/header", 1, X_Api_Key="k2"), [200, 200, 429, 200], "by header field")
same(statuses(goma, "/header", 3), [200, 200, 429], "without it, by address")
same(statuses(goma, "/cookie", 3, Cookie="a=b; sid=one") + statuses(goma, "/cookie", 1, Cookie="xsid=one; sid=two"), [200, 200, 429, 200], "by cookie")
same(statuses(goma, "/six", 1, "2001:db8:1:2::1") + statuses(goma, "/six", 2, "2001:db8:1:2:ffff::9") + statuses(goma, "/six", 1, "2001:db8:1:3::1"),
     [200, 200, 429, 200], "IPv6 addresses of one /64 are one client")

# --- windows

# A window of a day may end meanwhile, once in a great while: then begin again.
def within_a_day(path):
    for ip in ("192.0.2.1", "192.0.2.2"):
        day = time.time() // 86400
        seen = statuses(goma, path, 4, ip) + [int(ask(goma, path, ip)["Retry-After"])]
        if time.time() // 86400 == day:
            break
    return seen


left = 86400 - time.time() % 86400
for path in ("/fixed", "/sliding"):
    seen = within_a_day(path)
    same(seen[:4], [200, 200, 200, 429], f"{path}: as many as the window allows")
    expect(left - 60 <= seen[4] <= left + 1 or seen[4] > 86000, f"{path}: until it ends", (seen[4], left))

# --- bans

same(statuses(goma, "/ban", 4), [200, 429, 429, 403], "who is refused too often is banned")
answer = ask(goma, "/ban")
same((answer.status, "Client temporarily banned due to repeated abuse" in answer.text, 40 <= int(answer["Retry-After"]) <= 50), (403, True, True), "and told so")
expect(goma.told('"a client is banned" route=ban middleware=ban client=192.0.2.1 seconds=50'), "the log tells it")
same(statuses(goma, "/ban", 1, "192.0.2.9"), [200], "others are not")
metrics = goma.metrics()
same(metrics['goma_rate_limited_total{outcome="banned"}'], 2, "metrics count them")
expect(wait_for(lambda: goma.metrics()['goma_limit_cells{state="live"}'] >= 10) and metrics["goma_limit_evicted_total"] == 0, "and the cells in use", metrics)
zones = json.loads(goma.ctl("zones", "--json")[1])
same((zones["limits"]["bans"], zones["limits"]["doubled"], [z["name"] for z in zones["zones"]].count("limits")), (1, 0, 1), "gomactl zones tells, too")
expect("1 ban," in goma.ctl("zones")[1] and "consistent" in goma.ctl("zones")[1], "in words", goma.ctl("zones")[1])
same(statuses(goma, "/short", 3), [200, 429, 429], "a ban of a second begins")
expect(wait_for(lambda: ask(goma, "/short").status == 429), "and ends")

# --- a limit is one for all workers, over reloads, killed workers and upgrades


class Flood(threading.Thread):
    """Asks as fast as it can; counts what was let in, and remembers when it asked for what was refused last."""

    def __init__(self):
        super().__init__(daemon=True)
        self.taken, self.refused, self.lost, self.refused_at, self.stop = 0, 0, 0, 0, False
        self.start()

    def run(self):
        client = None
        while not self.stop:
            try:
                client = client or goma.client()
                sent = time.monotonic()
                client.send("GET /fast HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n" * BATCH)
                for _ in range(BATCH):
                    status = client.response().status
                    self.taken += status == 200
                    if status == 429:
                        self.refused, self.refused_at = self.refused + 1, sent
            except (OSError, Closed, Timeout):
                self.lost += BATCH               # answers of a killed worker: at most these were taken unseen
                client = None


def killed():
    old = goma.worker_pids()
    os.kill(old[0], signal.SIGKILL)
    wait_for(lambda: len(goma.worker_pids()) == 2 and old[0] not in goma.worker_pids() and all(alive(p) for p in goma.worker_pids()))


BATCH = 20
began = time.monotonic()
floods = [Flood() for _ in range(4)]
wait_for(lambda: sum(f.taken for f in floods) > 0)
first = time.monotonic()
for name, event in (("a reload", lambda: same(goma.reload()[0], 0, "the configuration is read again")), ("a killed worker", killed),
                    ("an upgrade", lambda: same(goma.ctl("upgrade", timeout=6 * PATIENCE)[0], 0, "the binary is replaced"))):
    asked = sum(f.refused for f in floods)
    expect(wait_for(lambda: sum(f.refused for f in floods) > asked + 1000), f"the limit holds before {name}")
    event()
goma.baseline = {}
asked = sum(f.refused for f in floods)
expect(wait_for(lambda: sum(f.refused for f in floods) > asked + 1000), "and after it")
for f in floods:
    f.stop = True
for f in floods:
    f.join()
ended = time.monotonic()
taken, lost = sum(f.taken for f in floods), sum(f.lost for f in floods)
most = 1100 + 1000 * (ended - began)                                    # requestsPerUnit + burst at once, then one per millisecond
least = 1100 + 1000 * (max(f.refused_at for f in floods) - first) - 1 - lost
expect(least <= taken <= most, "exactly what is allowed was let in, over all workers, a reload, a killed worker and an upgrade",
       (least, taken, most, lost))
same(json.loads(goma.ctl("zones", "--json")[1])["limits"]["doubled"], 0, "the zone is consistent after all that")
note(f"{taken} of {least:.0f} to {most:.0f} allowed, {lost} lost, {sum(f.refused for f in floods)} refused")

# --- the size of the memory

goma.stop()
small = Goma(routes, limits, **PROXY, sharedMemory={"limits": "1Mi"})
expect("1.0 MiB" in re.search(r"limits +.*", small.ctl("zones")[1]).group(0), "the memory of limits has the size that is written", small.ctl("zones"))
small.configure(routes, limits, **PROXY, sharedMemory={"limits": "2Mi"})
same(small.reload()[0], 0, "a reload with another size is no error")
expect(small.told("the memory of limits keeps its size until the next start"), "and is told that it waits for the next start")
