#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Request targets byte by byte: whatever a client writes, what a backend, a forwardAuth service or a client is given is a target
that RFC 3986 allows (but for escapes without digits in a query, which pass as in Goma), or the request is refused. HTTP/1.1
and HTTP/2 alike."""
from lib.goma import *
from lib.h2 import *

PATH = r"[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2}"
TARGET = re.compile(rf"(?:{PATH})+(?:\?(?:{PATH}|[?%])*)?\Z")
ENCODED = '"<>[]^`{|}'                  # nobody may write them, and everybody means the same
REFUSED = "#" + "".join(map(chr, [*range(0x21), 0x7f, *range(0x80, 0x100)]))

origin = Origin(lambda r: Reply(200, body=r.target))
auth = Origin(lambda r: Reply(200))
goma = Goma([route("/", origin), route("/auth", origin, middlewares=["ask"]), route("/away", origin, middlewares=["secure"]),
             route("/odd", origin.url + "/base|{x}?k=[1]", rewrite='/to|"here"')],
            [middleware("ask", "forwardAuth", {"authUrl": auth.url + "/check?by={goma}|x"}), middleware("secure", "redirectScheme", {"scheme": "https"})],
            entryPoints={"web": {"address": "127.0.0.1:0", "h2c": True}}, log={"level": "error"}, workers=1)


def ask(target):
    """The status, the target that the backend saw (or None), the response."""
    heard = len(origin.requests)
    client = goma.client()
    client.send(b"GET " + target.encode("latin-1") + b" HTTP/1.1\r\nHost: a.test\r\n\r\n")
    reply = client.response()
    client.close()
    return reply.status, ([r.target for r in origin.requests[heard:]] or [None])[0], reply


def ask2(target):
    heard = len(origin.requests)
    peer = dial(goma.address)
    peer.send(headers(1, fields((":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", target)), end=True))
    one = peer.stream(1)
    peer.wait(lambda: one.done or peer.goaway)
    peer.close()
    return one.status or one.reset, ([r.target for r in origin.requests[heard:]] or [None])[0]


for place, shape in [("path", "/a{}b"), ("query", "/a?b{}c"), ("URL's path", "http://a.test/a{}b"), ("URL's query", "http://a.test/?b{}c")]:
    dirty, let_in, kept_out = [], [], []
    for byte in map(chr, range(256)):
        if byte in "\r\n":
            continue
        status, got, _ = ask(shape.format(byte))
        if got is not None and not TARGET.match(got):
            dirty.append((byte, got))
        if byte in REFUSED and byte != " " and status != 400:
            let_in.append((byte, status))
        encoded = byte in ENCODED or (byte == "\\" and "query" in place)
        if encoded and (status, got) != (200, shape.removeprefix("http://a.test").format(f"%{ord(byte):02X}")):
            kept_out.append((byte, status, got))
    same((dirty, let_in, kept_out), ([], [], []), f"every byte in a {place}: refused, allowed, or percent-encoded")

for raw, want in [("/a?x=1&y=/?:@", "/a?x=1&y=/?:@"), ("/?a=%zz&b=%", "/?a=%zz&b=%"), ("/a?b=%7c|", "/a?b=%7c%7C"), ("/a%7C|?%7c", "/a%7C%7C?%7c"),
                  ("/{id}/..//[x]", "/%5Bx%5D"), ("/a?[]={1}", "/a?%5B%5D=%7B1%7D"), ("/odd/a|b?c|d", "/base%7C%7Bx%7D/to%7C%22here%22/a%7Cb?k=%5B1%5D&c%7Cd")]:
    same(ask(raw)[:2], (200, want), f"{raw} arrives as {want}")

for byte in ENCODED:
    code = f"%{ord(byte):02X}"
    same(ask2(f"/a{byte}b?c{byte}d"), (200, f"/a{code}b?c{code}d"), f"HTTP/2: {byte} in :path is {code}")
for byte, how in [("#", 400), ("\\", 400), ("\xe9", 400), ("\x7f", "PROTOCOL_ERROR")]:
    same(ask2(f"/a{byte}b"), (how, None), f"HTTP/2: {byte!r} in :path is refused")

same(ask('/auth/<a>?"b"')[:2], (200, "/auth/%3Ca%3E?%22b%22"), "forwardAuth lets it pass")
seen = auth.requests[-1]
same((seen.target, seen["x-original-url"], seen["x-forwarded-uri"]),
     ("/check?by=%7Bgoma%7D%7Cx", "http://a.test/auth/%3Ca%3E?%22b%22", "http://a.test/auth/%3Ca%3E?%22b%22"), "and its service is asked about the same")
status, _, reply = ask('/away/<script>?"x"\\')
same((status, reply["location"]), (302, "https://a.test/away/%3Cscript%3E?%22x%22%5C"), "a redirect leads to the same")
expect("<script>" not in reply.text, "and its page says so without it", reply.text)
expect(goma.canary(), "a canary passes")
