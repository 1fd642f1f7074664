#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""RFC 9113, and 8441 with it, rule by rule: what is sent on a connection of its own, and how the gateway must react.

The reactions:
  ends(codes)         a connection error: GOAWAY with one of the codes, then the connection is closed
  stream(n, codes)    a stream error: RST_STREAM with one of the codes or, for a malformed request, a 400 before it;
                      the connection goes on
  either(n, codes)    one or the other (RFC 9113 5.4.2: a stream error may be taken for one of the connection)
  serves(n, status)   an answer, and nothing else
  ignores()           nothing at all happens, and the connection goes on
A fourth member of a rule says how many requests the backend may have seen; by default none of one that is refused.
"""
import select
import threading

from lib.goma import *
from lib.h2 import *

STREAMS = 100                                           # maxConcurrentStreams here
stuck = threading.Event()
P, F, C, Z, W = "PROTOCOL_ERROR", "FRAME_SIZE_ERROR", "COMPRESSION_ERROR", "STREAM_CLOSED", "FLOW_CONTROL_ERROR"


def handler(request):
    path = request.target.partition("?")[0]
    if path == "/hold":                                 # answered when the client has gone away
        request.connection.is_closed(30)
        return None
    if path == "/none":
        return Reply(204)
    if path == "/size":
        return Reply(body=b"x" * int(request.target.partition("?")[2]))
    return Reply(body=f"{request.method} {request.target} {len(request.body)}", headers=[("X-Cookie", request["cookie"] or "")])


def script(connection):
    """As Origin.serve, but a head is noted before its body came."""
    while head := connection.head():
        origin.record(head)
        if head.target == "/stuck":                     # its body is not read
            stuck.wait(60)
            return
        try:
            connection.body_into(head, to_end=False)
        except Closed:
            return
        head.connection = connection
        reply = handler(head)
        if reply is None:
            return
        connection.send(reply.encode(head.method))


origin = Origin(script=script)
goma = Goma([route("/", origin)], entryPoints={"web": {"address": "127.0.0.1:0", "h2c": True}}, log={"level": "off"},
            networking={"http2": {"maxConcurrentStreams": STREAMS}})


# --- reactions ------------------------------------------------------------------------------------------------------

def alive(peer):
    peer.last_ask = max(peer.last_ask, 999)             # above all that the rules use
    one = peer.ask("GET", "/alive")
    return None if one.status == 200 and one.ended and not peer.goaway else f"the connection does not go on: {one} {peer.goaway}"


def names(codes):
    return codes.split("|")


def ends(codes):
    def judge(peer):
        peer.wait(lambda: peer.goaway)
        if not peer.goaway:
            return f"no GOAWAY, closed={peer.closed} {peer.streams}"
        if peer.error not in names(codes):
            return f"GOAWAY {peer.goaway}"
        return None if peer.ended() else "still open after GOAWAY"
    return judge


def stream(number, codes):
    def judge(peer):
        one = peer.stream(number)
        peer.wait(lambda: one.reset or one.ended or peer.goaway)
        if not (one.reset in names(codes) or one.status == 400):
            return f"{one} {peer.goaway}"
        return alive(peer)
    return judge


def either(number, codes):
    def judge(peer):
        one = peer.stream(number)
        peer.wait(lambda: one.reset or peer.goaway or (one.ended and one.status == 400))
        return ends(codes)(peer) if peer.goaway else stream(number, codes)(peer)
    return judge


def serves(number, status=200, text=None):
    def judge(peer):
        one = peer.stream(number)
        peer.wait(lambda: one.done)
        if one.status != status or one.reset or not one.ended or (text is not None and one.text != text):
            return f"{one} {peer.goaway}"
        return alive(peer)
    return judge


def ignores(*numbers):
    def judge(peer):
        if not peer.settle() or peer.goaway:
            return f"the connection ended: {peer.goaway}"
        hurt = [s for s in peer.streams.values() if s.reset]
        return f"streams were reset: {hurt}" if hurt else alive(peer)
    return judge


def any_of(*judges):
    """For where the RFC leaves a choice and the reactions exclude each other quickly."""
    def judge(peer):
        peer.settle()
        problems = []
        for one in judges:
            problems.append(one(peer))
            if problems[-1] is None:
                return None
        return " / ".join(problems)
    return judge


def hangs_up(peer):
    """The connection is closed, whatever is said before: this is no HTTP/2."""
    return None if peer.hung_up() else "still open"


def has(number, status=200, text=None, size=None, ended=None):
    """What has arrived on a stream when nothing more is under way."""
    def judge(peer):
        if ended:
            peer.wait(lambda: peer.stream(number).done)
        elif not peer.settle():
            return f"the connection ended: {peer.goaway}"
        one = peer.stream(number)
        right = one.status == status and not one.reset and ended in (None, one.ended)
        right = right and text in (None, one.text) and size in (None, len(one.body))
        return None if right else f"{one} with {len(one.body)} bytes"
    return judge


def closed(number):
    """RST_STREAM with STREAM_CLOSED, and the connection goes on."""
    def judge(peer):
        peer.wait(lambda: peer.stream(number).reset or peer.goaway)
        return alive(peer) if peer.stream(number).reset == Z else f"{peer.stream(number)} {peer.goaway}"
    return judge


def refused(number, *statuses):
    """An answer that says no, or a reset, and the connection goes on."""
    def judge(peer):
        one = peer.stream(number)
        peer.wait(lambda: one.status or one.reset or peer.goaway)
        return alive(peer) if one.reset or one.status in statuses else f"{one} {peer.goaway}"
    return judge


def true(condition, timeout=PATIENCE):
    return lambda peer: None if peer.wait(lambda: condition(peer), timeout) else f"{peer.frames} {peer.streams}"


# --- steps: bytes to send, or a function of the peer ----------------------------------------------------------------

def unstarted(_):
    """First in a rule: nothing is sent for us."""


def byte_by_byte(text):
    return lambda peer: [peer.send(text[i:i + 1]) for i in range(len(text))]


def finished(number):
    return lambda peer: peer.wait(lambda: peer.stream(number).done)


def settled(peer):
    peer.settle()


def arrived(peer):
    host = f"r{peer.rule:05}"
    origin.wait(lambda o: any(r["host"] == host for r in o.requests))


def body(number, size):
    return lambda peer: peer.wait(lambda: len(peer.stream(number).body) >= size)


def still(number, size):
    """Nothing more comes, although something could."""
    def step(peer):
        peer.settle()
        if len(peer.stream(number).body) != size:
            peer.violations.append(f"{len(peer.stream(number).body)} bytes in place of {size}")
    return step


def initial_window(size, **now):
    """Sends the setting; now says what the windows of open streams (s1=...) are by it."""
    def step(peer):
        peer.own[INITIAL_WINDOW_SIZE] = size
        for name, left in now.items():
            peer.stream(int(name[1:])).window = left
        peer.send(settings((INITIAL_WINDOW_SIZE, size)))
    return step


def grant(number, size):
    return lambda peer: peer.grant(number, size)


def miserly(peer):
    """Windows are opened by hand only."""
    peer.replenish = False


def post(number, *more, path="/", end=False):
    return headers(number, request("POST", path, *more), end=end)


def hold(number):
    """A request that is not answered: the stream is half-closed (remote)."""
    return headers(number, request("GET", "/hold"))


def size(number, count):
    return headers(number, request("GET", f"/size?{count}"))


def one_too_many(peer):
    for number in range(1, 2 * STREAMS + 2, 2):
        peer.send(hold(number))
    settled(peer)
    peer.send(*[reset(number) for number in range(1, 2 * STREAMS, 2)])


def overrun(peer):
    """A body that nobody reads, without regard to windows."""
    peer.send(post(1, path="/stuck"))
    for _ in range(1500):
        if not peer.send(data(1, bytes(16384))) or peer.goaway or peer.stream(1).reset:
            break
        while not peer.closed and select.select([peer.wire.sock], [], [], 0)[0]:
            peer.pump()
    peer.wait(lambda: peer.goaway or peer.stream(1).reset)
    stuck.set()


DONE = (headers(1), finished(1))                        # a stream closed by END_STREAM on both sides
GONE = (post(1), settled, reset(1), settled)            # a stream closed by the client's RST_STREAM
HEAD = (":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a.test")
CONNECT = (":method", "CONNECT"), *HEAD[1:]


def malformed(*pairs, end=True):
    return headers(1, fields(*pairs), end=end)


def with_field(name, value):
    return malformed(*HEAD, (name, value))


REFUSED = malformed(*HEAD, ("X", "y"), end=False)       # a stream that the gateway resets

RULES = [
    # -- 3.4 preface
    ("3.4", "the server's first frame is SETTINGS, and ours is acknowledged", [], true(lambda p: p.settings_acks == 1)),
    ("3.4", "HEADERS in place of the first SETTINGS", [unstarted, PREFACE + headers(1)], ends(P)),
    ("3.4", "a preface that goes wrong", [unstarted, PREFACE[:-4] + b"XX\r\n" + settings() + headers(1)], hangs_up),
    ("3.4", "a preface that stops and ends", [unstarted, PREFACE[:10], lambda p: p.wire.shut()], hangs_up),
    ("3.4", "a preface byte by byte", [unstarted, byte_by_byte(PREFACE + settings() + headers(1))], serves(1)),
    ("3.4", "requests right behind the preface", [unstarted, PREFACE + settings() + headers(1)], serves(1)),
    # -- 4.1 frame format
    ("4.1", "unknown type on the connection", [frame(0xbb, 0xff, 0, b"what")], ignores()),
    ("4.1", "unknown type on an idle stream", [frame(0xbb, 0, 99, b"what")], ignores()),
    ("4.1", "unknown type on an open stream", [post(1), frame(0xbb, 0, 1, b"what"), data(1, b"x", end=True)], serves(1)),
    ("4.1", "unknown flags", [frame(PING, 0xfe, 0, b"flagged!")], true(lambda p: b"flagged!" in p.pongs)),
    ("4.1", "the reserved bit of the stream", [frame(PING, 0, 0x80000000, b"reserved")], true(lambda p: b"reserved" in p.pongs)),
    ("4.1", "the reserved bit of a request's stream", [headers(0x80000001)], serves(1)),
    # -- 4.2 frame size
    ("4.2", "DATA of 16,384 bytes", [post(1), data(1, bytes(16384), end=True)], serves(1, text="POST / 16384")),
    ("4.2", "DATA of 16,385 bytes", [post(1), data(1, bytes(16385), end=True)], either(1, F), 1),
    ("4.2", "HEADERS above the size", [headers(1, request("GET", "/", ("x", "y" * 17000)))], ends(F)),
    ("4.2", "SETTINGS above the size", [settings(*[(0x99, 1)] * 2732)], ends(F)),
    ("4.2", "a frame of an unknown type above the size", [frame(0xbb, 0, 0, bytes(16385))], any_of(ignores(), ends(F))),
    ("4.2", "a length of 2^24-1 announced", [frame(DATA, 0, 1, b"x", length=0xffffff)], ends(F + "|" + P)),
    # -- 4.3 field blocks
    ("4.3", "a block that does not decode", [headers(1, b"\xff\xff\xff\xff\xff\xff")], ends(C)),
    ("4.3", "a block cut inside a field", [headers(1, request()[:-2])], ends(C)),
    ("4.3", "an index beyond the tables", [headers(1, request() + indexed(70))], ends(C)),
    ("4.3", "a broken block in CONTINUATION", [headers(1, request(), whole=False), continuation(1, b"\xff\xff\xff\xff\xff\xff")], ends(C)),
    ("4.3", "a broken block of trailers", [post(1), headers(1, b"\xff\xff\xff\xff\xff\xff")], ends(C), 1),
    ("4.3", "a broken block on a refused stream",
     [headers(1, fields(("X", "y"))), headers(3, b"\xff\xff\xff\xff\xff\xff")], ends(C)),
    *[("4.3", f"{what} between HEADERS and CONTINUATION", [headers(1, request(), whole=False) + between + continuation(1)], ends(P))
      for what, between in (("PRIORITY", priority(1)), ("PING", ping()), ("SETTINGS", settings()), ("DATA", data(1, b"x")),
                            ("HEADERS of another stream", headers(3)), ("WINDOW_UPDATE", window(1, 1)), ("RST_STREAM", reset(1)),
                            ("an unknown type", frame(0xbb, 0, 1)), ("CONTINUATION of another stream", continuation(3)),
                            ("HEADERS of the same stream", headers(1)), ("GOAWAY", goaway()), ("unknown on another stream", frame(0xbb, 0, 3)))],
    # -- 5.1 states: idle
    ("5.1 idle", "DATA", [data(1, b"x", end=True)], ends(P)),
    ("5.1 idle", "RST_STREAM", [reset(1)], ends(P)),
    ("5.1 idle", "WINDOW_UPDATE", [window(1, 100)], ends(P)),
    ("5.1 idle", "CONTINUATION", [continuation(1, request())], ends(P)),
    ("5.1 idle", "PRIORITY", [priority(1)], ignores()),
    # -- half-closed (remote): the request is complete, the answer is not
    ("5.1 half-closed", "DATA", [hold(1), settled, data(1, b"x", end=True)], either(1, Z), 1),
    ("5.1 half-closed", "HEADERS", [hold(1), settled, headers(1)], either(1, Z), 1),
    ("5.1 half-closed", "CONTINUATION", [hold(1), settled, continuation(1, request())], either(1, Z + "|" + P), 1),
    ("5.1 half-closed", "WINDOW_UPDATE", [hold(1), window(1, 100)], ignores(), 1),
    ("5.1 half-closed", "PRIORITY", [hold(1), priority(1)], ignores(), 1),
    ("5.1 half-closed", "RST_STREAM", [hold(1), arrived, reset(1)], ignores(), 1),
    # -- closed by END_STREAM
    ("5.1 closed", "DATA", [*DONE, data(1, b"x", end=True)], closed(1), 1),
    ("5.1 closed", "DATA, twice", [*DONE, data(1, b"x"), data(1, b"x", end=True)], closed(1), 1),
    ("5.1 closed", "DATA without data", [*DONE, data(1, end=True)], closed(1), 1),
    ("5.1 closed", "HEADERS", [*DONE, headers(1)], ends(Z + "|" + P), 1),
    ("5.1 closed", "CONTINUATION", [*DONE, continuation(1, request())], ends(Z + "|" + P), 1),
    ("5.1 closed", "WINDOW_UPDATE", [*DONE, window(1, 100)], ignores(), 1),
    ("5.1 closed", "PRIORITY", [*DONE, priority(1)], ignores(), 1),
    ("5.1 closed", "RST_STREAM", [*DONE, reset(1)], ignores(), 1),
    # -- closed by the client's RST_STREAM
    ("5.1 reset", "DATA", [*GONE, data(1, b"x", end=True)], closed(1), 1),
    ("5.1 reset", "HEADERS", [*GONE, headers(1)], any_of(ignores(), either(1, Z + "|" + P)), 1),
    ("5.1 reset", "CONTINUATION", [*GONE, continuation(1, request())], ends(Z + "|" + P), 1),
    ("5.1 reset", "WINDOW_UPDATE", [*GONE, window(1, 100)], ignores(), 1),
    ("5.1 reset", "PRIORITY", [*GONE, priority(1)], ignores(), 1),
    ("5.1 reset", "RST_STREAM again", [*GONE, reset(1)], ignores(), 1),
    # -- closed by our RST_STREAM: frames that were under way must be borne
    ("5.1 refused", "DATA after our reset", [REFUSED + data(1, b"x") + data(1, b"x", end=True)], stream(1, P)),
    ("5.1 refused", "trailers after our reset", [REFUSED, settled, headers(1, fields(("t", "u")))], stream(1, P)),
    ("5.1 refused", "WINDOW_UPDATE, RST_STREAM, PRIORITY after our reset",
     [REFUSED, settled, window(1, 5), priority(1), reset(1)], stream(1, P)),
    # -- 5.1.1 stream numbers
    ("5.1.1", "an even number", [headers(2)], ends(P)),
    ("5.1.1", "stream 0", [headers(0)], ends(P)),
    ("5.1.1", "a number lower than one before", [headers(5), finished(5), headers(3)], ends(P + "|" + Z), 1),
    ("5.1.1", "numbers may be left out", [headers(7)], serves(7)),
    ("5.1.1", "DATA on a number left out", [headers(5), finished(5), data(3, b"x")], closed(3), 1),
    ("5.1.1", "the last number of all", [headers(0x7fffffff)], has(0x7fffffff, ended=True)),
    # -- 5.1.2 concurrency
    ("5.1.2", "one stream more than announced", [one_too_many], either(2 * STREAMS + 1, "REFUSED_STREAM|" + P), STREAMS),
    # -- 5.3 a stream that depends on itself
    ("5.3.1", "PRIORITY on itself", [priority(1, 1)], any_of(ignores(), ends(P), either(1, P))),
    ("5.3.1", "HEADERS on itself", [headers(1, priority=(1, 0, 15))], any_of(serves(1), ends(P), either(1, P)), 1),
    # -- 6.1 DATA
    ("6.1", "stream 0", [data(0, b"x")], ends(P)),
    ("6.1", "padding is taken off", [post(1), data(1, b"x" * 10, end=True, pad=200)], serves(1, text="POST / 10")),
    ("6.1", "padding as long as the frame", [post(1), frame(DATA, PADDED | END_STREAM, 1, bytes([5]) + b"12345")], serves(1, text="POST / 0")),
    ("6.1", "more padding than frame", [post(1), frame(DATA, PADDED | END_STREAM, 1, bytes([6]) + b"12345")], ends(P), 1),
    ("6.1", "PADDED without room for its length", [post(1), frame(DATA, PADDED | END_STREAM, 1)], ends(P + "|" + F), 1),
    # -- 6.2 HEADERS
    ("6.2", "padding and priority", [headers(1, pad=100, priority=(0, 1, 255))], serves(1)),
    ("6.2", "more padding than frame", [frame(HEADERS, PADDED | END_HEADERS | END_STREAM, 1, bytes([200]) + request())], ends(P)),
    ("6.2", "priority without room for it", [frame(HEADERS, PRIORITIZED | END_HEADERS | END_STREAM, 1, b"\0\0\0")], ends(F + "|" + P)),
    ("6.2", "an empty block", [headers(1, b"")], stream(1, P)),
    # -- 6.3 PRIORITY
    ("6.3", "stream 0", [priority(0)], ends(P)),
    ("6.3", "4 bytes", [frame(PRIORITY, 0, 1, b"1234")], either(1, F)),
    ("6.3", "6 bytes", [post(1), frame(PRIORITY, 0, 1, b"123456")], either(1, F), 1),
    # -- 6.4 RST_STREAM
    ("6.4", "stream 0", [reset(0)], ends(P)),
    ("6.4", "3 bytes", [post(1), frame(RST_STREAM, 0, 1, b"123")], ends(F), 1),
    ("6.4", "5 bytes", [post(1), frame(RST_STREAM, 0, 1, b"12345")], ends(F), 1),
    ("6.4", "a code nobody knows", [post(1), reset(1, 0xdeadbeef)], ignores(), 1),
    # -- 6.5 SETTINGS
    ("6.5", "acknowledgement with a payload", [frame(SETTINGS, ACK, 0, bytes(6))], ends(F)),
    ("6.5", "on a stream", [settings(stream=1)], ends(P)),
    ("6.5", "5 bytes", [frame(SETTINGS, 0, 0, bytes(5))], ends(F)),
    ("6.5", "empty is acknowledged", [settings()], true(lambda p: p.settings_acks == 2)),
    ("6.5.2", "ENABLE_PUSH 2", [settings((ENABLE_PUSH, 2))], ends(P)),
    ("6.5.2", "ENABLE_PUSH 0 and 1", [settings((ENABLE_PUSH, 0)), settings((ENABLE_PUSH, 1))], ignores()),
    ("6.5.2", "INITIAL_WINDOW_SIZE 2^31", [settings((INITIAL_WINDOW_SIZE, 1 << 31))], ends(W)),
    ("6.5.2", "INITIAL_WINDOW_SIZE 2^31-1", [settings((INITIAL_WINDOW_SIZE, (1 << 31) - 1)), headers(1)], serves(1)),
    ("6.5.2", "MAX_FRAME_SIZE 16,383", [settings((MAX_FRAME_SIZE, 16383))], ends(P)),
    ("6.5.2", "MAX_FRAME_SIZE 2^24", [settings((MAX_FRAME_SIZE, 1 << 24))], ends(P)),
    ("6.5.2", "MAX_FRAME_SIZE 2^24-1", [settings((MAX_FRAME_SIZE, (1 << 24) - 1)), headers(1)], serves(1)),
    ("6.5.2", "MAX_CONCURRENT_STREAMS 0 concerns pushes only", [settings((MAX_CONCURRENT_STREAMS, 0)), headers(1)], serves(1)),
    ("6.5.2", "unknown settings", [settings((0x99, 7), (0xffff, 0xffffffff)), headers(1)], serves(1)),
    ("6.5.3", "each SETTINGS is acknowledged", [settings() * 10], true(lambda p: p.settings_acks == 11)),
    ("6.5.3", "values in their order", [miserly, settings((INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 1)), size(1, 20), body(1, 1)],
     has(1, size=1)),
    # -- 6.6 PUSH_PROMISE
    ("6.6", "from a client", [post(1), frame(PUSH_PROMISE, END_HEADERS, 1, struct.pack(">I", 2) + request())], ends(P), 1),
    # -- 6.7 PING
    ("6.7", "comes back with its payload", [ping(b"\0\1\2\3abcd")], true(lambda p: p.pongs == [b"\0\1\2\3abcd"])),
    ("6.7", "an answer is not answered", [ping(b"answered", ack=True), settled], true(lambda p: b"answered" not in p.pongs)),
    ("6.7", "on a stream", [frame(PING, 0, 1, b"12345678")], ends(P)),
    ("6.7", "7 bytes", [frame(PING, 0, 0, b"1234567")], ends(F)),
    ("6.7", "9 bytes", [frame(PING, 0, 0, b"123456789")], ends(F)),
    # -- 6.8 GOAWAY
    ("6.8", "on a stream", [frame(GOAWAY, 0, 1, bytes(8))], ends(P)),
    ("6.8", "7 bytes", [frame(GOAWAY, 0, 0, bytes(7))], ends(F)),
    ("6.8", "what was begun is finished", [post(1), settled, goaway(), data(1, b"last", end=True)], has(1, text="POST / 4", ended=True)),
    # -- 6.9 flow control
    ("6.9", "increment 0 on the connection", [window(0, 0)], ends(P)),
    ("6.9", "increment 0 on a stream", [post(1), window(1, 0)], either(1, P), 1),
    ("6.9", "3 bytes", [frame(WINDOW_UPDATE, 0, 0, b"123")], ends(F)),
    ("6.9", "5 bytes", [frame(WINDOW_UPDATE, 0, 0, b"12345")], ends(F)),
    ("6.9", "the reserved bit", [window(0, 0x80000001)], ignores()),
    ("6.9.1", "connection window above 2^31-1", [window(0, 0x7fffffff)], ends(W)),
    ("6.9.1", "stream window above 2^31-1", [post(1), window(1, 0x7fffffff)], either(1, W), 1),
    ("6.9.1", "a body above the stream's window", [overrun], either(1, W), 1),
    ("6.9.1", "exactly the window is sent", [miserly, initial_window(5), size(1, 20), body(1, 5)], has(1, size=5)),
    ("6.9.1", "and more when it opens",
     [miserly, initial_window(5), size(1, 20), body(1, 5), grant(1, 7), body(1, 12), still(1, 12), grant(1, 100)], has(1, size=20, ended=True)),
    ("6.9.1", "the connection's window holds for all streams together",
     [miserly, initial_window(1 << 20), size(1, 60000), size(3, 60000), lambda p: p.wait(lambda: p.window == 0), settled],
     true(lambda p: p.window == 0)),
    ("6.9.1", "an empty window stops no head and no empty end", [miserly, initial_window(0), headers(1, request("GET", "/none"))], has(1, 204, ended=True)),
    ("6.9.2", "a changed INITIAL_WINDOW_SIZE moves open streams",
     [miserly, initial_window(0), size(1, 20), still(1, 0), initial_window(8, s1=8), body(1, 8)], has(1, size=8)),
    ("6.9.2", "a window may go below zero and must climb out",
     [miserly, initial_window(8), size(1, 20), body(1, 8), initial_window(2, s1=-6), grant(1, 6), still(1, 8), grant(1, 3), body(1, 11)],
     has(1, size=11)),
    ("6.9.2", "INITIAL_WINDOW_SIZE that lifts a stream above 2^31-1",
     [hold(1), window(1, 0x7fffffff - 65535), settled, settings((INITIAL_WINDOW_SIZE, 65536))], either(1, W), 1),
    # -- 6.10 CONTINUATION
    ("6.10", "a block in three frames", [headers(1, request()[:9], whole=False) + continuation(1, request()[9:20], whole=False) + continuation(1, request()[20:])], serves(1)),
    ("6.10", "a block in empty frames", [headers(1, b"", whole=False) + continuation(1, b"", whole=False) + continuation(1, request())], serves(1)),
    ("6.10", "END_STREAM of HEADERS holds for the whole block", [headers(1, b"", whole=False) + continuation(1, request("POST"))], serves(1, text="POST / 0")),
    ("6.10", "stream 0", [headers(1, whole=False) + continuation(0)], ends(P)),
    ("6.10", "after END_HEADERS", [post(1) + continuation(1, fields(("x", "y")))], ends(P), 1),
    ("6.10", "after DATA", [post(1) + data(1, b"x") + continuation(1, fields(("x", "y")))], ends(P), 1),
    # -- 8.1 messages
    ("8.1", "a body and trailers", [post(1), data(1, b"12"), headers(1, fields(("t", "u")))], serves(1, text="POST / 2")),
    ("8.1", "trailers without a body", [post(1), headers(1, fields(("t", "u")))], serves(1, text="POST / 0")),
    ("8.1", "END_STREAM on an empty DATA", [post(1), data(1, b"12"), data(1, end=True)], serves(1, text="POST / 2")),
    ("8.1", "a second HEADERS without END_STREAM", [post(1), settled, headers(1, fields(("t", "u")), end=False)], stream(1, P), 1),
    ("8.1", "DATA behind trailers", [post(1) + headers(1, fields(("t", "u"))) + data(1, b"x", end=True)], either(1, Z), 1),
    ("8.1", "trailers with a pseudo-header", [post(1), settled, headers(1, fields((":method", "GET")))], stream(1, P), 1),
    ("8.1", "trailers with a field in upper case", [post(1), settled, headers(1, fields(("T", "u")))], stream(1, P), 1),
    ("8.1", "HEAD has no body", [headers(1, request("HEAD", "/size?50"))], serves(1, text="")),
    ("8.1", "204 has no body", [headers(1, request("GET", "/none"))], serves(1, 204, text="")),
    # -- 8.1.1 content-length
    *[("8.1.1", f"content-length {length}, {size} bytes of DATA", [post(1, ("content-length", length)) + data(1, b"x" * size, end=True)], stream(1, P), 1)
      for length, size in (("1", 2), ("3", 2), ("0", 1), ("2", 0))],
    ("8.1.1", "content-length 1 and END_STREAM on HEADERS", [post(1, ("content-length", "1"), end=True)], stream(1, P)),
    ("8.1.1", "more DATA frames than content-length", [post(1, ("content-length", "3")) + data(1, b"xx") + data(1, b"xx", end=True)], stream(1, P), 1),
    ("8.1.1", "less before trailers", [post(1, ("content-length", "3")) + data(1, b"xx") + headers(1, fields(("t", "u")))], stream(1, P), 1),
    ("8.1.1", "content-length twice, differing", [post(1, ("content-length", "2"), ("content-length", "3")) + data(1, b"xx", end=True)], stream(1, P)),
    *[("8.1.1", f"content-length {length!r}", [post(1, ("content-length", length)) + data(1, b"xx", end=True)], stream(1, P))
      for length in ("-2", "+2", "2,2", "2, 3", "0x2", "", "2 ", "99999999999999999999", "a")],
    ("8.1.1", "content-length as it is", [post(1, ("content-length", "2")), data(1, b"x"), data(1, b"x", end=True)], serves(1, text="POST / 2")),
    # -- 8.2 fields
    ("8.2", "upper case", [with_field("X-Upper", "y")], stream(1, P)),
    *[("8.2.1", f"name {name!r}", [with_field(name, "y")], stream(1, P))
      for name in ("a b", "a:b", "a\0", "a\r", "a\n", "a\x7f", "\xe4", "(a)", "a/b", 'a"b', "")],
    *[("8.2.1", f"value {value!r}", [with_field("x", value)], stream(1, P)) for value in ("a\0b", "a\rb", "a\nb", " a", "a ", "\ta", "a\t")],
    ("8.2.1", "an empty value", [with_field("x", "")], serves(1)),
    *[("8.2.2", f"{name}: {value}", [with_field(name, value)], stream(1, P))
      for name, value in (("connection", "x"), ("connection", "close"), ("keep-alive", "1"), ("proxy-connection", "keep-alive"),
                          ("transfer-encoding", "chunked"), ("upgrade", "websocket"), ("te", "gzip"), ("te", "trailers, gzip"))],
    ("8.2.2", "te: trailers", [with_field("te", "trailers")], serves(1)),
    ("8.2.3", "crumbs of a cookie are put together", [malformed(*HEAD, ("cookie", "a=1"), ("cookie", "b=2"))],
     true(lambda p: p.stream(1)["x-cookie"] == "a=1; b=2", 2)),
    # -- 8.3 pseudo-header fields
    *[("8.3.1", f"without {absent}", [malformed(*[h for h in HEAD if h[0] != absent])], stream(1, P)) for absent in (":method", ":scheme", ":path")],
    *[("8.3.1", f"{twice[0]} twice", [malformed(*HEAD, twice)], stream(1, P)) for twice in HEAD],
    ("8.3", ":status in a request", [malformed(*HEAD, (":status", "200"))], stream(1, P)),
    ("8.3", "an unknown one", [malformed(*HEAD, (":test", "x"))], stream(1, P)),
    ("8.3", "one behind a field", [malformed(*HEAD[:3], ("x", "y"), HEAD[3])], stream(1, P)),
    *[("8.3.1", f":path {path!r}", [malformed(*HEAD[:2], (":path", path), HEAD[3])], stream(1, P))
      for path in ("", "a", "http://a.test/", "/a b", "/\0", "/a\r\nx: y", "/\x7f", "/#a")],
    *[("8.3.1", f":method {method!r}", [malformed((":method", method), *HEAD[1:])], stream(1, P)) for method in ("", "G ET", "GET\r\n", "G\0T", "(")],
    *[("8.3.1", f":authority {host!r}", [malformed(*HEAD[:3], (":authority", host))], stream(1, P))
      for host in ("user@a.test", "a test", "a.test/x", "a.test\r\nx: y", "a.test:x", "[::1", "")],
    ("8.3.1", "neither :authority nor host", [malformed(*HEAD[:3])], stream(1, P)),
    ("8.3.1", "host in place of :authority", [malformed(*HEAD[:3], ("host", "a.test"))], serves(1)),
    ("8.3.1", ":authority and the same host", [malformed(*HEAD, ("host", "a.test"))], serves(1)),
    ("8.3.1", ":authority and another host", [malformed(*HEAD, ("host", "b.test"))], stream(1, P)),
    ("8.3.1", "host twice", [malformed(*HEAD[:3], ("host", "a.test"), ("host", "b.test"))], stream(1, P)),
    ("8.3.1", "OPTIONS *", [headers(1, request("OPTIONS", "*"))], true(lambda p: p.stream(1).ended and p.stream(1).status == 200)),
    ("8.3.1", "GET *", [headers(1, request("GET", "*"))], stream(1, P)),
    # -- 8.5 CONNECT
    ("8.5", "CONNECT is not offered", [malformed((":method", "CONNECT"), (":authority", "a.test:80"))], refused(1, 400, 405, 501)),
    ("8.5", "CONNECT with :path", [malformed((":method", "CONNECT"), (":path", "/"), (":authority", "a.test:80"))], stream(1, P)),
    ("8.5", "CONNECT with :scheme", [malformed((":method", "CONNECT"), (":scheme", "http"), (":authority", "a.test:80"))], stream(1, P)),
    ("8.5", "CONNECT without :authority", [malformed((":method", "CONNECT"))], stream(1, P)),
    # -- RFC 8441 extended CONNECT
    ("8441 3", "it is announced", [], true(lambda p: p.settings.get(ENABLE_CONNECT_PROTOCOL) == 1, 0)),
    ("8441 3", "ENABLE_CONNECT_PROTOCOL 2", [settings((ENABLE_CONNECT_PROTOCOL, 2))], ends(P)),
    ("8441 4", ":protocol without :path", [malformed((":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":authority", "a.test"), end=False)], stream(1, P)),
    ("8441 4", ":protocol without :scheme", [malformed((":method", "CONNECT"), (":protocol", "websocket"), (":path", "/"), (":authority", "a.test"), end=False)], stream(1, P)),
    ("8441 4", ":protocol with GET", [malformed(*HEAD, (":protocol", "websocket"))], stream(1, P)),
    ("8441 4", ":protocol twice", [malformed(*CONNECT, (":protocol", "websocket"), (":protocol", "websocket"), end=False)], stream(1, P)),
    ("8441 4", "a protocol nobody knows", [malformed(*CONNECT, (":protocol", "telepathy"), end=False)], refused(1, 400, 404, 405, 501)),
    # -- RFC 9218
    ("9218 2.1", "NO_RFC7540_PRIORITIES 2", [settings((NO_RFC7540_PRIORITIES, 2))], any_of(ignores(), ends(P))),
    ("9218 7.1", "PRIORITY_UPDATE", [frame(PRIORITY_UPDATE, 0, 0, struct.pack(">I", 1) + b"u=1"), headers(1)], serves(1)),
]


def run(number, section, what, steps, judge, most=0):
    """None, or what went wrong. Every rule has a host name of its own, by which its requests are known at the backend."""
    host = f"r{number:05}"
    peer = dial(goma.address, start=not steps or steps[0] is not unstarted)
    peer.rule = number
    try:
        for step in steps:
            if isinstance(step, bytes):
                peer.send(step.replace(b"a.test", host.encode()))
            else:
                step(peer)
        problem = judge(peer)
    finally:
        peer.close()
    seen = [r.start for r in origin.requests if host in r["host"]]
    if problem is None and judge.__qualname__.startswith(("ends", "stream", "either", "refused")) and len(seen) > most:
        problem = f"the backend saw {seen}"
    return problem or "; ".join(peer.violations) or None


time_limit(120)
only = os.environ.get("H2_ONLY", "")                     # the beginning of a rule, to see it alone
for number, rule in enumerate(RULES):
    if only not in f"{rule[0]}: {rule[1]}":
        continue
    try:
        problem = run(number, *rule)
    except Exception as error:                          # one rule must not hide the others
        problem = f"{type(error).__name__}: {error}"
    expect(problem is None, f"{rule[0]}: {rule[1]}", problem)
expect(goma.canary(), "a canary passes")
