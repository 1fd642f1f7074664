#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Attacks on the response cache (G70 to G77): nobody gets another one's answer, a poisoned one, or half of one."""
import random
from lib.goma import *
from lib.cache import *

pages = Pages()
PROXIED = {"proxy": {"enabled": True, "trustedProxies": ["127.0.0.1"]}}
SETTING = {"monitoring": {"enableMetrics": True}, "log": {"level": "warn"}}
ROUTES = [route("/", pages.origin, name="all", middlewares=["cache"])]
RULES = [cache(memoryLimit="16Mi")]
goma = Goma(ROUTES, RULES, **SETTING)
proxied = Goma(ROUTES, RULES, **PROXIED, **SETTING)


def reflect(request):
    """A backend that believes whatever it is told, and says so."""
    told = [request[n] for n in ("X-Forwarded-Host", "X-Host", "X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-Forwarded-Port", "X-Forwarded-Prefix", "Forwarded")]
    return page(f"{told} {request.body!r} {request['Host']}", Cache_Control="max-age=60")


# --- G70: what is not in the key

clean = None
for number, (name, fields) in enumerate([("X-Forwarded-Host", {"X-Forwarded-Host": "evil"}), ("X-Forwarded-Scheme", {"X-Forwarded-Scheme": "evil"}), ("X-Forwarded-Prefix", {"X-Forwarded-Prefix": "/evil"}),
                                         ("Forwarded", {"Forwarded": "host=evil"}), ("X-Host", {"X-Host": "evil"}), ("X-Original-URL", {"X-Original-URL": "/evil"}), ("X-Rewrite-URL", {"X-Rewrite-URL": "/evil"}),
                                         ("X-HTTP-Method-Override", {"X-HTTP-Method-Override": "evil"}), ("X-HTTP-Method", {"X-HTTP-Method": "evil"}), ("X-Forwarded-Server", {"X-Forwarded-Server": "evil"})]):
    for where, gateway in (("nobody", goma), ("a trusted proxy", proxied)):
        path = f"/unkeyed/{number}"
        pages.answer(path, reflect)
        gateway.get(path, fields)
        victim = gateway.get(path)
        expect("evil" not in victim.text, f"{name} from {where} reaches nobody else", victim.text)
pages.answer("/fat", reflect)
fat = goma.request("GET", "/fat", {}, b"evil")
same((status(fat), "evil" in goma.get("/fat").text), ("BYPASS", False), "a GET with a body goes past the cache")
pages.answer("/port", reflect)
same([status(proxied.get("/port", {"X-Forwarded-Port": p})) for p in ("1", "2", "1")], ["MISS", "MISS", "HIT"], "what a trusted proxy says is part of the key")
same([status(proxied.get("/fwd", {"Forwarded": f"for={i}.0.0.1;host={h}"})) for i, h in ((1, "a"), (2, "a"), (3, "b"))], ["MISS", "HIT", "MISS"], "but for addresses of clients")

# --- G71: nothing about a path makes it storable

for path in ("/account/x.css", "/account;x.css", "/account%2fx.css", "/account/%2e%2e/x.css", "/account.css"):
    pages.answer(path, page("private to one", Cache_Control="private", Content_Type="text/css"))
    answers = [goma.get(path) for _ in range(2)]
    expect("HIT" not in [status(a) for a in answers], f"{path} is as private as it says", [status(a) for a in answers])
expect(goma.get("/account%0a.css").status == 400, "a line break in a path is refused")

# --- G72: what belongs to one client

for number, fields in enumerate([{"Set-Cookie": "sid=1"}, {"Vary": "*"}, {"Vary": "Accept, *"}, {"Cache-Control": 'private="set-cookie,'}, {"Cache-Control": "No-Store"},
                                 {"Cache-Control": "no-store;max-age=60"}, {"Cache-Control": "max-age=60,,no-store"}, {"Cache-Control": '"no-store", max-age="60, no-store'}]):
    path = f"/mine/{number}"
    pages.answer(path, Reply(200, {"Cache-Control": "max-age=60", **fields} if "Cache-Control" not in fields else fields, b"mine"))
    same([status(goma.get(path)) for _ in range(2)], ["MISS", "MISS"], f"not stored: {fields}")
pages.answer("/auth", page("mine", Cache_Control="max-age=60"))
same([status(goma.get("/auth", {"Authorization": "Bearer x"})), status(goma.get("/auth"))], ["BYPASS", "MISS"], "an answer to credentials is not stored")
same(status(goma.get("/auth", {"Authorization": "Bearer x"})), "BYPASS", "and one that does not say that it is for everybody does not answer them")
pages.answer("/auth/cookie", page("mine", Cache_Control="public, max-age=60"))
same([status(goma.get("/auth/cookie", {"Authorization": "Bearer x", "Cookie": "a=b"})), status(goma.get("/auth/cookie"))], ["BYPASS", "MISS"], "with a cookie nothing is stored, whatever it says")

# --- G73: refusals

for code in (400, 401, 403, 405, 413, 414, 431, 500, 501):
    pages.answer(f"/denied/{code}", Reply(code, {"Cache-Control": "max-age=60"}, b"no"), page("yes"))
    goma.get(f"/denied/{code}", {"X-Long": "x" * 4000})
    same(goma.get(f"/denied/{code}").text, "yes", f"a {code} is not stored")
for name, rule, told in (("cacheableStatusCodes", {"cacheableStatusCodes": [400]}, "never stored"), ("negativeTtl", {"negativeTtl": {"413": 5}}, "never stored"),
                         ("excludedResponseCodes", {"excludedResponseCodes": ["5xx"]}, "neither a status nor a range"), ("includeQueryInKey", {"includeQueryInKey": False}, "gives the answer to one query to all others"),
                         ("queryParamsToCache", {"queryParamsToCache": ["a"]}, "must make no difference")):
    goma.write(config_text(ROUTES, [cache(**rule)]), "check.yml")
    output = goma.run("-t", "-p", goma.directory, "-c", "check.yml")
    expect(told in str(output), f"the check tells of {name}", output)

# --- G75: keys

same([status(goma.get(t, f)) for t, f in (("/k?a", {}), ("/k%3Fa", {}), ("/k", {"Host": "a.test"}), ("/k?", {}))], ["MISS"] * 4, "a separator in one part is none of the key")
same(goma.request("PURGE", "/k?a").status, 200, "PURGE is a method like any other")
same(status(goma.get("/k?a")), "MISS", "after an unsafe method what was stored is asked for again")
many = goma.client()
for batch in range(100):
    many.send("".join(f"GET /many?{batch}-{i} HTTP/1.1\r\nHost: a.test\r\n\r\n" for i in range(100)))
    for _ in range(100):
        many.response()
expect(goma.get("/many?last").status == 200, "ten thousand keys later it serves on")

# --- G76: ranges

pages.answer("/range", lambda r: Reply(206, {"Content-Range": "bytes 0-1/4"}, b"ab") if r["Range"] else page("abcd", Cache_Control="max-age=60"))
same([goma.get("/range", {"Range": "bytes=0-1"}).status, goma.get("/range").text, goma.get("/range").text, goma.get("/range", {"Range": "bytes=" + "0-," * 1000}).status], [206, "abcd", "abcd", 200], "a part is not stored, and a thousand of them are the whole")

# --- G77: never half a body

for name, answer in (("length", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nCache-Control: max-age=60\r\n\r\n" + b"x" * 50), ("chunked", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=60\r\n\r\n32\r\n" + b"x" * 50 + b"\r\n"),
                     ("close", b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n\r\n" + b"x" * 50)):
    pages.answer(f"/half/{name}", lambda r, a=answer: (r.connection.send(a), r.connection.close(), None)[2], page("whole", Cache_Control="max-age=60"))
    try:
        goma.get(f"/half/{name}")
    except (Closed, OSError, ValueError):
        pass
    same(goma.get(f"/half/{name}").text, "whole", f"a body that was cut is not stored: {name}")
big = os.urandom(1 << 20) * 64
pages.answer("/big", lambda r: Reply(200, {"Cache-Control": "max-age=60"}, big))
goma.get("/big?first")
before = max(resident(p) for p in goma.worker_pids())
got = goma.get("/big")
after = max(resident(p) for p in goma.worker_pids())
same((len(got.body), got.body == big, status(goma.get("/big"))), (len(big), True, "MISS"), "64 MiB pass whole, and are not stored")
expect(after - before < 8 << 10, "with flat memory", f"{before} -> {after} KiB")
pages.answer("/large", lambda r: Reply(200, {"Cache-Control": "max-age=60"}, chunks=[big[i:i + 100000] for i in range(0, 4 << 20, 100000)]))
for path in ["/big"] * 3 + ["/large"] * 20:
    goma.get(path)
same(status(goma.get("/many?last")), "HIT", "and do not take the place of what is")
left = goma.client()
left.send("GET /big?left HTTP/1.1\r\nHost: a.test\r\n\r\n")
left.until(b"\r\n\r\n")
left.close()
same(status(goma.get("/big?left")), "MISS", "what a client left in the middle is not stored")

# --- no room at all: served uncached

poor = Goma(ROUTES, [cache(memoryLimit="1Ei")], **SETTING)
same([status(poor.get("/poor")), poor.get("/poor").status], ["BYPASS", 200], "without room for a store requests go past it")
expect(poor.told("responses are not stored"), "and the log tells")
