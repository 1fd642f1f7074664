#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Backends that are down cost no request while one is up: not when they go, not while they are out, not when they are tried again."""
import itertools
from lib.goma import *

FAST = {"passiveHealthCheck": {"maxFails": 2, "ejectFor": "200ms"}}
gone = [f"http://127.0.0.1:{refused_port()}" for _ in range(2)]
one, two = Origin(name="one"), Origin(name="two")
methods = itertools.cycle(["GET", "POST", "PUT", "PATCH", "X-PAY"])


def ask(n, target="/"):
    """Requests of all kinds; what answered them."""
    got = []
    for _ in range(n):
        method = next(methods)
        got.append(goma.request(method, target, body=None if method == "GET" else b"x").text)
    return got


def connect_errors(url):
    return goma.metrics().get(f'goma_backend_errors_total{{backend="{url.partition("//")[2]}",reason="connect"}}', 0)


# Side by side: nothing is left out here, so every request meets them.
goma = Goma([route("/", [*gone, (one, 3), (two, 1)], "main"), route("/even", [*gone, one, two], "even"), route("/none", gone, "none"),
             route("/name", ["http://no-such-host.invalid", one], "name")],
            workers=1, networking={"retries": 0, "passiveHealthCheck": {"enabled": False}})
got = ask(40, "/even")
same(set(got), {"one", "two"}, "two of four backends are dead, and no request fails")
expect(abs(got.count("one") - got.count("two")) <= 2, "the others share the requests evenly", got.count("one"))
same(set(ask(8, "/name")), {"one"}, "a name without an address is passed over too")
same([goma.request(m, "/none", body=b"x").status for m in ("GET", "POST")], [502, 502], "all dead is 502")
expect(goma.told("url=/none .*status=502.* upstream_error=connect .*end=backend-connect"), "and the log says that nobody listens there")
goma.stop()

# Left out, and looked at beside the traffic.
third = Origin(name="third")
port = third.port
third.stop()
goma = Goma([route("/", [third, one], "main")], workers=2, monitoring={"enableMetrics": True}, networking={"retries": 0, **FAST})
same(set(ask(20)), {"one"}, "a backend that went away costs nobody anything")
expect(goma.told("backend keeps failing"), "it is left out")
errors = connect_errors(third.url)
expect(wait_for(lambda: set(ask(5)) == {"one"} and connect_errors(third.url) >= errors + 5), "it is tried again and again")
goma.get("/mark")
goma.told("url=/mark ")
same(len(re.findall("upstream_error", goma.output)), 2, "and no request is the one that tries: two met it before, and none since")
third = Origin(name="third", port=port)
expect(wait_for(lambda: "third" in ask(2)), "when it is back it has its turn")
expect(goma.told("a backend can be reached again"), "and the log says so")
same(goma.request("POST", "/", body=b"x").status, 200, "for all methods")
goma.stop()

# It accepts, and does not answer: one request at a time finds out, and only one that can be asked again.
broken = True
bad = Origin(lambda request: None if broken else Reply(200, body="bad"))
goma = Goma([route("/", [bad, one], "main")], workers=1, networking=FAST)
same([goma.get("/").text for _ in range(6)], ["one"] * 6, "a backend that closes costs a retry")
expect(goma.told("backend keeps failing"), "and is left out")
bad.clear()
expect(wait_for(lambda: set(ask(5)) == {"one"} and len(bad.requests) >= 4), "it is tried again and again, and no request fails")
same({r.method for r in bad.requests} - {"GET", "PUT"}, set(), "with requests that can be asked again")
broken = False
expect(wait_for(lambda: "bad" in ask(2)), "when it answers it has its turn")
expect(goma.told("a backend answers again"), "and the log says so")
broken = True
goma.stop()
bad.clear()
goma = Goma([route("/", [bad, one], "main")], workers=1, networking=FAST)
wait_for(lambda: goma.get("/").text and "backend keeps failing" in goma.output)
broken = False
expect(wait_for(lambda: goma.request("POST", "/", body=b"x").text == "bad"), "where nothing else is asked for, a POST tries it in the end")
