#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""RFC 9111 4.3, RFC 9110 13: stale responses are validated, clients' conditions are answered, a 304 and a HEAD bring news."""
from lib.goma import *
from lib.cache import *
from lib.rows import *

rows = Rows()
WHEN, OLD = http_date(-10 * DAY), {"Cache-Control": "max-age=10", "Age": "20"}


def first(body=b"v1", **more):
    return Reply(200, dated({**OLD, **more}), body)


def unchanged(**fields):
    return Reply(304, dated(fields))


# --- 4.3.1: which validators are sent

for name, fields, sent in (("ETag", {"ETag": '"a"'}, ['"a"', None]), ("weak ETag", {"ETag": 'W/"a"'}, ['W/"a"', None]), ("Last-Modified", {"Last-Modified": WHEN}, [None, WHEN]), ("both", {"ETag": '"a"', "Last-Modified": WHEN}, ['"a"', WHEN]),
                           ("neither", {}, [None, None]), ("ETag without quotes", {"ETag": "a"}, ["a", None])):
    for configuration, path in rows.paths():
        rows.pages.answer(path, first(**fields), first(b"v2"))
        rows.goma.get(path)
        rows.goma.get(path, {"If-None-Match": '"client"', "If-Modified-Since": http_date(-DAY)} if fields else {})
        same([rows.pages.last(path)[n] for n in ("If-None-Match", "If-Modified-Since")], sent, f"4.3.1: {name}: the stored validators are sent ({configuration})")
for text in ("no-cache", "no-cache, max-age=60", "max-age=0", "max-age=0, must-revalidate", "s-maxage=0", "no-cache, s-maxage=60", "public, no-cache"):
    rows.play(f"5.2.2.4: {text} is stored, and validated each time", [Reply(200, dated({"Cache-Control": text, "ETag": '"a"'}), b"v1"), unchanged(ETag='"a"')],
              ({}, ("asked", "v1")), ({}, ("validated", 200, "v1")), ({}, ("validated", 200, "v1")), ({"If-None-Match": '"a"'}, ("validated", 304)))
rows.play("5.2.2.4: a new representation takes the place", [Reply(200, dated({"Cache-Control": "no-cache", "ETag": '"a"'}), b"v1"), Reply(200, dated({"Cache-Control": "no-cache", "ETag": '"b"'}), b"v2"), unchanged(ETag='"b"')],
          ({}, ("asked", "v1")), ({}, ("validated", "v2")), ({}, ("validated", 200, "v2")))

# --- 4.3.3: what the answer to a validation does

for code, want in ((200, "v2"), (404, "v2"), (410, "v2"), (302, "v2"), (500, "v2"), (503, "v2")):
    rows.play(f"4.3.3: {code} goes to the client", [first(ETag='"a"'), Reply(code, dated({}), b"v2")], ({}, "asked"), ({}, ("validated", code, want)))
rows.play("4.3.3: a fresh 200 is stored", [first(ETag='"a"'), Reply(200, dated({"Cache-Control": "max-age=60"}), b"v2")], ({}, "asked"), ({}, ("validated", "v2")), ({}, ("stored", "v2")))
rows.play("4.3.3: after an error that is not stored it is validated again", [first(ETag='"a"'), Reply(503, dated({}), b"no"), unchanged()], ({}, "asked"), ({}, ("validated", 503)), ({}, ("validated", 200, "v1")))

# --- 4.3.4, 3.2: a 304 updates the stored response

for name, old, new, want in (("Cache-Control", "max-age=10", "max-age=60", "max-age=60"), ("X-New", None, "1", "1"), ("X-Old", "1", None, "1"), ("X-Both", "1", "2", "2"), ("Content-Type", "text/a", "text/b", "text/b"),
                             ("Content-Language", "de", "en", "en"), ("Content-Location", "/a", "/b", "/b"), ("Link", "</a>; rel=x", "</b>; rel=x", "</b>; rel=x"), ("Content-MD5", "x", "y", "y"), ("Last-Modified", WHEN, http_date(-9 * DAY), http_date(-9 * DAY)),
                             ("Expires", http_date(-9), http_date(90), http_date(90)), ("Content-Encoding", "x-a", "x-b", "x-a"), ("Content-Length", None, None, "2"), ("Access-Control-Allow-Origin", "a", "b", "b"),
                             ("Content-Security-Policy", "default-src 'none'", "default-src 'self'", "default-src 'self'"), ("Clear-Site-Data", '"cache"', '"cookies"', '"cookies"'), ("X-Frame-Options", "DENY", "SAMEORIGIN", "SAMEORIGIN")):
    news = {"Cache-Control": "max-age=60", name: new}
    rows.play(f"3.2: {name} {old} becomes {want}", [first(ETag='"a"', **({name: old} if name != "Cache-Control" else {})), unchanged(**news, ETag='"a"')], ({}, "asked"), ({}, ("validated", 200, "v1", {name: want})), ({}, ("stored", 200, "v1", {name: want})))
rows.play("3.2: a 304 without freshness is as old as what it validates was long", [Reply(200, dated({"Cache-Control": "max-age=60", "Age": "70", "ETag": '"a"'}), b"v1"), unchanged(ETag='"a"')], ({}, "asked"), ({}, ("validated", "v1")), ({}, ("stored", "v1")))
rows.play("3.2: Age of the 304 counts", [first(ETag='"a"'), unchanged(**{"Cache-Control": "max-age=60", "Age": "50"})], ({}, "asked"), ({}, "validated"), ({}, ("stored", {"Age": "50"})))
rows.play("a 304 that says no-store", [first(ETag='"a"'), unchanged(**{"Cache-Control": "no-store"}), page("v2")], ({}, "asked"), ({}, ("validated", "v1")), ({}, ("asked", "v2")))
rows.play("a 304 of another entity tag", [first(ETag='"a"'), unchanged(ETag='"b"', **{"Cache-Control": "max-age=60"}), page("v2")], ({}, "asked"), ({}, "validated"), ({}, ("asked", "v2")))

# --- RFC 9110 13: conditions of clients on what is stored

CONDITIONS = [({"If-None-Match": '"a"'}, 304), ({"If-None-Match": 'W/"a"'}, 304), ({"If-None-Match": '"b", "a"'}, 304), ({"If-None-Match": '"b","a","c"'}, 304), ({"If-None-Match": "*"}, 304), ({"If-None-Match": '"b"'}, 200), ({"If-None-Match": '"a,b"'}, 200),
              ({"If-None-Match": "a"}, 200), ({"If-Modified-Since": WHEN}, 304), ({"If-Modified-Since": http_date(-DAY)}, 304), ({"If-Modified-Since": http_date(-20 * DAY)}, 200), ({"If-Modified-Since": "then"}, 200),
              ({"If-Modified-Since": time.asctime(time.gmtime(time.time() - DAY))}, 304), ({"If-None-Match": '"b"', "If-Modified-Since": WHEN}, 200), ({"If-None-Match": '"a"', "If-Modified-Since": http_date(-20 * DAY)}, 304), ({"If-None-Match": ' "a" '}, 304)]
for fields, code in CONDITIONS:
    rows.play(f"RFC 9110 13: {fields}", [Reply(200, dated({"Cache-Control": "max-age=60", "ETag": '"a"', "Last-Modified": WHEN, "X-A": "1"}), b"v1")], ({}, "asked"),
              (fields, ("stored", code, {"ETag": '"a"', "Cache-Control": "max-age=60", "X-A": None if code == 304 else "1"})))
rows.play("RFC 9110 13: not on a 404", [Reply(404, dated({"Cache-Control": "max-age=60", "ETag": '"a"'}), b"v1")], ({}, "asked"), ({"If-None-Match": '"a"'}, ("stored", 404)))
rows.play("RFC 9110 13: a condition on what is not there goes through", [unchanged(ETag='"a"'), page("v1", Cache_Control="max-age=60")], ({"If-None-Match": '"a"'}, ("validated", 304)), ({}, ("asked", "v1")), ({}, ("stored", "v1")))

# --- 4.3.5: HEAD

HEAD = (lambda **more: Reply(200, dated({"Cache-Control": "max-age=60", **more}), b""))
whole = first(ETag='"a"', **{"Last-Modified": WHEN})
rows.play("4.3.5: HEAD is answered from a stored GET", [page("v1", Cache_Control="max-age=60")], ({}, "asked"), ({}, ("stored", 200, {"Content-Length": "2"}), "HEAD"))
rows.play("4.3.5: a HEAD that is the same brings news", [whole, Reply(200, dated({"Cache-Control": "max-age=60", "ETag": '"a"', "X-New": "1"}), b"v1")], ({}, "asked"), ({}, "asked", "HEAD"), ({}, ("stored", "v1", {"X-New": "1"})))
for name, fields, body in (("ETag", {"ETag": '"b"'}, b"v1"), ("Last-Modified", {"Last-Modified": http_date(-DAY)}, b"v1"), ("Content-Length", {"ETag": '"a"'}, b"v1+")):
    rows.play(f"4.3.5: a HEAD with another {name} makes it old", [whole, Reply(200, dated({"Cache-Control": "max-age=60", **fields}), body), page("v2")], ({}, "asked"), ({}, "asked", "HEAD"), ({}, ("asked", "v2")))
rows.play("a HEAD alone stores nothing", [page("v1", Cache_Control="max-age=60")], ({}, "asked", "HEAD"), ({}, ("asked", "v1")))
