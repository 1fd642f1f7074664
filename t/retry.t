#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What was written once is never written again unless that is the same as once; what was not written is never lost."""
from lib.goma import *


def script(connection):
    """Answers once per connection, then closes when the next request comes, or at once for /drop."""
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
nobody = [f"http://127.0.0.1:{refused_port()}" for _ in range(4)]
routes = [route("/", origin), route("/pair", [nobody[0], second]), route("/four", [*nobody, second], name="four"), route("/none", nobody, name="none")]


def start(retries):
    return Goma(routes, workers=1, log={"level": "info"}, networking={"retries": retries, "passiveHealthCheck": {"enabled": False}})


def twice(target, method, headers=(), body=b""):
    """Two requests on one backend connection, which closes when it has read the second: the statuses, what the backend read."""
    origin.drop()
    wait_for(lambda: not origin.open)
    origin.clear()
    client = goma.client()
    first = client.get("/warm").status
    answer = client.request(method, target, list(headers), body).status
    return first, answer, [r.method for r in origin.requests][1:]


goma = start(1)
chunked = [("Transfer-Encoding", "chunked")]
for method in ("POST", "PATCH", "LOCK", "X-PAY"):
    same(twice("/stale", method, [("Content-Length", "0")]), (200, 502, [method]), f"{method} with an empty body reaches the backend once")
    same(twice("/stale", method, chunked, b"0\r\n\r\n"), (200, 502, [method]), f"{method} with an empty chunked body too")
    same(twice("/stale", method, body=b"x"), (200, 502, [method]), f"and {method} with a body")
for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE"):
    same(twice("/stale", method, body=None), (200, 200, [method] * 2), f"{method} is asked again when its kept connection closes")
same(twice("/stale", "PUT", body=b"x"), (200, 502, ["PUT"]), "but not when its body has gone")
websocket = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]
same(twice("/stale", "GET", websocket, None), (200, 502, ["GET"]), "a request to upgrade reaches the backend once")
for method, statuses in [("GET", 2), ("POST", 1)]:
    origin.clear()
    same((goma.request(method, "/drop", body=b"" if method == "POST" else None).status, len(origin.requests)), (502, statuses), f"{method} on a new connection that closes: {statuses} in all")
client = goma.client()
client.get("/warm")
origin.clear()
reply = client.get("/part")
same((reply.complete, len(origin.requests)), (False, 1), "nothing is repeated once an answer has begun")
for method in ("GET", "POST"):
    client = goma.client()
    same([client.request(method, "/pair", body=b"x" * 100).text for _ in range(6)], ["second"] * 6, f"{method}: a backend that refuses is passed over")
    same([goma.request(method, "/four", body=b"x").text for _ in range(5)], ["second"] * 5, f"{method}: and four of them")
same(goma.request("POST", "/none", body=b"x").status, 502, "when all refuse it is 502")
expect(goma.told("/four .*status=200.* retries=0 "), "what was not sent is no retry")
for _ in range(20):
    origin.drop()
    expect(goma.request("POST", "/stale", body=b"x").status == 200, "closed while idle, noticed in time")
goma.stop()

goma = start(0)
same(twice("/stale", "GET", body=None), (200, 502, ["GET"]), "retries: 0 means none")
origin.clear()
same((goma.get("/drop").status, len(origin.requests)), (502, 1), "on a new connection too")
same(goma.request("POST", "/four", body=b"x").text, "second", "but what was not sent goes on")
for _ in range(5):
    origin.drop()
    expect(goma.request("POST", "/stale", body=b"x").status == 200, "and a connection closed while idle is replaced")
