#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Backends that speak HTTP/2 wrongly or with bad intent: the exchange fails with 502 (or is cut once its head is out),
memory stays, and the next request is served. A backend that floods instead of answering costs its request no more than
the time a response may take."""
import select

from lib.goma import *
from lib.h2 import *

OK = (":status", "200")
MEMORY = 2048 if SLOW == 1 else 65536                    # KiB that one bad backend may cost; the sanitizer keeps what is freed
attack = None                                           # what the backend does with the next request not to /canary
problems = []


def script(connection):
    peer = H2(connection, server=True)
    peer.number = connection.number
    if not peer.accept():
        return
    while one := peer.next_request(whole=False):
        problems.extend(peer.violations)
        peer.violations.clear()
        if one["x-canary"] or one.headers.get(":path") == "/canary":
            peer.answer(one, body=b"fine")
        else:
            attack(peer, one)


origin = Origin(script=script)
goma = Goma([route("/", origin, backendProtocol="h2c")], workers=1, log={"level": "off"}, timeouts={"read": 2, "header": 2},
            networking={"passiveHealthCheck": {"enabled": False}, "transport": {"responseHeaderTimeout": 2}})
worker = goma.worker_pids()[0]


def head(one, *pairs, end=False, **more):
    return headers(one.number, fields(*pairs), end=end, **more)


def sends(make):
    """An attack that sends bytes made of the stream."""
    return lambda peer, one: peer.send(make(one))


def pours(make, count=20000):
    """An attack that goes on until goma is through with the stream: who reads no more requests is no backend."""
    def act(peer, one):
        for i in range(0, count, 100):
            if not peer.send(*[make(one, k) for k in range(i, i + 100)]):
                return
            while not peer.closed and select.select([peer.wire.sock], [], [], 0)[0]:
                peer.pump()
            if peer.closed or one.reset:
                return
    return act


def bursts(make, count=20000):
    """More at once than goma keeps answers for (nghttp2: 1,000), and nobody reads them."""
    return lambda peer, one: peer.send(*[make(one, k) for k in range(count)])


def converses(make):
    """An attack that waits for every answer."""
    def act(peer, one):
        for i in range(0, 1 << 20, 100):
            peer.send(*[make(one, k) for k in range(i, i + 100)])
            if not peer.wait(lambda: len(peer.pongs) >= i + 100 or one.reset) or one.reset:
                return
    return act


# what, the attack, what the client sees: a status, or "cut" for a head whose body does not end: a head leaves at once
CASES = [
    ("PUSH_PROMISE", sends(lambda o: frame(PUSH_PROMISE, END_HEADERS, o.number, struct.pack(">I", 2) + request())), 502),
    ("HEADERS on a stream nobody opened", sends(lambda o: headers(99, fields(OK))), 502),
    ("HEADERS on an even stream", sends(lambda o: headers(2, fields(OK))), 502),
    ("DATA before HEADERS", sends(lambda o: data(o.number, b"x", end=True)), 502),
    ("no :status", sends(lambda o: head(o, ("x", "y"), end=True)), 502),
    *[(f":status {value!r}", sends(lambda o, value=value: head(o, (":status", value), end=True)), 502)
      for value in ("", "20", "2000", "abc", "099", "101", "-20", "2 0")],
    ("two :status", sends(lambda o: head(o, OK, OK, end=True)), 502),
    ("a request's pseudo-header", sends(lambda o: head(o, OK, (":path", "/"), end=True)), 502),
    ("a late pseudo-header", sends(lambda o: head(o, ("x", "y"), OK, end=True)), 502),
    *[(f"name {name!r}", sends(lambda o, name=name: head(o, OK, (name, "y"), end=True)), 502)
      for name in ("X", "a b", "a\r\nb", "a\0", "a:b", "")],
    *[(f"value {value!r}", sends(lambda o, value=value: head(o, OK, ("x", value), end=True)), 502) for value in ("a\r\nb: c", "a\0b", "a\nb")],
    *[(f"{name}: {value}", sends(lambda o, name=name, value=value: head(o, OK, (name, value), end=True)), 502)
      for name, value in (("connection", "close"), ("transfer-encoding", "chunked"), ("upgrade", "h2c"), ("keep-alive", "1"))],
    ("content-length and less", sends(lambda o: head(o, OK, ("content-length", "10")) + data(o.number, b"12345", end=True)), "cut"),
    ("content-length and more", sends(lambda o: head(o, OK, ("content-length", "3")) + data(o.number, b"12345", end=True)), "cut"),
    ("content-length and nothing", sends(lambda o: head(o, OK, ("content-length", "3"), end=True)), 502),
    ("two content-lengths", sends(lambda o: head(o, OK, ("content-length", "1"), ("content-length", "2")) + data(o.number, b"1", end=True)), 502),
    ("content-length a", sends(lambda o: head(o, OK, ("content-length", "a")) + data(o.number, b"1", end=True)), 502),
    ("trailers with :status", sends(lambda o: head(o, OK) + data(o.number, b"1") + head(o, OK, end=True)), "cut"),
    ("trailers that end nothing", sends(lambda o: head(o, OK) + data(o.number, b"1") + head(o, ("t", "u"))), "cut"),
    ("RST_STREAM in place of a head", sends(lambda o: reset(o.number, 2)), 502),
    ("RST_STREAM in the middle of a body", sends(lambda o: head(o, OK) + data(o.number, b"12345") + reset(o.number, 2)), "cut"),
    ("GOAWAY that denies the request, with an error", sends(lambda o: goaway(0, 2)), 502),
    ("a broken block", sends(lambda o: headers(o.number, b"\xff\xff\xff\xff\xff")), 502),
    ("an index beyond the tables", sends(lambda o: headers(o.number, fields(OK) + indexed(99))), 502),
    ("a table larger than ours", sends(lambda o: headers(o.number, resize(1 << 20) + fields(OK))), 502),
    ("a frame too large", sends(lambda o: head(o, OK) + data(o.number, bytes(16385))), "cut"),
    ("SETTINGS out of range", sends(lambda o: settings((INITIAL_WINDOW_SIZE, 1 << 31))), 502),
    ("SETTINGS of 5 bytes", sends(lambda o: frame(SETTINGS, 0, 0, bytes(5))), 502),
    ("WINDOW_UPDATE of 0", sends(lambda o: window(0, 0)), 502),
    ("a window above 2^31-1", sends(lambda o: window(0, 0x7fffffff)), 502),
    ("HTTP/1.1", sends(lambda o: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno"), 502),
    ("101", sends(lambda o: head(o, (":status", "101"), end=True)), 502),
    ("silence", lambda peer, one: None, 504),
    ("a head that never ends", pours(lambda o, i: headers(o.number, fields(OK), end=False, whole=False) if i == 0 else continuation(o.number, b"", whole=False)), 502),
    ("a head of a thousand pages", pours(lambda o, i: headers(o.number, fields(OK), end=False, whole=False) if i == 0 else
                                         continuation(o.number, literal("x", "y" * 4000), whole=False), 2000), 502),
    ("a head that inflates", sends(lambda o: headers(o.number, fields(OK) + incremental("x", "v" * 3900) + indexed(62) * 12000, end=False)), 502),
    ("informational answers without end", pours(lambda o, i: headers(o.number, fields((":status", "103")), end=False)), 502),
    ("a body above the window", lambda peer, one: overrun(peer, one), "cut"),
]
FLOODS = [  # without an answer: what wants one and nobody reads it is refused, anything else has the time that a response has
    ("PING at once", bursts(lambda o, i: ping(struct.pack(">Q", i))), 502),
    ("SETTINGS at once", bursts(lambda o, i: settings()), 502),
    ("PING, one after the other", converses(lambda o, i: ping(struct.pack(">Q", i))), 504),
    ("unknown types without end", pours(lambda o, i: frame(0xbb, 0, 0, b"x"), 1 << 20), 504),
    ("PRIORITY without end", pours(lambda o, i: priority(1, 0), 1 << 20), 504),
]


def overrun(peer, one):
    """More than any window, to a client that does not read."""
    peer.send(head(one, OK))
    pours(lambda o, i: data(o.number, bytes(16384)), 2000)(peer, one)


def ask(path="/", read=True):
    """A status, or "cut" when the answer has no end."""
    client = goma.client()
    try:
        reply = client.get(path)
        return reply.status if reply.complete else "cut"
    except Closed:
        return "cut"
    finally:
        client.close()


def play(what, act, answer):
    global attack
    attack = act
    before = resident(worker)
    same(ask(), answer, f"{what}: {answer}")
    grown = resident(worker) - before
    expect((grown <= MEMORY or SLOW > 1) and not problems,  # the sanitizers keep what was freed
           f"{what}: {grown} KiB", problems)
    expect(goma.canary("/canary"), f"{what}: the next request is served")
    problems.clear()


def head_alone():
    """A head whose body is long in coming reaches the client at once."""
    global attack
    attack = lambda peer, one: (peer.send(head(one, OK)), peer.wait(lambda: one.done, 5))
    client = goma.client()
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
    expect(b" 200 " in client.until(b"\r\n\r\n"), "a head alone is passed on")
    client.close()


def refused():
    """What a backend says it has not looked at is tried again (RFC 9113 8.7)."""
    global attack
    for what, act in (("REFUSED_STREAM", lambda peer, one: peer.send(reset(one.number, 7))), ("GOAWAY", lambda peer, one: peer.send(goaway(0, 0)))):
        turns = []

        def once(peer, one, act=act, turns=turns):
            turns.append(one)
            if len(turns) == 1:
                act(peer, one)
            else:
                peer.answer(one, body=b"again")

        attack = once
        reply = goma.get("/")
        same((reply.status, reply.text, len(turns)), (200, "again", 2), f"{what} is tried again")


time_limit(120)
for case in CASES + FLOODS:
    attempt(case[0], play, *case)
attempt("refused", refused)
attempt("a head alone", head_alone)
expect(goma.canary("/canary"), "a canary passes")
