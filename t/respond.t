#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""respond: a fixed answer, without asking the backend."""
from lib.goma import *

origin = Origin()
goma = Goma([route("/fixed", origin, middlewares=["fixed"]), route("/gone", origin, middlewares=["gone"]), route("/", origin)],
            [middleware("fixed", "respond", {"status": 200, "body": "hello\n", "contentType": "text/plain; charset=utf-8"}),
             middleware("gone", "respond", {"status": 204})])
reply = goma.get("/fixed/x")
same((reply.status, reply.text, reply["content-type"], reply["content-length"]),
     (200, "hello\n", "text/plain; charset=utf-8", "6"), "status, body and type")
client = goma.client()
head = client.request("HEAD", "/fixed")
same((head.status, head["content-length"]), (200, "6"), "HEAD: no body, same length")
same(client.request("POST", "/fixed", body=b"x" * 200000).text, "hello\n", "a request body is consumed")
same(client.get("/gone").status, 204, "204 without body on the same connection")
same(client.get("/").text, "origin", "other routes are proxied")
same(len(origin.requests), 1, "the backend saw only that one")
client.send("GET /fixed HTTP/1.1\r\nHost: a\r\n\r\n" * 50)
same([client.response().text for _ in range(50)], ["hello\n"] * 50, "pipelined")
expect(wait_for(lambda: goma.output.count("/fixed") >= 52), "it is logged")
