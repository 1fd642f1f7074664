#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The harness itself: its Client against its Origin, with no gateway between them."""
from lib.goma import *


def handler(request):
    if request.target == "/chunks":
        return Reply(200, chunks=[b"one", b"two"], trailers=[("X-End", "yes")])
    if request.target == "/early":
        return b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + Reply(200, body="late").encode("GET")
    if request.target == "/short":
        return b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"
    if request.target == "/none":
        return None
    return Reply(200, [("X-Method", request.method)], body=request.body or b"empty")


origin = Origin(handler)
address = (origin.host, origin.port)
client = Client(address)
same(client.request("POST", "/", body=b"x" * 100000).body, b"x" * 100000, "a body goes both ways")
same(client.request("HEAD", "/")["x-method"], "HEAD", "HEAD has no body")
chunked = client.get("/chunks")
same((chunked.body, chunked.trailers.get("x-end")), (b"onetwo", "yes"), "chunks and trailers")
same([r.status for r in client.get("/early").interim], [103], "informational responses")
client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /chunks HTTP/1.1\r\nHost: a\r\n\r\n")
same([client.response().body, client.response().body], [b"empty", b"onetwo"], "pipelining")
client.send("POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n")
same(client.response().body, b"abc", "a chunked request")
same(origin.last.trailers, [("T", "v")], "its trailers are kept")
client.send("GET /none HTTP/1.1\r\nHost: a\r\n\r\n")
same(client.outcome(), "closed", "an unanswered client sees the end")
expect(client.is_closed(), "and the connection is closed")
client = Client(address)
client.send("GET /short HTTP/1.1\r\nHost: a\r\n\r\n")
expect(wait_for(lambda: len(origin.requests) == 9), "the request arrived")
origin.drop()
expect(not client.response().complete, "a short body is seen as such")
refused = False
try:
    Client(("127.0.0.1", refused_port()))
except OSError:
    refused = True
expect(refused, "a refused port refuses")
load = Load(address, threads=2)
expect(wait_for(lambda: load.total > 50), "load makes requests")
load.stop()
same(load.failures, [], "none fails")
