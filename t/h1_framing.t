#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Attack cases A01-A20 and A26: ambiguous or broken framing is refused, and nothing of it reaches the backend."""
from lib.goma import *

origin = Origin()
goma = Goma([route("/", origin)], log={"level": "error"})
HOST = b"Host: a.test\r\n"
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: a.test\r\n\r\n"


def head(line, *fields, host=HOST):
    return line + b"\r\n" + host + b"".join(f + b"\r\n" for f in fields) + b"\r\n"


def post(*fields, body=b"", host=HOST):
    return head(b"POST / HTTP/1.1", *fields, host=host) + body


def chunked(body):
    return post(b"Transfer-Encoding: chunked", body=body)


def get(*fields, line=b"GET / HTTP/1.1", host=HOST):
    return head(line, *fields, host=host)


CL_TE = b"0\r\n\r\n" + HIDDEN
BAD = (400,)
LINES = [  # id, what, bytes, allowed answers, requests the backend may see
    ("A01", "CL and TE", post(b"Content-Length: %d" % len(CL_TE), b"Transfer-Encoding: chunked", body=CL_TE), BAD, 0),
    ("A01", "TE and CL", post(b"Transfer-Encoding: chunked", b"Content-Length: 4", body=CL_TE), BAD, 0),
    ("A02", "two lengths", post(b"Content-Length: 3", b"Content-Length: 4", body=b"abcd"), BAD, 0),
    ("A02", "a list of lengths", post(b"Content-Length: 3, 4", body=b"abcd"), BAD, 0),
    *[("A03", "Content-Length " + repr(v), post(b"Content-Length: " + v, body=b"0123456789"), BAD, 0)
      for v in (b"", b"+1", b"-1", b"0x10", b"1_0", b"1 0", b"1e3", b"1;", b"\xb2", b"1,", b'"1"')],
    ("A04", "length above 2^63", post(b"Content-Length: 9223372036854775809", body=b"x"), BAD, 0),
    ("A04", "length above 2^64", post(b"Content-Length: 18446744073709551617", body=b"x" + HIDDEN), BAD, 0),
    ("A04", "chunk size of 17 digits", chunked(b"10000000000000001\r\nx\r\n0\r\n\r\n"), BAD, 1),
    ("A06", "unknown coding", post(b"Transfer-Encoding: cow", body=CL_TE), (501,), 0),
    ("A06", "chunked not last", post(b"Transfer-Encoding: chunked, gzip", body=CL_TE), (501,), 0),
    ("A06", "chunked twice", post(b"Transfer-Encoding: chunked, chunked", body=CL_TE), (501,), 0),
    ("A06", "gzip, chunked", post(b"Transfer-Encoding: gzip, chunked", body=CL_TE), (501,), 0),
    ("A06", "identity", post(b"Transfer-Encoding: identity", body=CL_TE), (501,), 0),
    ("A07", "TE in HTTP/1.0", head(b"POST / HTTP/1.0", b"Transfer-Encoding: chunked") + CL_TE, BAD, 0),
    *[("A08", "chunk size " + repr(v), chunked(v + b"\r\n01234\r\n0\r\n\r\n"), BAD, 1)
      for v in (b"0x5", b"+5", b"-5", b"5_0", b" 5", b"5 ", b"", b"5\t", b"g")],
    *[("A09", "chunk extension " + repr(v[:20]), chunked(b"5" + v + b"01234\r\n0\r\n\r\n"), BAD, 1)
      for v in (b";a=b\n", b";a\rb\r\n", b";a=\0\r\n", b";\r\n", b";x=" + b"y" * 65536 + b"\r\n")],
    ("A10", "bare LF in the head", b"GET / HTTP/1.1\nHost: a.test\n\n", BAD, 0),
    ("A10", "bare LF after a field", b"GET / HTTP/1.1\r\nHost: a.test\r\nA: b\n\r\n", BAD, 0),
    ("A10", "bare LF after a chunk size", chunked(b"5\n01234\r\n0\r\n\r\n"), BAD, 1),
    ("A10", "bare LF after chunk data", chunked(b"5\r\n01234\n0\r\n\r\n"), BAD, 1),
    ("A10", "bare LF in trailers", chunked(b"0\r\nA: b\n\r\n"), BAD, 1),
    ("A10", "bare LF at the end of the body", chunked(b"0\r\n\n"), BAD, 1),
    ("A11", "bare CR in a value", get(b"A: b\rC: d"), BAD, 0),
    ("A11", "CR CR LF", get(b"A: b\r"), BAD, 0),
    ("A11", "CR in place of CRLF", b"GET / HTTP/1.1\rHost: a.test\r\r", BAD, 0),
    ("A11", "CR in the request line", get(line=b"GET /\r HTTP/1.1"), BAD, 0),
    ("A12", "folded field", get(b"A: b", b" c"), BAD, 0),
    ("A12", "folded with a tab", get(b"A: b", b"\tc"), BAD, 0),
    ("A12", "folded first line", b"GET / HTTP/1.1\r\n Host: a.test\r\nHost: a.test\r\n\r\n", BAD, 0),
    ("A12", "folded Host", b"GET / HTTP/1.1\r\nHost: a.test\r\n b.test\r\n\r\n", BAD, 0),
    ("A12", "folded Content-Length", post(b"Content-Length:", b" 5", body=b"01234"), BAD, 0),
    *[("A13", "field line " + repr(v), get(v), BAD, 0)
      for v in (b"A : b", b": b", b"no colon", b"A(: b", b"A@: b", b"A\x01: b", b"A\x7f: b", b"\xe9: b", b"A\tB: c",
                b'"A": b', b"A,B: c", b"A/B: c", b"[A]: b", b"Host : b", b"Content-Length : 5")],
    *[("A14", "byte %#04x in a value" % c, get(b"A: b" + bytes([c]) + b"c"), BAD, 0)
      for c in [*range(1, 9), *range(0x0b, 0x0d), *range(0x0e, 0x20), 0x7f, 0]],
    ("A15", "no Host", get(host=b""), BAD, 0),
    ("A15", "two Hosts", get(b"Host: b.test"), BAD, 0),
    ("A15", "two equal Hosts", get(b"Host: a.test"), BAD, 0),
    *[("A15", "Host " + repr(v), get(host=b"Host: " + v + b"\r\n"), BAD, 0)
      for v in (b"", b"a b", b"a:80@evil", b"a/b", b"[::1", b"a:99999", b"a:b", b"a?b", b"a#b", b"a\\b", b"::1", b"a,b", b"a..b", b".a", b"m\xc3\xbcnchen.test",
                b"u@a", b"[::1]x", b"a:-1", b"[zz]", b"<a>", b"a%00")],
    ("A16", "absolute form for another host", get(line=b"GET http://b.test/ HTTP/1.1"), BAD, 0),
    ("A17", "HTTP/0.9", b"GET /\r\n\r\n", BAD, 0),
    ("A18", "fragment in the target", get(line=b"GET /a#b HTTP/1.1"), BAD, 0),
    *[("A19", "request line " + repr(v), get(line=v), (505,), 0) for v in (b"GET / HTTP/2.0", b"GET / HTTP/3.0")],
    *[("A19", "request line " + repr(v), get(line=v), BAD, 0)
      for v in (b"GET  / HTTP/1.1", b"GET /  HTTP/1.1", b"GET\t/ HTTP/1.1", b" GET / HTTP/1.1", b"GET / HTTP/1.32",
                b"GET / http/1.1", b"GET / HTTP/1.2x", b"GET / HTTP/01.1", b"GET / ICY/1.1", b"GET / HTTP/1.1 ", b"GET a HTTP/1.1", b"G\x01T / HTTP/1.1", b"GET / x HTTP/1.1")],
    ("A20", "unknown Expect", post(b"Expect: y 100-continue", b"Content-Length: 1", body=b"x"), (417,), 0),
    ("A20", "two Expects", post(b"Expect: 100-continue", b"Expect: y", b"Content-Length: 1", body=b"x"), (417,), 0),
    ("A26", "2,000 fields", get(*[b"A%d: b" % i for i in range(2000)]), (431,), 0),
    ("A26", "a field of 64 KiB", get(b"A: " + b"b" * 65536), (431,), 0),
    ("A26", "a target of 100 KB", get(line=b"GET /" + b"a" * 100000 + b" HTTP/1.1"), (414,), 0),
    ("A26", "a method of 1 MB", get(line=b"A" * 1000000 + b" / HTTP/1.1"), BAD, 0),
]


def answer(client, data):
    """What comes back for data: a status, "closed", or "waits" for more bytes."""
    try:
        client.send(data)
    except OSError:
        pass
    client.sock.settimeout(1.5 * SLOW)
    try:
        return client.outcome()
    except Timeout:
        return "waits"


for case, what, data, allowed, most in LINES:
    origin.clear()
    client = goma.client()
    got = answer(client, data)
    closed = got in ("closed", "waits") or client.is_closed(2 * SLOW)
    seen = len(origin.requests)
    client.close()
    healthy = goma.canary()
    expect(got in allowed and closed and seen <= most and healthy, f"{case} {what}",
           f"answer {got}, closed {closed}, {seen} requests at the backend, canary {healthy}")

origin.clear()
client = goma.client()
client.send(get() + b"GET /old\r\n\r\n")
same(client.outcome(), 200, "A17 the request before a pipelined HTTP/0.9 line is served")
same((client.outcome(), len(origin.requests)), (400, 1), "A17 the 0.9 line is not")
client = goma.client()
client.send(get(b"Expect: 100-continue"))
same(client.outcome(), 200, "A20 Expect on a GET is served")
