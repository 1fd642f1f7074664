#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""RFC 9112 section 9: persistence and pipelining; answers come in order, whatever the requests are."""
import random
from lib.goma import *

origin = Origin(lambda r: Reply(200, body=f"{r.method} {r.target} {len(r.body)}", close="close" in r.target))
goma = Goma([route("/", origin)], [], workers=1)
client = goma.client()
count = 200
client.send("".join(f"GET /{i} HTTP/1.1\r\nHost: a.test\r\n\r\n" for i in range(count)))
same([client.response().text for i in range(count)], [f"GET /{i} 0" for i in range(count)], "200 pipelined requests in order")

rng = random.Random(seed := int(time.time()))
note(f"seed {seed}")
requests, want = [], []
for i in range(150):
    kind = rng.choice(["get", "head", "length", "chunked"])
    size = rng.choice([0, 1, 10, 5000, 70000])
    if kind in ("get", "head"):
        requests.append(f"{kind.upper()} /{i} HTTP/1.1\r\nHost: a.test\r\n\r\n".encode())
        want.append((kind.upper(), f"GET /{i} 0" if kind == "get" else ""))
        continue
    body = b"z" * size
    head = f"PUT /{i} HTTP/1.1\r\nHost: a.test\r\n"
    if kind == "length":
        requests.append(f"{head}Content-Length: {size}\r\n\r\n".encode() + body)
    else:
        chunk = b"%x\r\n%s\r\n" % (size, body) if size else b""
        requests.append(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk + b"0\r\n\r\n")
    want.append(("PUT", f"PUT /{i} {size}"))
stream = b"".join(requests)
client = goma.client()


def feed():
    at = 0
    while at < len(stream):
        step = rng.choice([1, 3, 100, 4096, 65536])
        client.send(stream[at:at + step])
        at += step


import threading
feeder = threading.Thread(target=feed, daemon=True)
feeder.start()
got = [(method, client.response(method).text) for method, _ in want]
same(got, want, "150 mixed requests, cut anywhere, answered in order")
same(client.get("/last").text, "GET /last 0", "and the connection goes on")
client.send("GET /a HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\nGET /b HTTP/1.1\r\nHost: a.test\r\n\r\n")
reply = client.response()
same((reply.text, reply["connection"], client.is_closed()), ("GET /a 0", "close", True), "close ends it after that answer")
client = goma.client()
same(client.get("/close").text, "GET /close 0", "a backend's Connection: close")
same(client.get("/2").text, "GET /2 0", "is not the client's")
client = goma.client()
reply = client.request("GET", "/", {"Connection": "keep-alive"}, version="HTTP/1.0")
same(((reply["connection"] or "").lower(), client.get("/again").status), ("keep-alive", 200), "HTTP/1.0 keep-alive on request")
used = origin.connections
for _ in range(50):
    client.get("/reuse")
same(origin.connections, used, "backend connections are used again")
