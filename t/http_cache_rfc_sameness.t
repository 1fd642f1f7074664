#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""RFC 9111 2, 4.1 and 4.4: which requests are the same, by which fields responses differ, and what unsafe methods take away."""
from lib.goma import *
from lib.cache import *
from lib.rows import *

rows = Rows()


def varies(by, **more):
    return Reply(200, dated({"Cache-Control": "max-age=3600", "Vary": by, **more}), b"body")


# --- 4.1: Vary: its value, the fields of the first and of the second request

BOTH = {"X-A": "1", "X-B": "2"}
THREE = {**BOTH, "X-C": "3"}
for by, one, two, want in (("X-A", {"X-A": "1"}, {"X-A": "1"}, "stored"), ("X-A", {"X-A": "1"}, {"X-A": "2"}, "asked"), ("X-A", {"X-A": "1"}, {}, "asked"), ("X-A", {}, {"X-A": "1"}, "asked"), ("X-A", {}, {}, "stored"), ("x-a", {"X-A": "1"}, {"x-A": "1"}, "stored"),
                           ("X-A", {"X-A": ""}, {}, "asked"), ("X-A", {"X-A": "a"}, {"X-A": "A"}, "asked"), ("X-A, X-B", BOTH, BOTH, "stored"), ("X-A,X-B", BOTH, {**BOTH, "X-B": "3"}, "asked"), ("X-B ,X-A", BOTH, {"X-A": "1"}, "asked"),
                           ("X-A, X-B, X-C", THREE, THREE, "stored"), ("X-A, X-B, X-C", THREE, BOTH, "asked"), ("X-A, X-B, X-C", THREE, {**THREE, "X-C": "4"}, "asked"), (["X-A", "X-B"], BOTH, BOTH, "stored"), (["X-A", "X-B"], BOTH, {**BOTH, "X-B": "3"}, "asked"),
                           ("*", {}, {}, "asked"), ("X-A, *", {"X-A": "1"}, {"X-A": "1"}, "asked"), ("*, X-A", {}, {}, "asked"), (["X-A", "*"], {}, {}, "asked"), (" * ", {}, {}, "asked"), (", X-A,", {"X-A": "1"}, {"X-A": "1"}, "stored"), ("", {}, {"X-A": "1"}, "stored"),
                           ("X-A", {"X-A": "1,2"}, {"X-A": "1, 2"}, "stored"), ("X-A", {"X-A": "1 , 2"}, {"X-A": "1,2"}, "stored"), ("X-A", {"X-A": "1, 2"}, {"X-A": ["1", "2"]}, "stored"), ("X-A", {"X-A": "1, 2"}, {"X-A": "2, 1"}, "asked"),
                           ("X-A", {"X-A": '"1,2"'}, {"X-A": '"1, 2"'}, "asked"), ("X-A", {"X-A": "  1  "}, {"X-A": "1"}, "stored"), ("X-A", {"X-A": "1 2"}, {"X-A": "1  2"}, "asked"), ("Accept-Language", {"Accept-Language": "en"}, {"Accept-Language": "EN"}, "stored"),
                           ("Accept-Language", {"Accept-Language": "en, de"}, {"Accept-Language": "en,de"}, "stored"), ("Accept-Language", {"Accept-Language": "en;q=0.5, de"}, {"Accept-Language": "de, en; q=0.5"}, "stored"),
                           ("Accept-Language", {"Accept-Language": "en, de"}, {"Accept-Language": "de, en"}, "asked"), ("Accept-Language", {"Accept-Language": "en"}, {"Accept-Language": "de"}, "asked"), ("Accept-Language", {}, {"Accept-Language": ""}, "asked"),
                           ("Accept-Encoding", {"Accept-Encoding": "gzip, br"}, {"Accept-Encoding": "br,gzip"}, "stored"), ("Accept-Encoding", {"Accept-Encoding": "gzip"}, {"Accept-Encoding": "gzip, br"}, "asked"),
                           ("Accept-Encoding", {"Accept-Encoding": "gzip"}, {"Accept-Encoding": "gzip;q=0"}, "asked"), ("Accept-Encoding", {"Accept-Encoding": "GZIP"}, {"Accept-Encoding": "x-gzip"}, "stored"), ("Accept", {"Accept": "a/b"}, {"Accept": "a/b"}, "stored"),
                           ("Accept", {"Accept": "a/b"}, {"Accept": "a/c"}, "asked"), ("User-Agent", {"User-Agent": "a"}, {"User-Agent": "b"}, "asked"), ("X-A", {"X-A": "1", "X-B": "1"}, {"X-A": "1", "X-B": "2"}, "stored")):
    name = by if isinstance(by, str) else " | ".join(by)
    rows.play(f"4.1: Vary: {name}: {one}, {two}", [varies(by)], (lines(one), "asked"), (lines(two), want))
rows.play("4.1: variants lie side by side", [varies("X-A")], ({"X-A": "1"}, "asked"), ({"X-A": "2"}, "asked"), ({"X-A": "1"}, "stored"), ({"X-A": "2"}, "stored"))
rows.play("4.1: each is validated by its own tag", [varies("X-A", ETag='"1"', Age="4000"), varies("X-A", ETag='"2"', Age="4000"), lambda r: Reply(304, dated({"Cache-Control": "max-age=60"})) if r["If-None-Match"] == '"1"' else page("wrong")],
          ({"X-A": "1"}, "asked"), ({"X-A": "2"}, "asked"), ({"X-A": "1"}, ("validated", 200, "body", {"ETag": '"1"'})))

# --- 2: the URL

for other, want in (("?a=1", "asked"), ("?", "asked"), ("/x", "asked"), ("%2f", "asked"), (".", "asked")):
    for configuration, path in rows.paths():
        rows.pages.answer(path, page("body", Cache_Control="max-age=60"))
        rows.goma.get(path)
        before = rows.pages.count(path)
        answer = rows.goma.get(path + other)
        expect((status(answer) == "HIT") == (want == "stored"), f"2: a URL with {other} behind it: {want} ({configuration})", status(answer))
for configuration, path in rows.paths():
    rows.pages.answer(path, page("body", Cache_Control="max-age=60"))
    same([status(rows.goma.get(path + q, h)) for q, h in (("?a=1", {}), ("?a=1", {}), ("?a=2", {}), ("?b=1&a=1", {}), ("?a=1", {"Host": "other.test"}))], ["MISS", "HIT", "MISS", "MISS", "MISS"], f"2: queries and hosts ({configuration})")

# --- 4.4: unsafe methods

for method, code, gone in (("POST", 200, True), ("POST", 204, True), ("POST", 302, True), ("POST", 303, True), ("POST", 404, False), ("POST", 500, False), ("PUT", 200, True), ("PUT", 201, True), ("PUT", 412, False), ("DELETE", 204, True), ("DELETE", 403, False),
                           ("PATCH", 200, True), ("M-SEARCH", 200, True), ("PROPPATCH", 207, True), ("OPTIONS", 200, False), ("HEAD", 200, False), ("PROPFIND", 207, None)):
    if gone is not None:
        rows.play(f"4.4: {method} answered with {code}", [page("v1", Cache_Control="max-age=60"), Reply(code, dated({}), b""), page("v2")] if method != "HEAD" else [page("v1", Cache_Control="max-age=60")],
                  ({}, ("asked", "v1")), ({}, "asked" if method != "HEAD" else "stored", method), ({}, ("asked", "v2") if gone else ("stored", "v1")))
rows.play("4.4: what comes to POST is not stored", [Reply(200, dated({"Cache-Control": "max-age=60"}), b"v1")], ({}, "asked", "POST"), ({}, "asked"))
for field in ("Location", "Content-Location"):
    for form, host, gone in (("{path}", None, True), ("http://{host}{path}", None, True), ("HTTP://{HOST}{path}", None, True), ("//{host}{path}", None, True), ("{name}", None, True), ("./{name}", None, True), ("{path}#part", None, True), ("http://other.test{path}", None, False),
                             ("//other.test{path}", None, False), ("https://{host}{path}", None, False), ("mailto:{path}", None, False), ("{path}?a", None, False), ("http://{host}:81{path}", None, False)):
        for code in (201, 500):
            for (configuration, target), (_, poster) in zip(rows.paths(), rows.paths()):
                value = form.format(path=target, name=target.rsplit("/", 1)[1], host="a.test", HOST="A.TEST")
                rows.pages.answer(target, page("v1", Cache_Control="max-age=60"))
                rows.pages.answer(poster, Reply(code, dated({field: value}), b""))
                rows.goma.get(target, {"Host": "a.test"})
                rows.goma.request("POST", poster, {"Host": "a.test"})
                same(rows.met(target, {"Host": "a.test"})[0], "asked" if gone and code == 201 else "stored", f"4.4: {field}: {form} with {code} ({configuration})")
