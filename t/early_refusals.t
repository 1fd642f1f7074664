#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a request line is told when the line is there, although the rest of the head never comes; and what is no
request at all, but another protocol's greeting, has its name in the log and in the counter. Nobody hangs up first."""
import struct

from lib.goma import *
from lib.h2 import PREFACE

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V2 = SIGNATURE + bytes([0x21, 0x11]) + struct.pack("!H", 12) + bytes(12)
HELLO = bytes.fromhex("16030100c8010000c40303") + b"random" * 30      # the beginning of a TLS ClientHello
origin = Origin(lambda r: Reply(200, body=r.target))
goma = Goma([route("/", origin)], monitoring={"enableMetrics": True}, timeouts={"header": 3600}, workers=1)


def counted(reason):
    return goma.metrics().get(f'goma_parse_errors_total{{reason="{reason}"}}', 0)


def answer(*pieces):
    """The status of what comes back after these pieces, each sent when the gateway has read those before; nothing more follows."""
    client = goma.client()
    for number, piece in enumerate(pieces):
        if number:
            goma.get("/")           # the one worker has been round its loop
        client.send(piece)
    status = client.response().status
    ended = client.is_closed()
    client.close()
    return status if ended else (status, "goes on")


LINES = [  # the beginning of a head, its answer and reason
    (b"GET /\r\n", 400, "no-version"), (b"GET / HTTP/9.9\r\n", 505, "version"), (b"GET / HTTP/2.0\r\n", 505, "version"),
    (b"GET / HTTP/0.9\r\n", 400, "bad-version"), (b"GET / http/1.1\r\n", 400, "bad-version"), (b"GET /  HTTP/1.1\r\n", 400, "bad-version"),
    (b"GET / HTTP/1.1 \r\n", 400, "bad-version"), (b"get / HTTP/1.1\r\n", 501, "method-case"), (b"CONNECT a:1 HTTP/1.1\r\n", 405, "method"),
    (b"TRACE / HTTP/1.1\r\n", 405, "method"), (b"hello\r\n", 400, "bad-method"), (b"hello there world\r\n", 400, "bad-version"),
    (b"\r\n\r\nGET /\r\n", 400, "no-version"), (b"GET /a#b HTTP/1.1\r\n", 400, "bad-target"), (b"GET /\xc3\xa9 HTTP/1.1\r\n", 400, "bad-target"),
    (b"GET a HTTP/1.1\r\n", 400, "bad-target"), (b"GET ftp://a/ HTTP/1.1\r\nHost: a", 400, "bad-target"), (b"GET /\\ HTTP/1.1\r\nHo", 400, "bad-target"),
    (b" GET / HTTP/1.1\r\n", 400, "bad-method"), (b"G(T / HTTP/1.1\r\n", 400, "bad-method"), (b"GET / HTTP/1.1\n", 400, "bare-lf"),
    (b"GET\0", 400, "control-byte"), (b"GET / HTTP/1.1\rH", 400, "bare-cr"), (b"\r\n" * 5, 400, "leading-lines"),
    (b"GET /" + b"a" * 17000, 414, "request-line-too-long"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 80\r\n", 400, "proxy-header"), (b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n", 400, "proxy-header"),
    (b"PROXY UNKNOWN\r\n", 400, "proxy-header"), (V2, 400, "proxy-header"), (V2[:7], 400, "proxy-header"), (V2[:5], 400, "proxy-header"),
    (HELLO, 400, "tls"), (HELLO[:1], 400, "tls"), (HELLO[:5], 400, "tls"), (PREFACE[:16], 505, "http2-preface"), (PREFACE, 505, "http2-preface")]
for start, status, reason in LINES:
    before = counted(reason)
    same((answer(start), counted(reason)), (status, before + 1), f"{start[:44]!r} is answered with {status} at once, and counted as {reason}")


def logged():
    return [(int(status), reason) for status, reason in re.findall(r"status=(\d+) .* reason=(\S+) .*end=bad-request", goma.output)]


wait_for(lambda: len(logged()) == len(LINES))
same(logged(), [(status, reason) for _, status, reason in LINES], "and the access lines say so")
expect("method=GET url=a " in goma.output, "with what was understood of the request")

same(answer(b"GET", b" /\r", b"\n"), 400, "a line may come in pieces")
same(answer(b"GET / HTTP/1.1\r\n", b"Host: a.test\r\n", b"A : b\r\n\r\n"), 400, "a good line waits for the rest, which is judged when it is there")
client = goma.client()
for piece in (b"GET /x HTTP/1.1\r\n", b"Host: a.test\r\n", b"\r\nGET /y HT", b"TP/1.1\r\nHost: a.test\r\n\r\nGET /z\r\n"):
    client.send(piece)
    goma.get("/")
same([client.response().text for _ in range(2)] + [client.response().status], ["/x", "/y", 400], "each head of a connection has its line judged")
client = goma.client()
client.send(b"PROXY / HTTP/1.1\r\nHost: a.test\r\n\r\n")
same(client.response("PROXY").status, 200, "PROXY is a method like any other where the line is a request's")
expect(goma.canary(), "a canary passes")
