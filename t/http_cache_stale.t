#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Stale responses (RFC 5861): served while they are validated, and when the backend fails; and when they may not be."""
import threading
from lib.goma import *
from lib.cache import *

pages = Pages()
RULES = {"plain": {}, "while": {"staleWhileRevalidate": "1h"}, "error": {"staleIfError": "1h"}, "both": {"maxStale": 3600}}
CLOSED = refused_port()
goma = Goma([route(f"/{name}", pages.origin, name=name, middlewares=["add", name]) for name in RULES],
            [cache(name, memoryLimit="16Mi", maxTtl=1, **rule) for name, rule in RULES.items()] +
            [middleware("add", "requestHeaders", {"setHeaders": {"X-Earlier": "step"}})], monitoring={"enableMetrics": True})
go = threading.Event()
sent = []


def ask(path, *more):
    sent.append(path)
    return goma.get(path, *more)




def slow(answer):
    def handler(request):
        go.wait(PATIENCE)
        return answer
    return handler


# --- what backends answer, first and later; all of it is stored, and ages. What lives for a second is made when it is
# asked for: its Date would be a second old otherwise, now and then.

pages.answer("/while/a", page("one"), slow(page("two")))
pages.answer("/while/etag", page("one", ETag='"1"'), lambda r: Reply(304, [("ETag", '"1"'), ("Date", http_date())]) if r["If-None-Match"] == '"1"' else page("wrong"))
pages.answer("/plain/said", lambda r: page("one", Cache_Control="max-age=1, stale-while-revalidate=60"), page("two"))
pages.answer("/while/must", lambda r: page("one", Cache_Control="max-age=1, must-revalidate"), page("two", Cache_Control="max-age=1, must-revalidate"))
pages.answer("/while/shared", lambda r: page("one", Cache_Control="s-maxage=1"), page("two"))
pages.answer("/plain/not", page("one"), page("two"))
pages.answer("/while/fails", page("one"), Reply(500, [], b"broken"), page("three"))
pages.answer("/error/404", page("kept"), Reply(404, [], b"gone"))
pages.answer("/error/must", lambda r: page("kept", Cache_Control="max-age=1, must-revalidate"), Reply(503, [], b"x"))
pages.answer("/plain/said-error", lambda r: page("kept", Cache_Control="max-age=1, stale-if-error=60"), Reply(503, [], b"x"))
pages.answer("/plain/error", page("kept"), Reply(503, [], b"x"))
pages.answer("/both/x", page("kept"), Reply(503, [], b"x"))
pages.answer("/plain/max-stale", page("old"), page("new"))
FAILURES = {"closed": None, "500": Reply(500, [], b"x"), "502": Reply(502, [], b"x"), "503": Reply(503, [], b"x"), "504": Reply(504, [], b"x"),
            "malformed": b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"}
for name, failure in FAILURES.items():
    pages.answer(f"/error/{name}", page("kept", ETag='"k"'), failure)
for path in list(pages.answers):
    same(status(ask(path)), "MISS", f"{path} is stored")
stored = time.monotonic()
wait_for(lambda: time.monotonic() - stored > 2.1)

# --- while it is validated

go.clear()
seen = [ask("/while/a") for _ in range(20)]
same({(r.text, status(r)) for r in seen}, {("one", "STALE")}, "stale responses are served while one errand validates")
expect(wait_for(lambda: pages.count("/while/a") == 2), "the backend hears of one", pages.count("/while/a"))
same(pages.last("/while/a")["X-Earlier"], "step", "it is asked as the request was, with what earlier middlewares did")
go.set()
expect(wait_for(lambda: ask("/while/a").text == "two"), "and then the new one is")
expect(pages.count("/while/a") <= 3, "without asking for each", pages.count("/while/a"))
expect(goma.metrics()['goma_cache_requests_total{outcome="background"}'] >= 1, "metrics count it for itself")
requests = sum(p.startswith("/while/") for p in sent)
expect(wait_for(lambda: goma.metrics()['gateway_requests_total{name="while",method="GET"}'] == requests), "and not as a request", requests)
expect(int(seen[0]["Age"]) >= 1 and "ttl=-" in seen[0]["Cache-Status"], "its age is told", (seen[0]["Age"], seen[0]["Cache-Status"]))
same(status(ask("/while/etag", {"If-None-Match": '"0"'})), "STALE", "an errand asks on behalf of what is stored")
expect(wait_for(lambda: status(ask("/while/etag")) == "HIT"), "a 304 makes it fresh again")
same(ask("/while/etag").text, "one", "with the same body")
same(status(ask("/plain/said")), "STALE", "a response may allow it itself")
same(ask("/while/must").text, "two", "must-revalidate forbids it")
same(ask("/while/shared").text, "two", "s-maxage forbids what only the operator allows")
same((ask("/plain/not").text, pages.count("/plain/not")), ("two", 2), "by default nothing stale is served")
ask("/while/fails")
wait_for(lambda: pages.count("/while/fails") == 2)
expect(wait_for(lambda: ask("/while/fails").text == "three"), "an errand that fails is sent again")

# --- errors of the backend

for name in FAILURES:
    path = f"/error/{name}"
    answer = ask(path)
    same((answer.status, answer.text, status(answer), answer["X-Goma-Request-ID"] is None), (200, "kept", "STALE", False), f"a stale response stands in for an error: {name}")
same(ask("/error/404").status, 404, "404 is no error")
same(ask("/error/must").status, 503, "must-revalidate: the error is served")
same(ask("/plain/said-error").text, "kept", "a response may allow it itself")
same(ask("/plain/error").status, 503, "by default an error is an error")
same([status(ask("/both/x")) for _ in range(3)], ["STALE"] * 3, "maxStale allows both")

# --- what requests allow

same((status(ask("/plain/max-stale", {"Cache-Control": "max-stale=60"})), status(ask("/plain/max-stale", {"Cache-Control": "max-stale"})),
      ask("/plain/max-stale").text), ("STALE", "STALE", "new"), "a request may allow it for itself")
