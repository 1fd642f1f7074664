#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 to clients over a plain entry point: requests and bodies both ways, and what may come between (RFC 9113 8)."""
import subprocess

from lib.goma import *
from lib import h2

BIG = bytes(range(256)) * 4096 * (16 if LONG else 4)


def handler(request):
    kind = request.target.strip("/").partition("?")[0]
    if kind == "echo":
        return Reply(200, [("X-Length", request["content-length"] or "none"), ("X-Coding", request["transfer-encoding"] or "none"),
                           ("X-Trailer", request.trailers.get("x-sum") or "none")], body=request.body)
    if kind == "chunks":
        return Reply(200, [("Trailer", "X-Sum")], chunks=[b"a" * 10, b"b" * 70000, b"c"], trailers=[("X-Sum", "42")])
    if kind == "hints":
        return b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n" + Reply(200, body="page").encode("GET")
    if kind in ("204", "304"):
        return Reply(int(kind), [("ETag", '"x"')])
    if kind == "big":
        return Reply(200, body=BIG)
    if kind == "short":
        return b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"
    return Reply(200, [("Connection", "close, X-Hop"), ("X-Hop", "1"), ("Keep-Alive", "timeout=5")], body=b"0123456789")


def script(connection):
    """As the ordinary origin, but what was cut short ends its connection."""
    while request := connection.request():
        origin.record(request)
        reply = handler(request)
        connection.send(reply if isinstance(reply, bytes) else reply.encode(request.method))
        if request.target == "/short":
            return


def hasty(connection):
    """Answers a head without reading its content."""
    while request := connection.head():
        early.record(request)
        connection.send(Reply(413, body="early").encode("POST"))
        connection.is_closed(PATIENCE)


origin = Origin(script=script)
early = Origin(script=hasty)
H2C = {"entryPoints": {"web": {"address": "127.0.0.1:0", "h2c": True}}}
goma = Goma([route("/", origin), route("/early", early)], **H2C)

# --- requests and responses

peer = h2.dial(goma.address)
got = peer.ask("GET", "/plain?a=1", ("cookie", "a=1"), ("cookie", "b=2"), ("x-own", "v"))
same((got.status, got.body, got["content-length"], got["connection"], got["keep-alive"], got["x-hop"]),
     (200, b"0123456789", "10", None, None, None), "a GET is answered, without the fields of a connection")
seen = origin.last
same((seen.target, seen["host"], seen["cookie"], seen["x-own"]), ("/plain?a=1", "a.test", "a=1; b=2", "v"),
     "the backend sees it as HTTP/1.1, cookies in one field")
same(len(seen.headers.all("cookie")), 1, "and only one")
got = peer.ask("HEAD", "/plain")
same((got.status, got.body, got["content-length"], got.ended), (200, b"", "10", True), "HEAD")
for status in (204, 304):
    got = peer.ask("GET", f"/{status}")
    same((got.status, got.body, got["content-length"], got.ended), (status, b"", None, True), f"a {status}")
got = peer.ask("POST", "/echo", ("content-length", "5"), body=b"hello")
same((got.body, got["x-length"], got["x-coding"]), (b"hello", "5", "none"), "a body with content-length")
got = peer.ask("POST", "/echo", body=b"hello", trailers=[("x-sum", "7"), ("host", "b.test"), ("x-forwarded-for", "1.2.3.4")])
same((got.body, got["x-coding"], got["x-trailer"]), (b"hello", "chunked", "7"), "a body without, and trailers")
expect(not {n.lower() for n, _ in origin.last.trailers} & {"host", "x-forwarded-for"}, "dangerous trailers are dropped")
got = peer.ask("GET", "/chunks")
same((len(got.body), got.trailers.get("x-sum"), got.ended), (70011, "42", True), "trailers of a backend")
got = peer.ask("GET", "/hints")
same((got.interim[0][0], dict(got.interim[0][1])["link"], got.status, got.body), (103, "</style.css>", 200, b"page"),
     "early hints and the response behind them")
got = peer.ask("POST", "/echo", ("expect", "100-continue"), body=b"hello")
same((got.status, got.body), (200, b"hello"), "100-continue")
number = peer.next_stream()
peer.send(h2.headers(number, h2.request("POST", "/echo", ("expect", "100-continue"), ("content-length", "5")), end=False))
waiting = peer.stream(number)
expect(peer.wait(lambda: [i[0] for i in waiting.interim] == [100]), "who waits is told to go on", waiting)
peer.send(h2.data(number, b"hello", end=True))
expect(peer.wait(lambda: waiting.done) and waiting.body == b"hello", "and then served", waiting)
got = peer.ask("GET", "/short")
same((got.status, got.body, got.reset), (200, b"only this", "INTERNAL_ERROR"), "a response cut short ends with a reset")
same(peer.ask("GET", "/plain").status, 200, "of its stream only")

# --- many at once, and large

streams = [peer.ask("GET", f"/plain?{i}", wait=False) for i in range(50)]
peer.wait(lambda: all(s.done for s in streams))
same({(s.status, s.body) for s in streams}, {(200, b"0123456789")}, "50 streams at once")
streams = [peer.ask("GET", "/big", wait=False) for i in range(3)]
peer.wait(lambda: all(s.done for s in streams), 4 * PATIENCE)
expect(all(s.body == BIG for s in streams), "large responses side by side, byte for byte")
same(peer.violations, [], "nothing against the RFC was seen")
peer.close()
run = subprocess.run(["curl", "-s", "--http2-prior-knowledge", f"http://{goma.address[0]}:{goma.address[1]}/echo", "-H", "Expect:",
                      "--data-binary", "@-", "-m", "20"], input=BIG, capture_output=True, check=False)
expect(run.stdout == BIG, "curl uploads and downloads at once, byte for byte", len(run.stdout))
same(goma.get("/plain").status, 200, "HTTP/1.1 on the same port")
line = goma.told("url=/echo")
expect("http_version=HTTP/2.0" in line, "the access log names the version", line)

# --- early answers, cancelled requests

peer = h2.dial(goma.address)
number = peer.next_stream()
peer.send(h2.headers(number, h2.request("POST", "/early", ("content-length", "1000000")), end=False), h2.data(number, b"x" * 10000))
got = peer.stream(number)
peer.wait(lambda: got.reset is not None)
same((got.status, got.body, got.ended, got.reset), (413, b"early", True, "NO_ERROR"), "an early answer, then the rest is declined")
same(peer.ask("GET", "/plain").status, 200, "the connection goes on")
peer.close()
