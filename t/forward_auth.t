#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""forwardAuth: asks the auth service with what Goma sends, lets in on 200 only, and fails closed (D55)."""
from lib.goma import *


def answer(request):
    want = request["x-want"] or "200"
    if want == "hang":
        released.wait(20)
        return Reply(200)
    if want == "drop":
        return None
    if want == "302":
        return Reply(302, [("Location", "/login")])
    if want == "huge":
        return Reply(200, [("X-User", "u")], body=b"x" * 3_000_000)
    status = int(want)
    return Reply(status, [("X-User", "alice"), ("X-Groups", "ops"), ("WWW-Authenticate", 'Bearer realm="x"'), ("Set-Cookie", "s=1"),
                          ("Connection", "X-User"), ("X-Secret", "not listed")], body="auth body")


import threading
released = threading.Event()
auth = Origin(answer, name="auth")
origin = Origin(lambda r: Reply(200, body=json.dumps([r.target, r.headers])))
base = {"authUrl": auth.url + "/verify?from=goma", "authRequestHeaders": ["X-Want", "X-Tenant"],
        "authResponseHeaders": ["X-User", "X-Groups: X-Roles"], "authResponseHeadersAsParams": ["X-User: user"]}
goma = Goma([route("/", origin, middlewares=["fa"]), route("/sign", origin, middlewares=["sign"]),
             route("/dead", origin, middlewares=["dead"]), route("/part", origin, middlewares=["part"])],
            [middleware("fa", "forwardAuth", {**base, "timeout": "1s"}),
             middleware("sign", "forwardAuth", {**base, "authSignIn": "https://login.test/?rd="}),
             middleware("dead", "forwardAuth", {"authUrl": f"http://127.0.0.1:{refused_port()}/"}),
             middleware("part", "forwardAuth", base, paths=["/part/in"])], workers=1)

reply = goma.request("POST", "/a/b?x=1", {"Cookie": "c=1; d=2", "Authorization": "Bearer t", "User-Agent": "ua", "X-Tenant": "t1",
                                          "X-User": "root", "X-Roles": "admin", "X-Not-Listed": "1"}, body=b"payload")
same(reply.status, 200, "200 lets in")
target, fields = json.loads(reply.text)
fields = Fields(map(tuple, fields))
same((fields.all("x-user"), fields.all("x-roles")), (["alice"], ["ops"]), "listed fields replace the client's")
same(fields.all("x-secret"), [], "others are not copied")
same(target, "/a/b?x=1&user=alice", "a field becomes a query parameter")
same(origin.last.body, b"payload", "the request body reaches the backend")
asked = auth.last
same((asked.method, asked.target, asked.body), ("GET", "/verify?from=goma", b""), "the service is asked with GET, without body")
url = "http://a.test/a/b?x=1"
for name, want in [("X-Forwarded-Method", "POST"), ("X-Forwarded-Host", "a.test"), ("X-Forwarded-Proto", "http"), ("X-Forwarded-URI", url),
                   ("X-Original-URL", url), ("X-Forwarded-For", "127.0.0.1"), ("X-Real-IP", "127.0.0.1"), ("Authorization", "Bearer t"),
                   ("Cookie", "c=1; d=2"), ("User-Agent", "ua"), ("X-Tenant", "t1"), ("X-Not-Listed", None),
                   ("Host", f"127.0.0.1:{auth.port}")]:
    same(asked[name], want, f"the service gets {name}: {want}")
origin.clear()
for want, status in [("401", 401), ("403", 403), ("204", 401), ("404", 401), ("500", 500), ("302", 401), ("drop", 500), ("hang", 503)]:
    reply = goma.get("/", {"X-Want": want})
    same(reply.status, status, f"{want} becomes {status}")
    expect("auth body" not in reply.text, f"{want}: the service's body is not passed on")
    if want in ("401", "403"):
        same((reply["www-authenticate"], reply.text.split("\n")[0][:3]), ('Bearer realm="x"', want), f"{want}: WWW-Authenticate is relayed")
released.set()
same(goma.get("/dead").status, 500, "an unreachable service lets nobody in")
same(len(origin.requests), 0, "none of these reached the backend")
same(goma.get("/", {"X-Want": "huge"}).status, 503, "a huge answer is bounded")
reply = goma.get("/sign/x?y=z", {"X-Want": "401"})
same((reply.status, reply["location"]), (302, "https://login.test/?rd=http%3A%2F%2Fa.test%2Fsign%2Fx%3Fy%3Dz"), "401 with authSignIn redirects")
auth.clear()
same(goma.get("/part/out").status, 200, "paths: a path not listed passes")
same(len(auth.requests), 0, "without asking")
same(goma.get("/part/in", {"X-Want": "403"}).status, 403, "a listed one is asked")
fields = Fields(map(tuple, json.loads(goma.get("/part/out", {"X-User": "root"}).text)[1]))
same(fields.all("x-user"), [], "C40 client copies of injected fields are removed on every path of the route")
before = auth.connections
for _ in range(30):
    goma.get("/")
expect(auth.connections - before <= 2, "connections to the service are used again", auth.connections - before)
client = goma.client()
client.request("GET", "/", {"X-Want": "hang"}, read=False) if released.clear() is None else None
expect(auth.wait(lambda o: o.last["x-want"] == "hang"), "a client waits for the service")
client.close()
released.set()
same(goma.get("/").status, 200, "and leaving harms nobody")
