#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""RFC 9111 3: what is stored, of which statuses, with which fields, and what is not."""
from lib.goma import *
from lib.cache import *
from lib.rows import *

rows = Rows()
FRESH, LATER = {"Cache-Control": "max-age=3600"}, http_date(3600)
OLD = {"Last-Modified": http_date(-10 * DAY)}
NEVER = (400, 413, 431)

# --- 3, 4.2.1: any final status with explicit freshness, but refusals of how a request was written

for code in (200, 201, 202, 203, 204, 207, 226, 299, 300, 301, 302, 303, 307, 308, 399, 401, 402, 403, 404, 405, 409, 410, 414, 418, 429, 451, 499, 500, 501, 502, 503, 504, 505, 599):
    rows.check(f"3: {code} with max-age", FRESH, "stored", status=code)
    rows.check(f"3: {code}, stale", {"Cache-Control": "max-age=10", "Age": "11"}, "asked", status=code)
for code in NEVER:
    rows.check(f"{code} says how the request was written", FRESH, "asked", status=code)
rows.check("206 to who did not ask for a part", {**FRESH, "Content-Range": "bytes 0-3/4"}, "asked", status=206)

# --- 4.2.2, RFC 9110 15.1: heuristics for the statuses that allow them

for code in (200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501):
    rows.check(f"4.2.2: {code} with Last-Modified", OLD, "stored", status=code)
    rows.check(f"4.2.2: {code} with nothing", {}, "asked", status=code)
for code in (201, 202, 205, 207, 226, 299, 302, 303, 307, 399, 400, 403, 409, 429, 499, 500, 502, 503, 504, 599):
    rows.check(f"4.2.2: {code} with Last-Modified", OLD, "asked", status=code)
for code in (201, 302, 403, 599):
    rows.check(f"4.2.2: {code} with Last-Modified and public", {**OLD, "Cache-Control": "public"}, "stored", status=code)
    rows.check(f"3: {code} with Expires", {"Expires": LATER}, "stored", status=code)
    rows.check(f"3: {code} with s-maxage", {"Cache-Control": "s-maxage=9"}, "stored", status=code)

# --- 5.2.2: what forbids it

for text in ("no-store", "No-Store", "no-store, max-age=3600", "max-age=3600, no-store", "no-store=x, max-age=3600", 'no-store="a", max-age=3600', "max-age=3600,no-store", " no-store ,max-age=3600",
             "private, max-age=3600", "PRIVATE, max-age=3600", "public, private, max-age=3600", "private=, max-age=3600", "max-age=3600; no-store", 'max-age=3600, a="b, no-store'):
    rows.check(f"5.2.2: {text}", {"Cache-Control": text, "ETag": '"a"'}, "asked")
rows.check("no-store on a line of its own", {"Cache-Control": ["max-age=3600", "no-store"]}, "asked")
rows.check("private on a line of its own", {"Cache-Control": ["private", "max-age=3600"]}, "asked")
rows.check("no-store in a quoted value of another directive", {"Cache-Control": 'a="b, no-store", max-age=3600'}, "stored")
rows.check("no-store as part of another name", {"Cache-Control": "x-no-store, max-age=3600"}, "stored")
rows.check("Pragma of a response is nothing (5.4)", {**FRESH, "Pragma": "no-cache"}, "stored")
rows.check("immutable", {"Cache-Control": "max-age=3600, immutable"}, "stored")
rows.check("immutable, stale", {"Cache-Control": "max-age=10, immutable", "Age": "20", "ETag": '"a"'}, "validated")
rows.check("an attachment", {**FRESH, "Content-Disposition": "attachment"}, "stored")
rows.check("must-understand, no-store and a status that is", {"Cache-Control": "max-age=3600, no-store, must-understand"}, "stored")
rows.check("must-understand and a status that is not", {"Cache-Control": "max-age=3600, must-understand"}, "asked", status=599)
rows.check("Set-Cookie is one client's own", {**FRESH, "Set-Cookie": "a=b"}, "asked")
rows.check("a Content-Range on a 200 is nothing (RFC 9110 14.4)", {**FRESH, "Content-Range": "bytes 0-3/4"}, "stored")
rows.check("request no-store", FRESH, "asked", first={"Cache-Control": "no-store"})
rows.check("request no-store on another line", FRESH, "asked", first={"Cache-Control": "max-age=5, No-Store"})

# --- 3.5: Authorization

SECRET = {"Authorization": "Basic x"}
for text, want in (("max-age=60", "asked"), ("public, max-age=60", "stored"), ("max-age=60, must-revalidate", "stored"), ("s-maxage=60", "stored"), ("max-age=60, proxy-revalidate", "asked"),
                   ("private, s-maxage=60", "asked"), ("public, no-store", "asked"), ('max-age=60, a="public"', "asked"), ("s-maxage=0, max-age=60", "asked")):
    rows.check(f"3.5: {text}, both with credentials", {"Cache-Control": text}, want, SECRET, SECRET)
    rows.check(f"3.5: {text}, stored with credentials", {"Cache-Control": text}, want, None, SECRET)
    rows.check(f"3.5: {text}, asked with credentials", {"Cache-Control": text}, want, SECRET)
rows.check("3.5: other credentials", {"Cache-Control": "public, max-age=60"}, "stored", {"Authorization": "Basic y"}, SECRET)
rows.check("a cookie goes past", {"Cache-Control": "public, max-age=60"}, "asked", {**SECRET, "Cookie": "a=b"}, SECRET)

# --- 3.1: which fields are stored

KEPT = {"X-Any": "1", "Content-Language": "de", "Content-Security-Policy": "default-src 'self'", "Link": "</a>; rel=b", "X-Frame-Options": "DENY", "ETag": '"a"', "Content-Type": "text/x-any", "Content-Location": "/a",
        "Content-MD5": "x", "Clear-Site-Data": '"cache"', "Content-Encoding": "x-any", "Expires": LATER, "Allow": "GET", "Retry-After": "9", "Access-Control-Allow-Origin": "*"}
for name, value in KEPT.items():
    rows.play(f"3.1: {name} is stored", [Reply(200, dated({**FRESH, name: value}), b"body")], ({}, "asked"), ({}, ("stored", 200, {name: value})))
for name in ("Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Upgrade", "X-Hop"):
    rows.play(f"3.1: {name} is not", [Reply(200, dated({**FRESH, name: "x", "Connection": "X-Hop, keep-alive"}), b"body")], ({}, "asked"), ({}, ("stored", 200, {name: None})))
for text, gone in (('private="x-a"', ["X-A"]), ('no-cache="X-A, x-b"', ["X-A", "X-B"]), ("no-cache=x-b", ["X-B"]), ('private="x-a", no-cache="x-b"', ["X-A", "X-B"])):
    left = {n: None if n in gone else "1" for n in ("X-A", "X-B", "X-C")}
    rows.play(f"5.2.2: {text} keeps fields out", [Reply(200, dated({"Cache-Control": f"max-age=60, {text}", "X-A": "1", "X-B": "1", "X-C": "1"}), b"body")], ({}, ("asked", {n: "1" for n in left})), ({}, ("stored", 200, left)))
rows.play("a body that is not all there", [lambda r: (r.connection.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n\r\nhalf"), r.connection.close(), None)[2], page("whole")], ({}, "asked"), ({}, ("asked", "whole")))
rows.play("a length that the connection's end tells", [Reply(200, dated(FRESH), b"chunked", chunks=[b"chun", b"ked"])], ({}, "asked"), ({}, ("stored", "chunked")))
