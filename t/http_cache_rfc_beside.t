#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""RFC 9213 (fields that are meant for this cache) and RFC 5861 (stale where that is allowed)."""
from lib.goma import *
from lib.cache import *
from lib.rows import *

rows = Rows()
CDN, OURS, CC = "CDN-Cache-Control", "Goma-CDN-Cache-Control", "Cache-Control"

# --- RFC 9213: what can be read counts instead of Cache-Control and Expires; what cannot is nothing

for field in (CDN, OURS):
    for text, other, want in (("max-age=60", None, "stored"), ("max-age=60", "no-store", "stored"), ("max-age=60", "private", "stored"), ("max-age=60", "max-age=0", "stored"), ("max-age=0", "max-age=60", "asked"), ("no-store", "max-age=60", "asked"), ("private", "max-age=60", "asked"),
                              ("no-cache, max-age=60", "max-age=60", "asked"), ("s-maxage=60, max-age=0", None, "stored"), ("max-age=60;a=b", None, "stored"), ("max-age=60, a=(b c);d", None, "stored"), ('max-age=60, a="no-store, b"', None, "stored"), ("max-age=60, no-store=?0", None, "stored"),
                              ("max-age=60, no-store=?1", None, "asked"), ("max-age=60,  no-store", None, "asked"), ("max-age=0, max-age=60", None, "stored"), ("max-age=60, max-age=0", None, "asked"), ("max-age=-60", "max-age=60", "asked"), ('max-age="60"', "max-age=60", "asked"), ("max-age=60.0", "max-age=60", "asked"),
                              ("max-age=a", "max-age=60", "asked"), ("max-age", "max-age=60", "asked"), ("max-age=60, a=:YQ==:", None, "stored"), ("max-age=2147483648", None, "stored"), ("max-age=999999999999999", None, "stored"), ("public", "max-age=60", "asked"),
                              ("max-age=60, ", "no-store", "asked"), ("max-age=60 no-store", "max-age=60", "stored"), ("max-age = 60", "max-age=60", "stored"), ("Max-Age=0", "max-age=60", "stored"), ("no-store; max-age=60 !", "max-age=60", "stored"), ("max-age=60, a=\"b", "no-store", "asked"), ("", "max-age=60", "stored"),
                              ("&no-store", "max-age=60", "stored"), ("max-age=9999999999999999", "max-age=60", "stored"), ('a="\\x"', "max-age=60", "stored"), ("max-age=60\t,\tpublic", None, "stored"), ("a=?2", "max-age=60", "stored"), ("a=1.", "max-age=60", "stored"), ("a=(b", "max-age=60", "stored")):
        rows.check(f"RFC 9213: {field}: {text!r} beside {other}", {field: text, CC: other}, want)
rows.check("RFC 9213: on two lines", {CDN: ["max-age=60", "no-store"]}, "asked")
rows.check("RFC 9213: Expires does not count", {CDN: "max-age=60", "Expires": "0"}, "stored")
rows.check("RFC 9213: nor where it is later", {CDN: "public", "Expires": http_date(90)}, "asked")
rows.check("RFC 9213: Age counts", {CDN: "max-age=60", "Age": "61"}, "asked")
rows.check("RFC 9213 2.2: ours before the general one", {OURS: "max-age=60", CDN: "no-store"}, "stored")
rows.check("RFC 9213 2.2: ours, and it forbids", {OURS: "no-store", CDN: "max-age=60"}, "asked")
rows.check("RFC 9213 2.2: ours is none, so the general one", {OURS: "?", CDN: "max-age=60", CC: "no-store"}, "stored")
rows.check("RFC 9213: another cache's", {"Other-CDN-Cache-Control": "max-age=60"}, "asked")
rows.check("Surrogate-Control is none of it", {"Surrogate-Control": "max-age=60"}, "asked")
rows.check("RFC 9213: with credentials", {CDN: "public, max-age=60"}, "stored", {"Authorization": "x"}, {"Authorization": "x"})
rows.check("RFC 9213: a validator alone", {CDN: "no-cache", "ETag": '"a"'}, "validated")
rows.play("RFC 9213: the fields go on to clients", [Reply(200, dated({CDN: "max-age=60", CC: "no-store", 'X-A': "1"}), b"body")], ({}, ("asked", {CC: "no-store", CDN: "max-age=60"})), ({}, ("stored", {CC: "no-store", CDN: "max-age=60"})))
rows.play("RFC 9213: and named fields stay out", [Reply(200, dated({CDN: 'max-age=60, private="x-a"', "X-A": "1"}), b"body")], ({}, ("asked", {"X-A": "1"})), ({}, ("stored", {"X-A": None})))

# --- RFC 5861: errors of the backend

gone = lambda r: (r.connection.close(), None)[1]
for text, age, ok in (("max-age=10, stale-if-error=60", "20", True), ("max-age=10, stale-if-error=60", "90", False), ("max-age=10", "20", False), ("max-age=10, stale-if-error=60, must-revalidate", "20", False), ("max-age=10, stale-if-error=60, proxy-revalidate", "20", False),
                      ("max-age=10, s-maxage=10", "20", False), ("s-maxage=10, stale-if-error=60", "20", True), ("max-age=10, stale-if-error=x", "20", False), ("max-age=10, Stale-If-Error=60", "20", True), ("max-age=10, stale-if-error=60, no-cache", "20", False),
                      ("max-age=10, stale-if-error=60, stale-if-error=5", "20", False), ('max-age=10, stale-if-error="60"', "20", True), ("max-age=10, stale-if-error", "20", False)):
    for error in (500, 502, 503, 504):
        rows.play(f"RFC 5861 4: {text} at {age}, {error}", [Reply(200, dated({CC: text, "Age": age, "ETag": '"a"'}), b"v1"), Reply(error, dated({}), b"no")], ({}, "asked"), ({}, ("validated", 200, "v1") if ok else ("validated", error, "no")))
    rows.play(f"RFC 5861 4: {text} at {age}, no answer", [Reply(200, dated({CC: text, "Age": age, "ETag": '"a"'}), b"v1"), gone], ({}, "asked"), ({}, ("validated", 200, "v1") if ok else ("validated", 502)))
rows.play("RFC 5861 4: a 404 is no error", [Reply(200, dated({CC: "max-age=10, stale-if-error=60", "Age": "20", "ETag": '"a"'}), b"v1"), Reply(404, dated({}), b"no")], ({}, "asked"), ({}, ("validated", 404)))

# --- RFC 5861: while it is validated

for text, age, ok in (("max-age=10, stale-while-revalidate=60", "20", True), ("max-age=0, stale-while-revalidate=60", "0", True), ("s-maxage=10, stale-while-revalidate=60", "20", True), ("max-age=10, stale-while-revalidate=60", "90", False), ("max-age=10, stale-while-revalidate=0", "20", False),
                      ("max-age=10, stale-while-revalidate=60, must-revalidate", "20", False), ("max-age=10, stale-while-revalidate=60, no-cache", "20", False), ("max-age=10, stale-while-revalidate=x", "20", False), ("max-age=10", "20", False)):
    for configuration, path in rows.paths():
        rows.pages.answer(path, Reply(200, dated({CC: text, "Age": age, "ETag": '"a"'}), b"v1"), Reply(200, dated({CC: "max-age=60"}), b"v2"))
        rows.goma.get(path)
        now = rows.goma.get(path)
        wait_for(lambda: rows.pages.count(path) == 2)
        later = wait_for(lambda: rows.goma.get(path).text == "v2")
        same((now.text, later, rows.pages.count(path), rows.pages.last(path)["If-None-Match"]), ("v1" if ok else "v2", True, 2, '"a"'), f"RFC 5861 3: {text} at {age} ({configuration})")
