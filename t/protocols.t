#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The table: what a client says and a backend answers is the same whatever each of them speaks, byte for byte.

Rows are what may happen in an exchange, columns the protocols of client and backend. A row is written once, against
two small adapters; FRONTS and BACKS are all a new protocol needs.
"""
import hashlib
import ssl
import threading
from lib.goma import *
from lib.tls import Authority, client_context
from lib.h2peer import H2Client, H2Origin, Sealed

MANY = 16 << 20
PATTERN = bytes(range(256)) * (MANY // 256)
begun, gone = [], []                    # targets the backend has got; those whose client it saw leave


# --- backends -------------------------------------------------------------------------------------------------------

class OverH1:
    """One exchange of a backend over HTTP/1.1."""

    def __init__(self, connection, head):
        self.connection, self.head, self.target, self.method = connection, head, head.target, head.method
        self.chunked = False

    def read(self):
        self.connection.body_into(self.head, to_end=False)
        return self.head.body, list(self.head.trailers)

    def inform(self, status, fields):
        self.connection.send(f"HTTP/1.1 {status} X\r\n" + "".join(f"{n}: {v}\r\n" for n, v in fields) + "\r\n")

    def begin(self, status, length=None):
        self.chunked = length is None
        framing = "Transfer-Encoding: chunked" if self.chunked else f"Content-Length: {length}"
        self.connection.send(f"HTTP/1.1 {status} X\r\n{framing}\r\n\r\n")

    def piece(self, data):
        self.connection.send(b"%x\r\n%s\r\n" % (len(data), data) if self.chunked else data)

    def end(self, trailers=()):
        if self.chunked:
            self.connection.send(b"0\r\n" + "".join(f"{n}: {v}\r\n" for n, v in trailers).encode() + b"\r\n")

    def abort(self):
        self.connection.reset()

    def rest(self):
        """What still comes of the request. When all of it does, the connection may be used again (RFC 9112 9.3)."""
        self.read()

    def left(self):
        """Waits until the client's side is gone."""
        while self.connection.fill():
            self.connection.buffer = b""


class OverH2:
    def __init__(self, stream):
        self.stream, self.target, self.method = stream, stream.target, stream.method

    def read(self):
        return self.stream.read(), list(self.stream.trailers)

    def inform(self, status, fields):
        self.stream.send_headers([(":status", str(status)), *fields])

    def begin(self, status, length=None):
        self.stream.send_headers([(":status", str(status))] + ([("content-length", str(length))] if length is not None else []))

    def piece(self, data):
        self.stream.send(data)

    def end(self, trailers=()):
        if trailers:
            self.stream.send_trailers(trailers)
        else:
            self.stream.send(b"", end=True)

    def abort(self):
        self.stream.abort(2)

    def rest(self):
        self.left()

    def left(self):
        self.stream.wait(lambda: self.stream.gone())


def behave(x):
    """What every backend does, by target. True: the connection may go on."""
    kind, _, argument = x.target[1:].partition("/")
    if kind == "down":
        x.begin(200, None if argument == "unknown" else int(argument))
        if x.method != "HEAD":
            x.piece(PATTERN[:MANY if argument == "unknown" else int(argument)])
        x.end()
        return True
    if kind in ("early", "cut", "cut-open", "hang", "silent"):
        if kind == "early":
            x.begin(413, 8)
            x.piece(b"too much")
            x.end()
            x.rest()
            return True
        elif kind in ("cut", "cut-open"):
            x.begin(200, 100_000 if kind == "cut" else None)
            x.piece(b"x" * 1000)
            go.wait(PATIENCE)           # until the client has that
            x.abort()
        else:
            if kind == "hang":
                x.begin(200)
                x.piece(b"begun")
            begun.append(x.target)
            x.left()
            gone.append(x.target)
        return False
    if kind == "die":
        x.abort()
        return False
    body, trailers = x.read()
    if kind == "inform":
        x.inform(103, [("link", "</a.css>; rel=preload")])
    if kind == "up":
        body = hashlib.sha256(body).hexdigest().encode()
    x.begin(200, None if kind == "trailers" else len(body))
    x.piece(body) if body else None
    x.end([("x-checksum", hashlib.sha256(body).hexdigest()), *trailers] if kind == "trailers" else ())
    return True


def serve_h1(connection):
    while head := connection.head():
        if not behave(OverH1(connection, head)):
            return


# --- clients --------------------------------------------------------------------------------------------------------

class Got:
    """The outcome of an exchange, in no protocol's words."""

    def __init__(self, status=None, body=b"", trailers=(), interim=(), complete=True):
        self.status, self.body, self.complete = status, bytes(body), complete
        self.trailers = {n.lower(): v for n, v in trailers}
        self.interim = [s for s in interim if s != 100]

    def __repr__(self):
        return f"<{self.status} {len(self.body)} bytes {self.body[:20]!r} {self.trailers} {self.interim} complete={self.complete}>"


class H1Front:
    def __init__(self, address, context=None):
        self.client = Client(address)
        if context:
            self.client.sock = Sealed(self.client.sock, context, name="a.test")

    def ask(self, method, target, body=None, trailers=(), expect_continue=False):
        headers = {"Connection": "keep-alive"}
        pieces = [body or b""]
        if expect_continue:
            headers["Expect"] = "100-continue"
        if trailers:
            headers |= {"Transfer-Encoding": "chunked", "Trailer": ", ".join(n for n, _ in trailers)}
            tail = "".join(f"{n}: {v}\r\n" for n, v in trailers).encode()
            pieces = ([b"%x\r\n" % len(body), body, b"\r\n"] if body else []) + [b"0\r\n" + tail + b"\r\n"]
        elif body is not None:
            headers["Content-Length"] = len(body)
        self.client.request(method, target, headers, read=False)
        if expect_continue:
            self.continued = Response(self.client.until(b"\r\n\r\n")).status
        sender = threading.Thread(target=self.push, args=(b"".join(pieces),), daemon=True)
        sender.start()
        return self.outcome(method)

    def push(self, data):
        try:
            self.client.send(data)
        except OSError:
            pass                        # the answer came first

    def outcome(self, method="GET"):
        try:
            response = self.client.response(method)
        except Closed:
            return Got(complete=False)
        return Got(response.status, response.body, response.trailers, [i.status for i in response.interim], response.complete)

    def begin(self, target, body=None):
        headers = {"Content-Length": body} if body else {}
        self.client.request("POST" if body else "GET", target, headers, read=False)
        if body:
            self.client.send(b"x" * 100)

    def until_body(self):
        while b"begun" not in self.client.buffer and b"x" * 1000 not in self.client.buffer:
            if not self.client.fill():
                return

    def abort(self):
        self.client.reset()

    def close(self):
        self.client.close()


class H2Front:
    def __init__(self, address, context=None):
        self.client = H2Client(address, context)
        self.stream = None

    def ask(self, method, target, body=None, trailers=(), expect_continue=False):
        self.stream = stream = self.client.open(method, target, {"expect": "100-continue"} if expect_continue else {}, end=body is None and not trailers)
        if expect_continue:
            stream.wait(lambda: stream.interim)
            self.continued = int(stream.interim[0].get(":status")) if stream.interim else None
        try:
            if body is not None:
                stream.send(body, end=not trailers)
            if trailers:
                stream.send_trailers(trailers)
        except Closed:
            pass
        return self.outcome()

    def outcome(self, method="GET"):
        s = self.stream.finished()
        return Got(s.status, s.body, s.trailers, [int(i.get(":status")) for i in s.interim], s.complete)

    def begin(self, target, body=None):
        self.stream = self.client.open("POST" if body else "GET", target, end=not body)
        if body:
            self.stream.send(b"x" * 100)

    def until_body(self):
        self.stream.wait(lambda: len(self.stream.body) > 0)

    def abort(self):
        self.stream.abort()

    def close(self):
        self.client.close()


# --- the columns ----------------------------------------------------------------------------------------------------

goma = Goma(start=False, workers=1)
ca = Authority(goma.path("tls"))
certificate = ca.issue("site", ["a.test", "localhost"])
go = threading.Event()


def server_context(*protocols):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    context.set_alpn_protocols(list(protocols))
    return context


def trusting(*protocols):
    return client_context(ca.certificate, alpn=list(protocols))


def serve_h2(stream):
    behave(OverH2(stream))


BACKS = {"h1": (Origin(script=serve_h1), {}), "h2": (H2Origin(serve_h2, server_context("h2")), {"security": {"tls": {"insecureSkipVerify": True}}}),
         "h2c": (H2Origin(serve_h2), {"backendProtocol": "h2c"})}
FRONTS = {"h1": lambda: H1Front(plain), "h1 over TLS": lambda: H1Front(secure, trusting("http/1.1")),
          "h2": lambda: H2Front(secure, trusting("h2")), "h2c": lambda: H2Front(plain)}
SHORT = {"h1 over TLS", "h2c"}          # columns that leave out the large bodies
routes = [route("/" + name.replace(" ", "-"), origin.url, rewrite="/", **more) for name, (origin, more) in BACKS.items()]
goma.configure(routes, entryPoints={"web": {"address": "127.0.0.1:0", "h2c": True}, "webSecure": {"address": "127.0.0.2:0"}},
               tls={"default": {"cert": certificate[0], "key": certificate[1]}}, log={"level": "info"})
goma.start()
plain, secure = (parse_address(listener["address"]) for listener in goma.status()["listeners"])


# --- the rows -------------------------------------------------------------------------------------------------------

def whole(name, got, body, status=200):
    expect((got.status, got.body == body, got.complete) == (status, True, True), name, got)


def bodies(fresh, at, say):
    """Every size but the large one."""
    front = fresh()
    for size in (0, 1, 65536):
        whole(say(f"{size} bytes up and down"), front.ask("POST", at("/echo"), PATTERN[:size]), PATTERN[:size])
        whole(say(f"{size} bytes down"), front.ask("GET", at(f"/down/{size}")), PATTERN[:size])
    whole(say("HEAD"), front.ask("HEAD", at("/down/65536")), b"")


def large(fresh, at, say):
    front = fresh()
    whole(say("16 MiB up"), front.ask("PUT", at("/up"), PATTERN), hashlib.sha256(PATTERN).hexdigest().encode())
    whole(say("16 MiB down, of unknown length"), front.ask("GET", at("/down/unknown")), PATTERN)
    whole(say("16 MiB up and down"), front.ask("POST", at("/echo"), PATTERN), PATTERN)


def trailers(fresh, at, say):
    front = fresh()
    for size in (0, 65536):
        body = PATTERN[:size]
        got = front.ask("POST", at("/trailers"), body, [("x-mine", "kept")])
        want = {"x-checksum": hashlib.sha256(body).hexdigest(), "x-mine": "kept"}
        expect((got.status, got.body == body, got.complete, got.trailers) == (200, True, True, want), say(f"trailers both ways around {size} bytes"), got)


def informs(fresh, at, say):
    front = fresh()
    got = front.ask("POST", at("/echo"), b"asked first", expect_continue=True)
    same(front.continued, 100, say("100-continue comes before the body"))
    whole(say("and the body after it"), got, b"asked first")
    got = front.ask("GET", at("/inform"))
    same((got.status, got.interim), (200, [103]), say("an informational response passes"))


def early(fresh, at, say):
    whole(say("an answer before the request's end"), fresh().ask("POST", at("/early"), PATTERN), b"too much", 413)


def client_aborts(fresh, at, say):
    for target, body in (("/silent/a", None), ("/silent/b", 5000), ("/hang/c", None)):
        front = fresh()
        front.begin(at(target), body)
        if target == "/hang/c":
            front.until_body()
        expect(wait_for(lambda t=target: t in begun), say(f"{target[1:]}: the backend has the request"))
        front.abort()
        expect(wait_for(lambda t=target: t in gone), say(f"{target[1:]}: the backend sees the client leave"), gone)
        begun.clear()
        gone.clear()


def backend_aborts(fresh, at, say):
    same(fresh().ask("POST", at("/die"), b"no second attempt").status, 502, say("a backend that ends without an answer is a bad gateway"))
    for target in ("/cut", "/cut-open"):
        front = fresh()
        go.clear()
        front.begin(at(target))
        front.until_body()
        go.set()
        got = front.outcome()
        expect((got.status, got.complete) == (200, False), say(f"{target[1:]}: an answer cut short is seen as cut"), got)


def column(front_name, back_name):
    prefix, fronts = "/" + back_name.replace(" ", "-"), []

    def fresh():
        fronts.append(FRONTS[front_name]())
        return fronts[-1]

    short = {front_name, back_name} & SHORT
    for row in (bodies, *(() if short else (large,)), trailers, informs, early, client_aborts, backend_aborts):
        say = lambda text: f"{front_name} -> {back_name}: {text}"       # noqa: E731
        attempt(say(row.__name__), row, fresh, lambda target: prefix + target, say)
    whole(say("and all is well"), fresh().ask("GET", prefix + "/down/1"), PATTERN[:1])
    for front in fronts:
        front.close()


for back_name in BACKS:
    for front_name in FRONTS:
        column(front_name, back_name)
