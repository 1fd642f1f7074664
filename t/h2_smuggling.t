#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Attack cases E64-E66: what HTTP/2 can say and HTTP/1.1 must not repeat. The backend is HTTP/1.1 and keeps every byte:
of a refused request it sees nothing; of an odd but legal one exactly one request, written anew."""
from lib.goma import *
from lib.h2 import *

PAIRS = dict(GET)


def script(connection):
    connection.keep_received = True
    while head := connection.head():
        head.connection = connection
        origin.record(head)
        connection.body_into(head, to_end=False)
        connection.send(Reply(body=f"{head.method} {head.target} {len(head.body)}").encode(head.method))


origin = Origin(script=script)
goma = Goma([route("/admin", origin, methods=["PUT"]), route("/", origin)], log={"level": "off"},
            entryPoints={"web": {"address": "127.0.0.1:0", "h2c": True}})

HIDDEN = "GET /hidden HTTP/1.1\r\nHost: a.test\r\n\r\n"


def ask(block, *more, end=True):
    """One request on a connection of its own: (status or name of the error, its stream, the peer)."""
    peer = dial(goma.address)
    peer.send(headers(1, block, end=end), *more)
    one = peer.stream(1)
    peer.wait(lambda: one.done or peer.goaway)
    peer.close()
    return one.status or one.reset or peer.error, one, peer


def pseudo(**changed):
    """A request's block with some pseudo-header fields changed; None leaves one out."""
    pairs = {**PAIRS, **{":" + k: v for k, v in changed.items()}}
    return fields(*[(k, v) for k, v in pairs.items() if v is not None])


LINES = [  # id, what, block, frames behind it
    *[("E64", f"name {name!r}", pseudo() + literal(name, "x"))
      for name in ("a\r\nx", "a\n", "a\0", "a:b", ":a", "a b", "a ", " a", "A", "Transfer-Encoding", "transfer-encoding:", "transfer-encoding ",
                   "transfer-encoding: chunked\r\nx", "a\x7f", "a\x80", "a(", "a,b", "foo: bar\r\n\r\n" + HIDDEN, "\t", "")],
    *[("E64", f"value {value!r}", pseudo() + literal("x", value))
      for value in ("a\r\nb: c", "a\nb", "a\rb", "a\0b", "\r\n\r\n" + HIDDEN, "a\r\n", "\n", " a", "a ", "\x01", "a\x7fb", "a\x0bb")],
    *[("E64", f"{name}: {value}", pseudo() + literal(name, value))
      for name, value in (("transfer-encoding", "chunked"), ("transfer-encoding", "identity"), ("transfer-encoding", ""), ("connection", "keep-alive"),
                          ("connection", "transfer-encoding"), ("connection", "host"), ("keep-alive", "x"), ("proxy-connection", "x"),
                          ("upgrade", "h2c"), ("upgrade", "websocket"), ("te", "chunked"), ("te", "trailers, chunked"))],
    *[("E64", f"cookie {value!r}", pseudo() + literal("cookie", "a=1") + literal("cookie", value)) for value in ("b\r\nx: y", "\0", "b\n")],
    *[("E64", f":method {value!r}", pseudo(method=value))
      for value in ("GET ", " GET", "GET /admin HTTP/1.1\r\nX:", "G\tET", "GET\r\n", "GET\0", "", "GET /x HTTP/1.1\r\nHost: a.test\r\n\r\nGET", "a:b")],
    *[("E64", f":path {value!r}", pseudo(path=value))
      for value in ("/ HTTP/1.1\r\nHost: b.test\r\n\r\n", "/ HTTP/1.1", "/a b", "/\t", "/a\rb", "/a\nb", "/a\0b", "a", "", "?a", "http://b.test/",
                    "//b.test\r\n", "/\x80 ", "*", "/#x", "\\", "/a\x7f")],
    *[("E64", f":scheme {value!r}", pseudo(scheme=value)) for value in ("", "http ", "http\r\nx: y", "http://b.test/?", "ht tp", "http:", "h\0", "1")],
    *[("E64", f":authority {value!r}", pseudo(authority=value))
      for value in ("a.test b", "a.test\r\nx: y", "a.test/x", "u@a.test", "a.test#", "a.test?", "a.test:99999", "a.test:80@b.test", "[::1", "a.test,b.test",
                    "a\\b", "", "a.test\t", "a.test\0")],
    ("E64", ":authority and another host", pseudo() + literal("host", "b.test")),
    ("E64", ":authority and a host with a port", pseudo() + literal("host", "a.test:81")),
    ("E64", "two hosts", pseudo(authority=None) + literal("host", "a.test") + literal("host", "b.test")),
    ("E64", "two hosts, the same, and :authority", pseudo() + literal("host", "a.test") + literal("host", "a.test")),
    ("E64", "a host that is none", pseudo(authority=None) + literal("host", "a b")),
    ("E64", "no host at all", pseudo(authority=None)),
    ("E64", "an unknown pseudo-header", pseudo() + literal(":x", "y")),
    ("E64", "a late one", pseudo(path=None) + literal("x", "y") + literal(":path", "/")),
    ("E64", "a second :path", pseudo() + literal(":path", "/admin")),
    ("E64", "a second :method", pseudo() + literal(":method", "POST")),
    ("E64", ":status", pseudo() + literal(":status", "200")),
    ("E64", ":protocol without CONNECT", pseudo() + literal(":protocol", "websocket")),
    ("E64", "CONNECT", fields((":method", "CONNECT"), (":authority", "127.0.0.1:22"))),
    *[("E65", f"content-length {value!r}", pseudo(method="POST") + literal("content-length", value))
      for value in ("+0", "-1", "0x0", "", "0,0", "1_0", "0 ", "18446744073709551616", "9223372036854775808")],
    ("E65", "two lengths", pseudo(method="POST") + literal("content-length", "0") + literal("content-length", "1")),
    ("E65", "a length and no body", pseudo(method="POST") + literal("content-length", "5")),
]


ANSWERED = {":path '/#x'": 400, ":authority and another host": 400, ":authority and a host with a port": 400, "CONNECT": 405,
            **{f":authority {value!r}": 400 for value in ("u@a.test", "a.test:99999", "a.test:80@b.test", "[::1", "a.test,b.test")}}


def seen():
    return [r.start for r in origin.requests]


for case, what, block in LINES:
    origin.clear()
    status, one, peer = attempt(what, ask, block) or (None, None, None)
    goma.get("/mark")                                   # what the gateway sent before has arrived then
    starts = [s for s in seen() if "/mark" not in s]
    fine = status == ANSWERED.get(what, "PROTOCOL_ERROR") and not starts and not peer.violations
    expect(fine, f"{case} {what}: {ANSWERED.get(what, 'its stream is reset')}", (status, starts, peer and peer.violations))

# --- odd but legal: written anew ------------------------------------------------------------------------------------


def forwarded(name, block, *more, end=True, start="GET / HTTP/1.1", has=(), lacks=(), body=b"", status=200):
    origin.clear()
    got, _, _ = ask(block, *more, end=end)
    head = origin.last
    text = head.head.decode("latin-1").lower() if head else ""
    lines = text.split("\r\n")
    fine = got == status and seen() == [start] and all(h in lines for h in has) and not any(w in text for w in lacks) and head.body == body
    expect(fine, name, (got, seen(), text, head and head.body))


forwarded("E64 trailers in te are our own business", pseudo() + literal("te", "trailers"), lacks=["te: chunked"])
forwarded("E64 crumbs of a cookie are one field", pseudo() + literal("cookie", "a=1") + literal("cookie", "b=2"), has=["cookie: a=1; b=2"])
forwarded("E64 host in place of :authority", pseudo(authority=None) + literal("host", "b.test"), has=["x-forwarded-host: b.test"])
forwarded("E64 the same host twice over", pseudo() + literal("host", "a.test"))
forwarded("E64 claims of an untrusted client do not pass", pseudo() + literal("x-forwarded-for", "6.6.6.6") + literal("x_forwarded_for", "6.6.6.6") +
          literal("forwarded", "for=6.6.6.6") + literal("proxy", "6.6.6.6"), lacks=["6.6.6.6"])
forwarded("E66 HTTP2-Settings does not pass", pseudo() + literal("http2-settings", "AAMAAABkAAQAAP__"), lacks=["http2-settings"])
forwarded("E65 a body without a length is chunked", pseudo(method="POST"), data(1, HIDDEN.encode()), data(1, b"", end=True), end=False,
          start="POST / HTTP/1.1", has=["transfer-encoding: chunked"], lacks=["content-length"], body=HIDDEN.encode())
forwarded("E65 a body of a known length", pseudo(method="POST") + literal("content-length", str(len(HIDDEN))), data(1, HIDDEN.encode(), end=True), end=False,
          start="POST / HTTP/1.1", has=[f"content-length: {len(HIDDEN)}"], lacks=["transfer-encoding"], body=HIDDEN.encode())
forwarded("E65 chunk marks inside a body are body", pseudo(method="POST"), data(1, b"0\r\n\r\n" + HIDDEN.encode(), end=True), end=False,
          start="POST / HTTP/1.1", body=b"0\r\n\r\n" + HIDDEN.encode())
forwarded("E65 a GET with a body", pseudo(), data(1, HIDDEN.encode(), end=True), end=False, body=HIDDEN.encode())


def trailers():
    origin.clear()
    got, _, _ = ask(pseudo(method="POST"), data(1, b"x"), headers(1, fields(("transfer-encoding", "chunked"), ("content-length", "9"), ("host", "b.test"),
                                                                           ("x-forwarded-for", "6.6.6.6"), ("authorization", "x"))), end=False)
    names = [n.lower() for n, _ in origin.last.trailers] if origin.last else []
    bad = set(names) & {"transfer-encoding", "content-length", "host", "x-forwarded-for", "authorization"}
    expect(not bad and len(seen()) <= 1, "A25 trailers that change the message are dropped or refused", (got, names))


attempt("trailers", trailers)


# --- E65: a body that does not match its length spoils the backend's connection ---------------------------------------

def mismatch(name, *frames):
    origin.drop()
    wait_for(lambda: not origin.open)
    origin.clear()
    status, one, peer = ask(pseudo(method="POST", path="/short") + literal("content-length", "10"), *frames, end=False)
    same(status, "PROTOCOL_ERROR", f"E65 {name} is refused")
    same(goma.get("/next").text, "GET /next 0", f"E65 {name}: the next request is served")
    on = {r.target: r.connection for r in origin.requests}
    expect(on.get("/next") and on["/next"] is not on.get("/short"), f"E65 {name}: on a connection of its own", seen())


attempt("less", mismatch, "less than its length", data(1, b"12345", end=True))
attempt("more", mismatch, "more than its length", data(1, b"12345"), data(1, b"1234567890" + HIDDEN.encode(), end=True))
attempt("empty", mismatch, "END_STREAM on an empty frame", data(1, b"", end=True))
attempt("trailers", mismatch, "trailers in place of the rest", data(1, b"12345"), headers(1, fields(("t", "u"))))

# --- E66: h2c by Upgrade -----------------------------------------------------------------------------------------------


def upgrade(name, connection, extra=()):
    origin.clear()
    reply = goma.get("/", {"Connection": connection, "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAAP__", **dict(extra)})
    text = origin.last.head.decode("latin-1").lower() if origin.last else ""
    expect(reply.status == 200 and "h2c" not in text and "http2-settings" not in text and reply["upgrade"] is None, f"E66 {name}",
           (reply, text))


upgrade("Upgrade: h2c stays here", "Upgrade, HTTP2-Settings")
upgrade("also without being named in Connection", "Upgrade")
upgrade("also beside websocket", "Upgrade", [("Upgrade", "websocket, h2c")])
client = goma.client()
client.send(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n" +
            PREFACE + settings() + headers(1, request("GET", "/admin")))
origin.clear()
client.outcome()
client.outcome()
expect("GET /admin HTTP/1.1" not in seen(), "E66 the preface behind it opens nothing", seen())
client.close()
expect(goma.canary(), "a canary passes")
