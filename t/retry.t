#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A request is repeated only when that is safe: nobody sees the close of an idle backend connection."""
from lib.goma import *


def script(connection):
    """Answers once per connection, then closes when the next request comes, or at once for /now."""
    served = 0
    while request := connection.request():
        origin.record(request)
        if served and "stale" in request.target or "drop" in request.target or "part" in request.target:
            if "part" in request.target:
                connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
            return
        served += 1
        connection.send(Reply(200, body="ok").encode(request.method))


origin = Origin(script=script)
second = Origin(name="second")
goma = Goma([route("/", origin), route("/pair", [f"http://127.0.0.1:{refused_port()}", second])], workers=1, log={"level": "error"})
client = goma.client()
same([client.get("/stale").status for _ in range(6)], [200] * 6, "a reused connection that closes is replaced unseen")
for kind, headers, body in [("an empty body", {}, b""), ("an empty chunked body", {"Transfer-Encoding": "chunked"}, b"0\r\n\r\n")]:
    client = goma.client()
    got = [client.request("POST", "/stale", headers, body).status for _ in range(4)]
    same(set(got) - {200, 502}, set(), f"{kind} on a stale connection is answered") or note(got)
origin.clear()
same(client.request("POST", "/drop", body=b"x").status, 502, "a POST on a new connection is not repeated")
same(len([r for r in origin.requests if r.method == "POST"]) <= 2, True, "the backend saw it once, or twice if the first was a stale connection")
origin.clear()
client = goma.client()
reply = client.get("/part")
same((reply.complete, len(origin.requests)), (False, 1), "nothing is repeated once an answer has begun")
origin.clear()
reply = goma.get("/drop")
expect(reply.status == 502 and len(origin.requests) <= 3, "a GET that always fails is given up", (reply, len(origin.requests)))
client = goma.client()
same([client.get("/pair").text for _ in range(6)], ["second"] * 6, "a backend that refuses is passed over")
same(client.request("POST", "/pair", body=b"x" * 100).text, "second", "also for a POST, for nothing was sent")
for _ in range(20):
    origin.drop()
    expect(goma.get("/stale").status == 200, "closed while idle, noticed in time")
