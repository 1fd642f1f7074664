#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Goma's table of canonical paths, and attack cases B27-B33: one form of a path is routed, judged and forwarded."""
from lib.goma import *

origin = Origin(lambda r: Reply(200, body=r.target), name="open")
admin = Origin(lambda r: Reply(200, body="ADMIN " + r.target), name="admin")
auth = Origin(lambda r: Reply(401))
goma = Goma([route("/", origin), route("/admin", admin, middlewares=["guard"]),
             route("/pub", admin, name="pub", rewrite="/admin", middlewares=["guard-admin"])],
            [middleware("guard", "forwardAuth", {"authUrl": auth.url + "/check"}),
             middleware("guard-admin", "forwardAuth", {"authUrl": auth.url + "/check"}, paths=["/pub/secret"])],
            log={"level": "error"})


def ask(target, method="GET"):
    client = goma.client()
    client.send(f"{method} ".encode() + target + b" HTTP/1.1\r\nHost: a.test\r\n\r\n")
    try:
        reply = client.response(method)
        return reply.status, reply.text
    except Closed:
        return "closed", ""
    finally:
        client.close()


for raw, want in [
        (b"/a//b", "/a/b"), (b"/a/./b", "/a/b"), (b"/a/c/../b", "/a/b"), (b"/a//b//", "/a/b/"), (b"//", "/"), (b"/", "/"),
        (b"/a/..", "/"), (b"/a/b/..", "/a/"), (b"/../a", "/a"), (b"/a/.", "/a/"), (b"/..", "/"),
        (b"/files/report%2ev1.json", "/files/report%2ev1.json"), (b"/files/a%20b", "/files/a%20b"),
        (b"/a?x=../../admin&y=//", "/a?x=../../admin&y=//"), (b"/a//b?c=%zz;d", "/a/b?c=%zz;d"),
        (b"/x/%252e%252e%252fadmin", "/x/%252e%252e%252fadmin"), (b"/...", "/..."), (b"/.a/..b", "/.a/..b"),
        (b"/a;b=c/d", "/a;b=c/d"), (b"/a%2Fb", "/a%2Fb"), (b"/?", "/?")]:
    status, text = ask(raw)
    same((status, text), (200, want), f"{raw.decode()} reaches the backend as {want}")

for raw in (b"/admin", b"/admin/", b"/admin/x", b"//admin", b"/./admin", b"/x/../admin", b"/%61dmin", b"/x//..//admin",
            b"/%61%64%6d%69%6e/x", b"/admin?x", b"/admin;x", b"/admin;x/y", b"/x/../../admin", b"/admin//"):
    status, text = ask(raw)
    expect(status == 401 and "ADMIN" not in text, f"B27 {raw.decode()} is judged as /admin", (status, text))

for raw in (b"/x/%2e%2e/admin", b"/x/%2E%2E/admin", b"/x/..%2fadmin", b"/x/..%2Fy", b"/x/..%5cy", b"/x/%2e./admin", b"/x/.%2e/admin",
            b"/x/..;/admin", b"/..;x/admin", b"/x%2f..%2fadmin", b"/x/%2e%2e%2fadmin",
            b"/x%5c..%5cadmin", b"/a\\b", b"/a%00b", b"/a%c0%afb", b"/a%e0%80%afb", b"/a\xc3\xa9", b"/\xff", b"/a%", b"/a%4", b"/a%zz",
            b"/a%0d%0ab", b"/a%7f", b"/a\x7fb", b"/a\"b<>"[:3] + b"\x01"):
    status, text = ask(raw)
    expect(status == 400, f"B27-B29 {raw!r} is 400", (status, text))

status, text = ask(b"/;/admin")
expect(status in (400, 401) or text == "/;/admin", "B28 /;/admin is no way round the guard", (status, text))
before = len(admin.requests)
for raw in (b"/admin%2fx", b"/admin%3fx", b"/admin%23", b"/admin%3bx", b"/admin%25"):
    status, text = ask(raw)
    expect(status in (200, 400, 401) and "ADMIN" not in text, f"B31 {raw.decode()} does not reach the guarded backend",
           (status, text))
same(len(admin.requests), before, "the guarded backend never saw a request")
for raw in (b"/pub/secret", b"/pub//secret", b"/pub/x/../secret", b"/pub/%73ecret"):
    same(ask(raw)[0], 401, f"B32 {raw.decode()} with a rewrite is judged by the path received")
same(ask(b"/pub/open")[1], "ADMIN /admin/open", "B32 and what is not guarded passes rewritten")
same(ask(b"/", "TRACE")[0], 405, "B33 TRACE is refused")
expect(ask(b"a.test:443", "CONNECT")[0] in (400, 405), "B33 CONNECT is refused")
expect(ask(b"/", "get")[0] in (400, 405, 501), "B33 a lower-case method is not GET")
reply = goma.get("/admin", {"X-HTTP-Method-Override": "DELETE", "X-Original-URL": "/", "X-Rewrite-URL": "/"})
same(reply.status, 401, "B33 override fields change nothing")
expect(goma.canary(), "a canary passes")
