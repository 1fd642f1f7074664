#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""RFC 9112 sections 6 and 7, RFC 9110 sections 6.5, 8.6, 10.1.1 and 15.2: bodies and what surrounds them, both ways.
A21, A22 and A25 of the attack cases."""
from lib.goma import *

BIG = bytes(range(256)) * 4096       # 1 MiB


def handler(request):
    kind = request.target.strip("/")
    if kind == "echo":
        return Reply(200, [("X-Length", request["content-length"] or "none"),
                           ("X-Coding", request["transfer-encoding"] or "none")], body=request.body)
    if kind == "chunks":
        return Reply(200, [("Trailer", "X-Sum")], chunks=[b"a" * 10, b"b" * 70000, b"c"], trailers=[("X-Sum", "42")])
    if kind == "close":
        return b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + BIG[:100000]
    if kind == "hints":
        return b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n" + Reply(200, body="page").encode("GET")
    if kind in ("204", "304"):
        return Reply(int(kind), [("ETag", '"x"')])
    return Reply(200, body=b"0123456789")


def script(connection):
    """As the ordinary origin, but a reply without length ends its connection."""
    while request := connection.request():
        origin.record(request)
        reply = handler(request)
        connection.send(reply if isinstance(reply, bytes) else reply.encode(request.method))
        if request.target == "/close":
            return


origin = Origin(script=script)
goma = Goma([route("/", origin)])
client = goma.client()
reply = client.request("POST", "/echo", body=BIG)
same((reply.status, reply.body == BIG, reply["x-length"]), (200, True, str(len(BIG))), "a body with Content-Length")
client.send("POST /echo HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: Chunked\r\n\r\n")
for start in range(0, len(BIG), 100001):
    part = BIG[start:start + 100001]
    client.send(b"%X;ext=1\r\n%s\r\n" % (len(part), part))
client.send("0\r\nX-Sum: 1\r\nHost: b.test\r\nContent-Length: 3\r\nAuthorization: x\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n")
reply = client.response()
same((reply.body == BIG, reply["x-length"], reply["x-coding"]), (True, "none", "chunked"), "a chunked body stays chunked")
names = {n.lower() for n, _ in origin.last.trailers}
expect(not names & {"host", "content-length", "authorization", "x-forwarded-for"}, "A25 dangerous trailers are dropped", names)
same((origin.last["host"], len(origin.last.headers.all("host"))), ("a.test", 1), "A25 and merged into nothing")
reply = client.get("/chunks")
same((len(reply.body), reply.trailers.get("x-sum")), (70011, "42"), "chunks and trailers of a backend")
reply = client.request("GET", "/chunks", version="HTTP/1.0")
same((len(reply.body), reply["transfer-encoding"]), (70011, None), "HTTP/1.0 gets no chunks")
client = goma.client()
reply = client.get("/close")
same((len(reply.body), reply.complete), (100000, True), "a body that ends with the connection")
same(client.get("/echo").status, 200, "after which the client's connection goes on")
for status in (204, 304):
    reply = client.get(f"/{status}")
    same((reply.status, reply["etag"], reply["transfer-encoding"]), (status, '"x"', None), f"{status} has no body")
reply = client.request("HEAD", "/ten")
same((reply.status, reply["content-length"]), (200, "10"), "HEAD tells the length and has no body")
same(client.get("/ten").body, b"0123456789", "and the connection is in step after it")
reply = client.get("/hints")
same(([r.status for r in reply.interim], reply.status, reply.body), ([103], 200, b"page"), "103 passes through")
same(reply.interim[0]["link"] if reply.interim else None, "</style.css>", "with its fields")

client.send("POST /echo HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
same(client.until(b"\r\n\r\n").split(b" ")[1], b"100", "100 Continue is sent before the body")
client.send("hello")
same(client.response().body, b"hello", "and the body then arrives")
for method in ("GET", "HEAD", "DELETE", "OPTIONS", "PROPFIND"):
    origin.clear()
    client.send(f"{method} /echo HTTP/1.1\r\nHost: a.test\r\nContent-Length: 34\r\n\r\nGET /x HTTP/1.1\r\nHost: a.test\r\n\r\n..")
    first = client.response(method)
    second = client.get("/ten")
    same([r.target for r in origin.requests], ["/echo", "/ten"], f"A22 {method} with a body: exactly two requests")
    same((first.status, second.body), (200, b"0123456789"), f"A22 {method}: answered in order")

reply = goma.client().request("POST", "/echo", {"Transfer-Encoding": "chunked"}, b"0\r\n\r\n")
same((reply.status, reply.body), (200, b""), "an empty chunked body")
same(goma.request("POST", "/echo", body=b"").body, b"", "Content-Length: 0")
reply = goma.client().request("OPTIONS", "*")
expect(reply.status < 500, "OPTIONS * is answered", reply)
same(goma.request("BREW", "/ten").status, 200, "an extension method passes")
origin.clear()
reply = goma.client().request("GET", "http://a.test/ten?q=1")
same((reply.status, origin.last.target, origin.last["host"]), (200, "/ten?q=1", "a.test"), "absolute form is forwarded as origin form")
client = goma.client()
client.send("GET /ten HTTP/1.0\r\n\r\n")
same((client.response().status, client.is_closed()), (200, True), "HTTP/1.0 without Host is served and closed")
client = goma.client()
client.send("\r\nGET /ten HTTP/1.1\r\nHost: a.test\r\n\r\n")
same(client.response().status, 200, "RFC 9112 2.2: an empty line before the request line is ignored")
