#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""RFC 9111 as a table: what a backend answers, what is asked next, and whether the store may answer it."""
from lib.goma import *
from lib.cache import *

pages = Pages()
RULES = {"goma": {}, "strict": {"ttlPolicy": "rfc"}, "override": {"ttlPolicy": "override", "maxTtl": 90},
         "errors": {"negativeTtl": {"404": 30, "410": 30}}, "private": {"cachePrivateResponses": True}, "mute": {"ignoreRequestDirectives": True}}
goma = Goma([route(f"/{name}", pages.origin, name=name, middlewares=[name]) for name in RULES],
            [cache(name, memoryLimit="16Mi", **rule) for name, rule in RULES.items()])
DAY = 86400

# name; rule; status and fields of the response; fields of the second request; what the second request meets
TABLE = [
    # 4.2.1: how long it is fresh
    ("max-age", "goma", 200, {"Cache-Control": "max-age=60"}, {}, "HIT"),
    ("s-maxage wins over max-age", "goma", 200, {"Cache-Control": "s-maxage=60, max-age=0"}, {}, "HIT"),
    ("s-maxage 0", "goma", 200, {"Cache-Control": "max-age=60, s-maxage=0"}, {}, "MISS"),
    ("max-age 0", "goma", 200, {"Cache-Control": "max-age=0"}, {}, "MISS"),
    ("max-age wins over Expires", "goma", 200, {"Cache-Control": "max-age=60", "Expires": http_date(-DAY)}, {}, "HIT"),
    ("Expires ahead", "goma", 200, {"Expires": http_date(DAY)}, {}, "HIT"),
    ("Expires passed", "goma", 200, {"Expires": http_date(-DAY)}, {}, "MISS"),
    ("Expires: 0", "goma", 200, {"Expires": "0"}, {}, "MISS"),
    ("Expires in a form that is none", "goma", 200, {"Expires": http_date(DAY).replace("GMT", "CET")}, {}, "MISS"),
    ("Expires with RFC 850", "goma", 200, {"Expires": time.strftime("%A, %d-%b-%y %H:%M:%S GMT", time.gmtime(time.time() + DAY))}, {}, "HIT"),
    ("Expires with asctime", "goma", 200, {"Expires": time.asctime(time.gmtime(time.time() + DAY))}, {}, "HIT"),
    ("nothing is said: the operator's time", "goma", 200, {}, {}, "HIT"),
    ("nothing is said, and the backend's clock is wrong", "goma", 200, {"Date": http_date(-DAY)}, {}, "HIT"),
    ("nothing is said, strictly", "strict", 200, {}, {}, "MISS"),
    ("a tenth of its age, strictly", "strict", 200, {"Last-Modified": http_date(-DAY)}, {}, "HIT"),
    ("changed a moment ago, strictly", "strict", 200, {"Last-Modified": http_date(-5)}, {}, "EXPIRED"),
    ("overridden", "override", 200, {"Cache-Control": "max-age=0"}, {}, "HIT"),
    ("several max-age", "goma", 200, {"Cache-Control": ["max-age=60", "max-age=0"]}, {}, "MISS"),
    ("a number that overflows", "goma", 200, {"Cache-Control": "max-age=99999999999999999999999"}, {}, "HIT"),
    ("a number that is none", "goma", 200, {"Cache-Control": "max-age=6O"}, {}, "MISS"),
    ("a negative number", "goma", 200, {"Cache-Control": "max-age=-60"}, {}, "MISS"),
    ("a fraction", "goma", 200, {"Cache-Control": "max-age=60.5"}, {}, "MISS"),
    ("a quoted number", "goma", 200, {"Cache-Control": 'max-age="60"'}, {}, "HIT"),
    ("white space around =", "goma", 200, {"Cache-Control": "max-age = 60"}, {}, "MISS"),
    ("upper case", "goma", 200, {"Cache-Control": "MAX-AGE=60"}, {}, "HIT"),
    ("unknown directives", "goma", 200, {"Cache-Control": 'a, b=c, d="e, no-store", max-age=60'}, {}, "HIT"),
    ("a quote that does not end", "goma", 200, {"Cache-Control": 'max-age=60, a="b, no-store'}, {}, "MISS"),
    # 4.2.3: how old it is
    ("older than its lifetime on arrival", "goma", 200, {"Cache-Control": "max-age=60", "Age": "61"}, {}, "MISS"),
    ("Age below it", "goma", 200, {"Cache-Control": "max-age=60", "Age": "10"}, {}, "HIT"),
    ("the first of two Ages", "goma", 200, {"Cache-Control": "max-age=60", "Age": ["70", "10"]}, {}, "MISS"),
    ("an Age that is none", "goma", 200, {"Cache-Control": "max-age=60", "Age": "old"}, {}, "HIT"),
    ("an Age that overflows", "goma", 200, {"Cache-Control": "max-age=2000000000", "Age": "99999999999999"}, {}, "MISS"),
    ("a Date long ago", "goma", 200, {"Cache-Control": "max-age=60", "Date": http_date(-DAY)}, {}, "MISS"),
    ("a Date that is none", "goma", 200, {"Cache-Control": "max-age=60", "Date": "now"}, {}, "HIT"),
    # 3: what may be stored
    ("no-store", "goma", 200, {"Cache-Control": "no-store, max-age=60"}, {}, "MISS"),
    ("NO-STORE with a value", "goma", 200, {"Cache-Control": 'NO-STORE="x", max-age=60'}, {}, "MISS"),
    ("no-store on a second line", "goma", 200, {"Cache-Control": ["max-age=60", "no-store"]}, {}, "MISS"),
    ("no-store, overridden time", "override", 200, {"Cache-Control": "no-store"}, {}, "MISS"),
    ("private", "goma", 200, {"Cache-Control": "private, max-age=60"}, {}, "MISS"),
    ('private="x"', "goma", 200, {"Cache-Control": 'private="x-a", max-age=60'}, {}, "HIT"),
    ("no-cache", "goma", 200, {"Cache-Control": "no-cache, max-age=60"}, {}, "MISS"),
    ('no-cache="x"', "goma", 200, {"Cache-Control": 'no-cache="x-a", max-age=60'}, {}, "HIT"),
    ("must-understand with a status that is", "goma", 200, {"Cache-Control": "must-understand, max-age=60"}, {}, "HIT"),
    ("Set-Cookie", "goma", 200, {"Cache-Control": "public, max-age=60", "Set-Cookie": "a=b"}, {}, "MISS"),
    ("Vary: *", "goma", 200, {"Cache-Control": "max-age=60", "Vary": "*"}, {}, "MISS"),
    ("Vary: Accept, *", "goma", 200, {"Cache-Control": "max-age=60", "Vary": "Accept, *"}, {}, "MISS"),
    ("Vary: * on a second line", "goma", 200, {"Cache-Control": "max-age=60", "Vary": ["Accept", "*"]}, {}, "MISS"),
    ("too many Vary fields", "goma", 200, {"Cache-Control": "max-age=60", "Vary": "A, B, C, D"}, {}, "MISS"),
    ("an event stream", "goma", 200, {"Cache-Control": "max-age=60", "Content-Type": "text/event-stream"}, {}, "MISS"),
    ("206", "goma", 206, {"Cache-Control": "max-age=60"}, {}, "MISS"),
    ("204", "goma", 204, {"Cache-Control": "max-age=60"}, {}, "HIT"),
    ("301", "goma", 301, {"Cache-Control": "max-age=60", "Location": "/x"}, {}, "MISS"),
    ("300", "goma", 300, {"Cache-Control": "max-age=60"}, {}, "HIT"),
    ("404", "goma", 404, {"Cache-Control": "max-age=60"}, {}, "MISS"),
    ("404 with a time of its own", "errors", 404, {}, {}, "HIT"),
    ("410 with a time of its own, and no-store", "errors", 410, {"Cache-Control": "no-store"}, {}, "MISS"),
    ("500", "goma", 500, {"Cache-Control": "max-age=60"}, {}, "MISS"),
    ("401", "goma", 401, {"Cache-Control": "public, max-age=60", "WWW-Authenticate": "Basic"}, {}, "MISS"),
    # 5.2.1: what the request says
    ("request max-age", "goma", 200, {"Cache-Control": "max-age=60", "Age": "10"}, {"Cache-Control": "max-age=5"}, "EXPIRED"),
    ("request max-age above the age", "goma", 200, {"Cache-Control": "max-age=60", "Age": "10"}, {"Cache-Control": "max-age=30"}, "HIT"),
    ("request min-fresh", "goma", 200, {"Cache-Control": "max-age=60"}, {"Cache-Control": "min-fresh=70"}, "EXPIRED"),
    ("request min-fresh below what is left", "goma", 200, {"Cache-Control": "max-age=60"}, {"Cache-Control": "min-fresh=20"}, "HIT"),
    ("request no-cache", "goma", 200, {"Cache-Control": "max-age=60"}, {"Cache-Control": "no-cache"}, "EXPIRED"),
    ("Pragma: no-cache", "goma", 200, {"Cache-Control": "max-age=60"}, {"Pragma": "no-cache"}, "EXPIRED"),
    ("Pragma is nothing beside Cache-Control", "goma", 200, {"Cache-Control": "max-age=60"}, {"Pragma": "no-cache", "Cache-Control": "max-age=50"}, "HIT"),
    ("request no-store", "goma", 200, {"Cache-Control": "max-age=60"}, {"Cache-Control": "no-store"}, "BYPASS"),
    ("request no-cache where requests are not followed", "mute", 200, {"Cache-Control": "max-age=60"}, {"Cache-Control": "no-cache"}, "HIT"),
    # requests that go past the cache
    ("Authorization", "goma", 200, {"Cache-Control": "max-age=60"}, {"Authorization": "Basic x"}, "BYPASS"),
    ("Cookie", "goma", 200, {"Cache-Control": "max-age=60"}, {"Cookie": "a=b"}, "BYPASS"),
    ("Range of what is not there", "goma", 200, {"Cache-Control": "no-store"}, {"Range": "bytes=0-1"}, "BYPASS"),
    ("If-Match", "goma", 200, {"Cache-Control": "max-age=60", "ETag": '"a"'}, {"If-Match": '"a"'}, "BYPASS"),
    ("WebSocket", "goma", 200, {"Cache-Control": "max-age=60"}, {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}, "BYPASS"),
    # for each client's own
    ("private, for the same credentials", "private", 200, {"Cache-Control": "private, max-age=60"}, {"Authorization": "Basic x"}, "HIT"),
]


def lines(fields):
    return [(n, v) for n, values in fields.items() for v in (values if isinstance(values, list) else [values])]


for number, (name, rule, code, fields, asked, want) in enumerate(TABLE):
    path = f"/{rule}/{number}"
    given = [("Date", http_date())] if "Date" not in fields else []
    pages.answer(path, Reply(code, given + lines(fields), b"" if code == 204 else b"body"))
    first = goma.get(path, {"Authorization": "Basic x"} if rule == "private" else None)
    second = goma.get(path, asked)
    same((first.status, status(first), status(second)), (code, "MISS", want), f"{name}: {want}")
    if want == "HIT" and second.text != first.text:
        expect(False, f"{name}: the same body", (first.text, second.text))

# --- only-if-cached

pages.answer("/goma/only", page(Cache_Control="max-age=60"))
same(goma.get("/goma/only", {"Cache-Control": "only-if-cached"}).status, 504, "only-if-cached: what is not there is 504")
same(pages.count("/goma/only"), 0, "and the backend is not asked")
goma.get("/goma/only")
same(status(goma.get("/goma/only", {"Cache-Control": "only-if-cached"})), "HIT", "what is there is served")

# --- 4.3: validation

ETAG, WHEN = '"v1"', http_date(-DAY)


def validated(request):
    if request["If-None-Match"] == ETAG or (ETAG is None and request["If-Modified-Since"] == WHEN):
        return Reply(304, [("Date", http_date()), ("ETag", '"v1"'), ("Cache-Control", "max-age=60"), ("X-New", "yes")])
    return page("v1", Cache_Control="max-age=60", ETag='"v1"', Last_Modified=WHEN, X_Old="yes", X_New="no")


pages.answer("/goma/valid", validated)
goma.get("/goma/valid")
again = goma.get("/goma/valid", {"Cache-Control": "no-cache"})
same((again.status, again.text, status(again)), (200, "v1", "REVALIDATED"), "a 304 of the backend makes the stored response good")
same([pages.last("/goma/valid")[n] for n in ("If-None-Match", "If-Modified-Since")], ['"v1"', WHEN], "the backend was asked with both validators")
same([again["X-Old"], again["X-New"], again["Content-Length"]], ["yes", "yes", "2"], "its fields are those of the 304 where it has some")
third = goma.get("/goma/valid")
same([status(third), third.text, third["X-New"], pages.count("/goma/valid")], ["HIT", "v1", "yes", 2], "and it is stored so")
pages.answer("/goma/changed", page("one", Cache_Control="max-age=60", ETag='"1"'), page("two", Cache_Control="max-age=60", ETag='"2"'))
goma.get("/goma/changed")
same([goma.get("/goma/changed", {"Cache-Control": "no-cache"}).text, goma.get("/goma/changed").text], ["two", "two"], "a 200 takes the stored response's place")
pages.answer("/goma/other", page("one", Cache_Control="max-age=60", ETag='"1"'), Reply(304, [("ETag", '"9"'), ("Date", http_date())]), page("two", Cache_Control="max-age=60"))
goma.get("/goma/other")
goma.get("/goma/other", {"Cache-Control": "no-cache"})
same(goma.get("/goma/other").text, "two", "a 304 about another representation is not believed")

# --- conditions of clients

pages.answer("/goma/cond", page("body", Cache_Control="max-age=60", ETag='"v1"', Last_Modified=WHEN, Content_Type="text/plain", X_Other="x"))
goma.get("/goma/cond")
for name, fields, want in [("If-None-Match", {"If-None-Match": '"v1"'}, 304), ("weakly", {"If-None-Match": 'W/"v1"'}, 304), ("in a list", {"If-None-Match": '"a,b", "v1"'}, 304),
                           ("any", {"If-None-Match": "*"}, 304), ("another", {"If-None-Match": '"v2"'}, 200), ("If-Modified-Since", {"If-Modified-Since": WHEN}, 304),
                           ("later", {"If-Modified-Since": http_date()}, 304), ("earlier", {"If-Modified-Since": http_date(-2 * DAY)}, 200), ("no date", {"If-Modified-Since": "x"}, 200),
                           ("If-None-Match first", {"If-None-Match": '"v2"', "If-Modified-Since": WHEN}, 200)]:
    answer = goma.get("/goma/cond", fields)
    same((answer.status, status(answer)), (want, "HIT"), f"a client's condition: {name}: {want}")
    if want == 304:
        same([answer.body, answer["Content-Length"], answer["ETag"], answer["Content-Type"], answer["X-Other"], answer["Age"] is None], [b"", None, '"v1"', None, None, False], "a 304 has what belongs to it")
same(pages.count("/goma/cond"), 1, "the backend was asked once")
pages.answer("/goma/cold", lambda r: Reply(304, [("ETag", '"v1"')]) if r["If-None-Match"] else page("whole", Cache_Control="max-age=60", ETag='"v1"'))
same((goma.get("/goma/cold", {"If-None-Match": '"v1"'}).status, goma.get("/goma/cold").text, status(goma.get("/goma/cold"))), (304, "whole", "HIT"), "a 304 is not stored as the response")

# --- HEAD

pages.answer("/goma/head", page("four", Cache_Control="max-age=60"))
missed = goma.request("HEAD", "/goma/head")
goma.get("/goma/head")
head = goma.request("HEAD", "/goma/head")
same([status(missed), status(head), head["Content-Length"], head.body, pages.count("/goma/head")], ["MISS", "HIT", "4", b"", 2], "HEAD is served from what a GET has stored")

# --- 4.4: invalidation

for method, code, want in [("POST", 200, "MISS"), ("PUT", 204, "MISS"), ("DELETE", 303, "MISS"), ("PATCH", 200, "MISS"), ("POST", 500, "HIT"), ("OPTIONS", 200, "HIT")]:
    path = f"/goma/inv-{method}-{code}"
    pages.answer(path, lambda r: page(Cache_Control="max-age=60") if r.method == "GET" else Reply(code, [], b""))
    goma.get(path)
    changed = goma.request(method, path, {"Authorization": "x"}, b"" if method != "OPTIONS" else None)
    same((status(changed), status(goma.get(path))), ("BYPASS", want), f"after {method} with {code}: {want}")

# --- 4.1: Vary

pages.answer("/goma/vary", lambda r: page(f"{r['X-Kind']}", Cache_Control="max-age=60", Vary="X-Kind"))
seen = [goma.get("/goma/vary", {"X-Kind": k} if k is not None else {}) for k in ("a", "b", "a", "b", None, None, "")]
same([(status(r), r.text) for r in seen], [("MISS", "a"), ("MISS", "b"), ("HIT", "a"), ("HIT", "b"), ("MISS", "None"), ("HIT", "None"), ("MISS", "")], "variants by a field of the request")
pages.answer("/goma/coding", lambda r: page("x", Cache_Control="max-age=60", Vary="accept-encoding"))
goma.get("/goma/coding", {"Accept-Encoding": "gzip, br"})
same([status(goma.get("/goma/coding", {"Accept-Encoding": v})) for v in ("br;q=0.5,gzip", "br", "gzip, br;q=0", "BR,  X-GZIP")], ["HIT", "MISS", "MISS", "HIT"], "Accept-Encoding counts as the set of what is accepted")
pages.answer("/goma/grows", page("1", Cache_Control="max-age=60"), page("2", Cache_Control="max-age=60", Vary="X-A"), page("3", Cache_Control="max-age=60", Vary="X-A, X-B"))
seen = [goma.get("/goma/grows", f) for f in ({"X-A": "1"}, {"X-A": "1", "Cache-Control": "no-cache"}, {"X-A": "1"}, {"X-A": "2"}, {"X-A": "2"}, {"X-A": "2", "X-B": "1"})]
same([status(r) for r in seen], ["MISS", "EXPIRED", "HIT", "MISS", "HIT", "MISS"], "what responses differ by may become more")
