#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Attack cases F67-F69 over HTTP/1.1 and HTTP/2: what looks like an upgrade opens no way around the rules, an answer nobody asked
for is none, and sockets in masses that idle, dribble, half-close or never read cost little and are all ended."""
import threading

from lib.goma import *
from lib import h2, websocket as ws

HIDDEN = b"GET /admin HTTP/1.1\r\nHost: a.test\r\n\r\n"
MANY = 2000 if LONG else 100
QUIET = 20 if LONG else 1                               # timeouts.tunnel: longer than it takes to open so many
FIELDS = "".join(f"{n}: {v}\r\n" for n, v in ws.UPGRADE.items()).encode()
taken = []


def script(connection):
    """By target: refuses, switches unasked, floods, or echoes."""
    while head := connection.head():
        origin.record(head)
        kind = head.target.strip("/").partition("?")[0]
        if kind.isdigit() and kind != "101":
            connection.send(Reply(int(kind), body="no").encode("GET"))
        elif kind == "unasked" or kind == "101":
            connection.send(ws.SWITCH + b"leaked")
            taken.append(connection.exactly(1))
            return
        elif kind == "flood":
            connection.send(ws.SWITCH)
            piece = ws.frame(bytes(60000), masked=False)
            try:
                while True:
                    connection.send(piece)
                    taken.append(len(piece))
            except OSError:
                return
        elif "upgrade" in head:
            connection.send(ws.SWITCH)
            while connection.buffer or connection.fill():
                piece, connection.buffer = connection.buffer, b""
                connection.send(piece)
            taken.append("end")
            return
        else:
            connection.send(Reply(200, body="plain").encode("GET"))


origin = Origin(script=script)
ROUTES = [route("/admin", origin, "admin", middlewares=["shut"]), route("/", origin)]
SHUT = [middleware("shut", "respond", {"status": 403, "body": "shut"}, paths=["/admin"])]
goma = Goma(ROUTES, SHUT, workers=1, entryPoints={"web": {"address": "127.0.0.1:0", "h2c": True}}, log={"level": "error"}, timeouts={"tunnel": QUIET, "write": 1, "idle": 1}, monitoring={"enableMetrics": True},
            networking={"transport": {"maxConnsPerHost": 0}})
worker = goma.worker_pids()[0]


def targets():
    return [r.target for r in origin.requests]


# --- F67: a fake upgrade is no tunnel ---------------------------------------------------------------------------------

def fake(name, head, answers):
    """Head and a hidden request in one piece: the second is judged like any other."""
    origin.clear()
    client = goma.client()
    client.send(head + HIDDEN)
    got = [client.outcome() for _ in answers]
    expect(got == list(answers) and "/admin" not in targets(), f"F67 {name}: what follows is a request like any other", (got, targets()))
    client.close()


def head(target, fields, method=b"GET"):
    return method + b" " + target + b" HTTP/1.1\r\nHost: a.test\r\n" + fields + b"\r\n"


for status in (200, 426, 400, 503):
    fake(f"the backend answers {status} to a good one", head(b"/%d" % status, FIELDS), (status, 403))
fake("version 99", head(b"/200", FIELDS.replace(b": 13", b": 99")), (200, 403))
fake("no key", head(b"/200", re.sub(rb"Sec-WebSocket-Key: .*\r\n", b"", FIELDS)), (200, 403))
fake("a POST with a length of nothing", head(b"/200", FIELDS + b"Content-Length: 0\r\n", b"POST"), (200, 403))
fake("Upgrade that Connection does not name", head(b"/200", FIELDS.replace(b"Connection: Upgrade", b"Connection: keep-alive")), (200, 403))
fake("an upgrade to h2c", head(b"/200", b"Connection: Upgrade\r\nUpgrade: h2c\r\n"), (200, 403))
for method, fields in ((b"GET", FIELDS.replace(b": 13", b": 99")), (b"POST", FIELDS + b"Content-Length: 0\r\n"), (b"GET", b"")):
    client = goma.client()
    origin.clear()
    client.send(head(b"/unasked", fields, method) + HIDDEN)
    got = client.outcome()
    expect(got == 502 and "/admin" not in targets(), f"F68 a 101 to {method.decode()} with {fields[-40:]!r} is 502", (got, targets()))
    expect(b"leaked" not in client.buffer, "F68 and nothing behind it passes", client.buffer)
    client.close()
reply = goma.get("/200?x", {"Connection": "Upgrade", "Upgrade": "websocket"})
expect(reply.status == 404 or "upgrade" not in reply, "F68 no upgrade is offered that was not", reply)
expect(goma.canary("/plain"), "a canary passes")


# --- F69: masses --------------------------------------------------------------------------------------------------------

def tunnel(target="/echo", **options):
    client = goma.client(**options)
    client.send(head(target.encode(), FIELDS))
    client.until(b"\r\n\r\n")
    return client


def active():
    return goma.metrics()["goma_tunnels_active"]


def idle():
    before = resident(worker)
    held = [tunnel() for _ in range(MANY)]
    grown = (resident(worker) - before) / MANY
    expect(grown < 32, f"F69 {MANY} idle sockets: {grown:.1f} KiB each", grown)
    code, out = goma.reload()
    same(code, 0, "F69 a reload meanwhile") or note(out)
    still = ws.frame(b"still")
    held[0].send(still)
    same(held[0].exactly(len(still)), still, "F69 they are alive after it")
    for client in held:
        client.sock.settimeout(PATIENCE + QUIET)
    ended = [ended_with_close(client) for client in held]
    same(sum(ended), MANY, "F69 all are ended after timeouts.tunnel")
    expect(wait_for(lambda: active() == 0), "F69 and counted out", active())
    for client in held:
        client.close()


def ended_with_close(client):
    """A close frame came and the end behind it."""
    try:
        while client.fill():
            pass
    except Timeout:
        return False
    return bool(client.buffer)


def dribble():
    client = tunnel()
    text = ws.frame(b"hello") * 40
    for i in range(len(text)):
        client.send(text[i:i + 1])
    same(client.exactly(len(text)), text, "F69 frames byte by byte pass as they are")
    text = ws.frame(b"") * 5000
    client.send(text)
    same(client.exactly(len(text)), text, "F69 five thousand empty frames too")
    client.close()


def half_close():
    taken.clear()
    client = tunnel()
    last = ws.frame(b"last")
    client.send(last)
    client.shut()
    same(client.exactly(1 << 20), last, "F69 a half-close: what was said before is answered, then the end")
    expect(wait_for(lambda: "end" in taken), "F69 the backend hears the end")
    client.close()


def never_reads():
    taken.clear()
    before = resident(worker)
    held = [tunnel("/flood", receive_buffer=4096) for _ in range(20)]
    wait_for(lambda: not moving(), 3)
    grown = (resident(worker) - before) / len(held)
    expect(grown < 256, f"F69 who never reads: {grown:.0f} KiB each, the backend waits", grown)
    expect(goma.canary("/plain"), "F69 others are served meanwhile")
    expect(wait_for(lambda: active() == 0, PATIENCE + QUIET), "F69 and it is given up after the timeouts", active())
    for client in held:
        client.close()


def moving():
    now = sum(n for n in taken if isinstance(n, int))
    time.sleep(0.2)
    return sum(n for n in taken if isinstance(n, int)) != now


time_limit(200 if LONG else 60)
attempt("idle", idle)
attempt("dribble", dribble)
attempt("half-close", half_close)
attempt("never reads", never_reads)
expect(goma.canary("/plain"), "a canary passes")

# --- the same over HTTP/2 (RFC 8441) -------------------------------------------------------------------------------------

def connect(peer, target, *more):
    """Extended CONNECT on the next stream, with bytes behind it that were not waited for."""
    number = peer.next_stream()
    block = h2.fields((":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", target), (":authority", "a.test"),
                      ("sec-websocket-version", "13"))
    peer.send(h2.headers(number, block, end=False), *[h2.data(number, m) for m in more])
    return peer.stream(number)


def fake_stream(status):
    origin.clear()
    peer = h2.dial(goma.address)
    one = connect(peer, f"/{status}", HIDDEN)
    peer.wait(lambda: one.done)
    told = 502 if status == 200 else status             # 200 would say that the tunnel is open
    expect(one.status == told and "/admin" not in targets(), f"F67 h2: refused with {status}, and DATA behind it goes nowhere", (one, targets()))
    same(peer.ask("GET", "/admin").status, 403, f"F67 h2: {status}: the connection goes on, the rules hold")
    peer.close()


def idle_streams():
    peer = h2.dial(goma.address)
    held = [connect(peer, "/echo") for _ in range(100)]
    same(bool(peer.wait(lambda: all(s.status == 200 for s in held))), True, "F69 h2: a hundred tunnels on a connection")
    expect(peer.wait(lambda: all(s.done for s in held), PATIENCE + QUIET), "F69 h2: all are ended after timeouts.tunnel", [s for s in held if not s.done][:3])
    same({s.body for s in held}, {ws.close(1001, masked=False)}, "F69 h2: with a close frame")
    expect(wait_for(lambda: active() == 0) and not peer.goaway, "F69 h2: and counted out", active())
    peer.close()


def stream_ends():
    taken.clear()
    peer = h2.dial(goma.address)
    last = ws.frame(b"last")
    one = connect(peer, "/echo")
    peer.wait(lambda: one.status)
    peer.send(h2.data(one.number, last, end=True))
    peer.wait(lambda: one.done)
    expect(one.body == last and one.ended and wait_for(lambda: "end" in taken), "F69 h2: a half-close: answered, then the end", (one, taken))
    taken.clear()
    one = connect(peer, "/echo")
    peer.wait(lambda: one.status)
    peer.send(h2.reset(one.number))
    expect(wait_for(lambda: "end" in taken) and peer.settle(), "F69 h2: a reset ends the backend's side, not the connection")
    peer.close()


def never_read_streams():
    before = resident(worker)
    peer = h2.dial(goma.address, settings={h2.INITIAL_WINDOW_SIZE: 0}, replenish=False)
    held = [connect(peer, "/flood") for _ in range(20)]
    peer.wait(lambda: all(s.status == 200 for s in held))
    wait_for(lambda: not moving(), 2)
    grown = resident(worker) - before
    expect(grown < 20 * 256, f"F69 h2: twenty streams without a window: {grown} KiB", grown)
    expect(wait_for(lambda: active() == 0, PATIENCE + QUIET), "F69 h2: given up after the timeouts", active())
    peer.close()


for status in (200, 426):
    attempt("F67 h2", fake_stream, status)
attempt("idle streams", idle_streams)
attempt("stream ends", stream_ends)
attempt("streams never read", never_read_streams)
expect(goma.canary("/plain"), "a canary passes")

# --- F69: a cap per address, and the end at the drain deadline ---------------------------------------------------------

few = Goma(ROUTES, SHUT, workers=1, networking={"maxConnectionsPerAddress": 5}, log={"level": "off"})
held = []
for _ in range(5):
    client = few.client()
    client.send(head(b"/echo", FIELDS))
    held.append(client)
same([c.response().status for c in held], [101] * 5, "F69 an address has its five tunnels")
extra = few.client()
same(extra.outcome(), 503, "F69 and not a sixth")
extra.close()
for client in held:
    client.close()
expect(wait_for(lambda: few.canary("/plain")), "F69 until one ends")
