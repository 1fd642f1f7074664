#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""RFC 9110 13.1.5 and 14, RFC 9111 3.3 and 3.4: parts of what is stored as a whole."""
from lib.goma import *
from lib.cache import *
from lib.rows import *

rows = Rows()
WHEN, BODY = http_date(-10 * DAY), "0123456789"
whole = Reply(200, dated({"Cache-Control": "max-age=60", "ETag": '"a"', "Last-Modified": WHEN, "Content-Type": "text/x-a", "X-A": "1"}), BODY.encode())

# --- 14: one range; None: the whole, "416": there is none

for text, want in (("bytes=0-1", "01"), ("bytes=0-0", "0"), ("bytes=9-9", "9"), ("bytes=2-", "23456789"), ("bytes=9-", "9"), ("bytes=-1", "9"), ("bytes=-3", "789"), ("bytes=-10", BODY), ("bytes=-99", BODY), ("bytes=0-", BODY), ("bytes=0-9", BODY), ("bytes=5-99", "56789"),
                   ("bytes=5-99999999999999999999999", "56789"), ("BYTES=0-1", "01"), ("bytes= 0-1", "01"), ("bytes=0-1,", "01"), ("bytes=,0-1", "01"), ("bytes=0-1, 99-", "01"), ("bytes=10-", "416"), ("bytes=10-20", "416"), ("bytes=99999999999999999999-", "416"), ("bytes=-0", "416"),
                   ("bytes=10-, 20-", "416"), ("bytes=1-0", None), ("bytes=", None), ("bytes", None), ("bytes=a-b", None), ("bytes=0-a", None), ("bytes=--1", None), ("bytes=-", None), ("bytes=0", None), ("bytes=0-1;a", None), ("bytes=0-1 2-3", None), ("bytes=+0-1", None), ("bytes:0-1", None),
                   ("items=0-1", None), ("", None), ("bytes=0-1, 1-0", None), ("bytes=0-,0-", None), ("bytes=" + ",".join(["0-0"] * 17), None)):
    first = BODY.find(want) if want and want != "416" else 0
    wanted = ("stored", 416, {"Content-Range": "bytes */10"}) if want == "416" else ("stored", 200, BODY, {"Content-Range": None}) if want is None else \
             ("stored", 206, want, {"Content-Range": f"bytes {first}-{first + len(want) - 1}/10", "Content-Length": str(len(want)), "ETag": '"a"', "Content-Type": "text/x-a", "X-A": "1", "Cache-Control": "max-age=60"})
    rows.play(f"14: Range: {text[:40]}", [whole], ({}, ("asked", BODY)), ({"Range": text}, wanted), ({}, ("stored", 200, BODY)))

# --- 13.1.5: If-Range; 13.2.2: and the other conditions before it

for name, fields, code in (("the tag", {"If-Range": '"a"'}, 206), ("another tag", {"If-Range": '"b"'}, 200), ("the tag, weakly", {"If-Range": 'W/"a"'}, 200), ("the date", {"If-Range": WHEN}, 206), ("another date", {"If-Range": http_date(-9 * DAY)}, 200), ("a date that is none", {"If-Range": "then"}, 200),
                           ("the tag without quotes", {"If-Range": "a"}, 200), ("If-None-Match that matches", {"If-None-Match": '"a"'}, 304), ("If-None-Match that does not", {"If-None-Match": '"b"'}, 206), ("If-Modified-Since", {"If-Modified-Since": WHEN}, 304)):
    rows.play(f"13: {name}", [whole], ({}, "asked"), ({"Range": "bytes=0-1", **fields}, ("stored", code)))
weak = Reply(200, dated({"Cache-Control": "max-age=60", "ETag": 'W/"a"', "Last-Modified": http_date()}), BODY.encode())
rows.play("13.1.5: a weak stored tag", [weak], ({}, "asked"), ({"Range": "bytes=0-1", "If-Range": 'W/"a"'}, ("stored", 200)))
rows.play("8.8.2.2: a date that is not strong", [weak], ({}, "asked"), ({"Range": "bytes=0-1", "If-Range": http_date()}, ("stored", 200)))
rows.play("14.2: HEAD has no ranges", [whole], ({}, "asked"), ({"Range": "bytes=0-1"}, ("stored", 200, {"Content-Length": "10"}), "HEAD"))
rows.play("14.2: nor has a 404", [Reply(404, dated({"Cache-Control": "max-age=60"}), BODY.encode())], ({}, "asked"), ({"Range": "bytes=0-1"}, ("stored", 404, BODY)))
rows.play("an empty body", [Reply(200, dated({"Cache-Control": "max-age=60"}), b"")], ({}, "asked"), ({"Range": "bytes=0-1"}, ("stored", 416, {"Content-Range": "bytes */0"})))

# --- 14.6: several ranges

for text, ranges in (("bytes=0-1,4-5", [(0, 1), (4, 5)]), ("bytes=4-5, 0-1", [(4, 5), (0, 1)]), ("bytes=0-0,-1", [(0, 0), (9, 9)]), ("bytes=0-1,20-,4-", [(0, 1), (4, 9)]), ("bytes=0-0,1-1,2-2", [(0, 0), (1, 1), (2, 2)])):
    for configuration, path in rows.paths():
        rows.pages.answer(path, whole)
        rows.goma.get(path)
        way, answer = rows.met(path, {"Range": text})
        kind, _, boundary = answer["Content-Type"].partition("; boundary=")
        parts = [p.partition("\r\n\r\n") for p in answer.text.split(f"\r\n--{boundary}")[1:-1]]
        same([way, answer.status, kind, answer["Content-Range"], answer.text.endswith(f"\r\n--{boundary}--\r\n"), [(sorted(h.split("\r\n")[1:]), b) for h, _, b in parts]],
             ["stored", 206, "multipart/byteranges", None, True, [([f"Content-Range: bytes {a}-{b}/10", "Content-Type: text/x-a"], BODY[a:b + 1]) for a, b in ranges]], f"14.6: {text} ({configuration})")
for configuration, path in rows.paths():
    big = os.urandom(300_000)
    rows.pages.answer(path, Reply(200, dated({"Cache-Control": "max-age=60"}), big))
    rows.goma.get(path)
    cut = [(0, 65535), (65535, 65536), (65536, 131072), (1, 299_998), (299_999, 299_999), (131_071, 200_000)]
    same([rows.goma.get(path, {"Range": f"bytes={a}-{b}"}).body == big[a:b + 1] for a, b in cut], [True] * len(cut), f"parts over the pieces of a large body ({configuration})")

# --- RFC 9111 3.3, 3.4: what is not there as a whole

part = Reply(206, dated({"Cache-Control": "max-age=60", "Content-Range": "bytes 0-1/10", "ETag": '"a"'}), b"01")
either = lambda r: part if r["Range"] else whole
rows.play("3.3: a part is not the whole", [either], ({"Range": "bytes=0-1"}, ("asked", 206, "01")), ({}, ("asked", 200, BODY)), ({}, ("stored", 200, BODY)))
rows.play("3.4: parts are not put together", [either], ({"Range": "bytes=0-1"}, ("asked", 206, "01")), ({"Range": "bytes=0-1"}, ("asked", 206, "01")), ({}, ("asked", 200, BODY)))
rows.play("a 416 is not stored", [lambda r: Reply(416, dated({"Content-Range": "bytes */10"}), b"") if r["Range"] else whole], ({"Range": "bytes=50-"}, ("asked", 416)), ({}, ("asked", 200, BODY)))
rows.play("a Range that the backend ignores goes through", [whole], ({"Range": "bytes=0-1"}, ("asked", 200, BODY)))
stale = Reply(200, dated({"Cache-Control": "max-age=10", "Age": "20", "ETag": '"a"'}), BODY.encode())
rows.play("4.3: a stale whole is validated, and cut", [stale, Reply(304, dated({"Cache-Control": "max-age=60"}))], ({}, "asked"), ({"Range": "bytes=0-1"}, ("validated", 206, "01")), ({"Range": "bytes=2-3"}, ("stored", 206, "23")))
rows.play("4.3: what came instead of it is the whole", [stale, Reply(200, dated({"Cache-Control": "max-age=60"}), b"new")], ({}, "asked"), ({"Range": "bytes=0-1", "If-Range": '"a"'}, ("validated", 200, "new")), ({}, ("stored", 200, "new")))
rows.play("a stale one that says only-if-cached", [stale], ({}, "asked"), ({"Range": "bytes=0-1", "Cache-Control": "only-if-cached"}, "504"))
