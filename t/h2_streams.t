#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 streams that do not go straight: given up, refused, stalled on either side, tunnels, and the gateway's stop."""
import subprocess
import threading

from lib.goma import *
from lib import h2
from lib import websocket as ws

SIZE = 16 << 20 if LONG else 4 << 20
gate = threading.Event()


def script(connection):
    """What the path says; /held waits until the other side leaves."""
    while head := connection.head():
        origin.record(head)
        if head.target.startswith("/ws"):
            connection.send(ws.SWITCH + b"welcome")
            while connection.buffer or connection.fill():
                data, connection.buffer = connection.buffer, b""
                connection.send(data.upper())
            origin.left.append(head.target)
            return
        if head.target.startswith("/held"):
            origin.left.append(head.target if connection.is_closed(4 * PATIENCE) else "nobody")
            return
        if head.target.startswith("/gate"):
            gate.wait(30 * SLOW)
        connection.body_into(head, to_end=False)
        if head.target.startswith("/big"):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
            for _ in range(SIZE >> 16):
                connection.send(bytes(65536))
            continue
        status = 426 if head.target == "/refuse" else 200
        connection.send(Reply(status, body=str(len(head.body))).encode(head.method))


origin = Origin(script=script)
origin.left = []
H2C = {"entryPoints": {"web": {"address": "127.0.0.1:0", "h2c": True}}}


def reached(target):
    return origin.wait(lambda o: any(r.target == target for r in o.requests))


def ask_long(peer, path, *more):
    """A request whose head takes several frames."""
    number = peer.next_stream()
    block = h2.request("GET", path, *more)
    parts = [block[i:i + 16384] for i in range(0, len(block), 16384)]
    out = h2.headers(number, parts[0], whole=len(parts) == 1)
    peer.send(out + b"".join(h2.continuation(number, p, whole=p is parts[-1]) for p in parts[1:]))
    peer.wait(lambda: peer.stream(number).done)
    return peer.stream(number)


def memory(goma):
    return sum(resident(pid) for pid in goma.worker_pids())


goma = Goma([route("/", origin)], workers=1, monitoring={"enableMetrics": True}, **H2C)

# --- given up

peer = h2.dial(goma.address)
stream = peer.ask("GET", "/held/reset", wait=False)
expect(reached("/held/reset"), "a request is under way")
peer.send(h2.reset(stream.number))
expect(wait_for(lambda: "/held/reset" in origin.left), "its reset reaches the backend")
same(peer.ask("GET", "/").status, 200, "the connection goes on")
peer.ask("GET", "/held/gone", wait=False)
reached("/held/gone")
peer.close()
expect(wait_for(lambda: "/held/gone" in origin.left), "so does the end of the connection")
expect(wait_for(lambda: goma.output.count("end=client-abort") == 2), "both are logged as what they are")

# --- refused

peer = h2.dial(goma.address)
origin.clear()
got = peer.ask("GET", "/", *[(f"x-{i}", "v") for i in range(101)])
same(got.status, 431, "more than a hundred fields")
got = ask_long(peer, "/", *[(f"x-{i}", "v" * 2000) for i in range(40)])
same(got.status, 431, "more than 64 KiB of fields")
same(peer.ask("GET", "/", *[("cookie", f"a{i}=b") for i in range(101)]).status, 431, "crumbs of a cookie count too")
same(ask_long(peer, "/" + "x" * 17000).status, 414, "a path that is too long")
for name, arguments, status in (
        ("another host than :authority", [("host", "b.test")], 400), ("an expectation", [("expect", "tea")], 417),
        ("a control byte", [("x-own", "a\tb\x01")], None), ("an upgrade", [("upgrade", "h2c")], None)):
    got = peer.ask("GET", "/", *arguments)
    same((got.status, got.reset), (status, None if status else "PROTOCOL_ERROR"), f"refused: {name}")
same(peer.ask("CONNECT", "/").status or peer.stream(peer.last_ask).reset, "PROTOCOL_ERROR", "refused: CONNECT with a path")
same(peer.ask("GET", "/a\\b").status, 400, "refused: a backslash in the path")
same(origin.requests, [], "no backend has seen any of it")
same(peer.ask("GET", "/").status, 200, "and the connection goes on")

# --- tunnels (RFC 8441)

same(peer.settings.get(h2.ENABLE_CONNECT_PROTOCOL), 1, "extended CONNECT is offered")
number = peer.next_stream()
UPGRADE = [(":protocol", "websocket"), ("sec-websocket-version", "13"), ("origin", "http://a.test")]
peer.send(h2.headers(number, h2.request("CONNECT", "/ws", *UPGRADE), end=False))
tunnel = peer.stream(number)
expect(peer.wait(lambda: tunnel.body == b"welcome"), "a WebSocket over HTTP/2 opens", tunnel)
same((tunnel.status, tunnel["sec-websocket-accept"], tunnel["upgrade"]), (200, None, None), "with 200 and without HTTP/1's fields")
seen = [r for r in origin.requests if r.target == "/ws"][0]
same((seen.method, seen["upgrade"], len(seen["sec-websocket-key"] or "")), ("GET", "websocket", 24), "the backend sees the GET of RFC 6455")
tunnel.body = b""
ping = ws.frame("hello")
peer.send(h2.data(number, ping))
expect(peer.wait(lambda: len(tunnel.body) == len(ping)), "bytes pass both ways", tunnel)
peer.send(h2.data(number, b"", end=True))
expect(wait_for(lambda: "/ws" in origin.left), "the client's end reaches the backend")
expect(peer.wait(lambda: tunnel.done), "and the tunnel ends", tunnel)
number = peer.next_stream()
peer.send(h2.headers(number, h2.request("CONNECT", "/refuse", *UPGRADE), end=False))
expect(peer.wait(lambda: peer.stream(number).done), "a backend may refuse")
same(peer.stream(number).status, 426, "and the client sees how")
number = peer.next_stream()
peer.send(h2.headers(number, h2.request("CONNECT", "/else", *UPGRADE), end=False))
peer.wait(lambda: peer.stream(number).done)
same(peer.stream(number).status, 502, "an answer that is no switch is not taken for one")
got = peer.ask("CONNECT", "/x", (":protocol", "tea"))
same(got.status, 501, "a protocol nobody speaks")
same(peer.violations, [], "nothing against the RFC was seen")
peer.close()

# --- back-pressure

before = memory(goma)
peer = h2.dial(goma.address, settings={h2.INITIAL_WINDOW_SIZE: 100}.items(), replenish=False)
streams = [peer.ask("GET", f"/big/{i}", wait=False) for i in range(100)]
peer.wait(lambda: all(len(s.body) == 100 for s in streams))
same([len(s.body) for s in streams], [100] * 100, "windows are respected")
expect(memory(goma) - before < 2048, "a hundred stalled responses hold little", memory(goma) - before)
note(f"KiB for a hundred stalled responses: {memory(goma) - before}")
for s in streams[1:]:
    peer.send(h2.reset(s.number))
peer.replenish = True
peer.grant(streams[0].number, 1 << 20)
peer.grant(0, 1 << 20)
peer.wait(lambda: streams[0].done, 4 * PATIENCE)
same(len(streams[0].body), SIZE, "and go on when the client does")
peer.close()

target = f"http://{goma.address[0]}:{goma.address[1]}"
before = memory(goma)
with subprocess.Popen(["curl", "-s", "--http2-prior-knowledge", target + "/gate/up", "-H", "Expect:", "--data-binary", "@-"],
                      stdin=subprocess.PIPE, stdout=subprocess.PIPE) as curl:
    threading.Thread(target=lambda: curl.stdin.write(bytes(SIZE)) and curl.stdin.close(), daemon=True).start()
    expect(reached("/gate/up"), "an upload to a backend that does not read")
    still = wait_for(lambda: goma.canary("/"))
    expect(still and memory(goma) - before < 3072, "holds little", memory(goma) - before)
    gate.set()
    same(curl.stdout.read(), str(SIZE).encode(), "and arrives whole when it does")
gate.clear()

run = subprocess.run(["h2load", "-n", "3000", "-c", "4", "-m", "16", target + "/"], capture_output=True, text=True, check=False)
expect("3000 succeeded, 0 failed" in run.stdout, "h2load: 3,000 requests, none failed", run.stdout)

# --- stop

peer = h2.dial(goma.address)
slow = peer.ask("GET", "/gate/slow", wait=False)
reached("/gate/slow")
goma.hit(signal.SIGQUIT)
expect(peer.wait(lambda: peer.goaway), "a stop is announced")
same(peer.goaway[:2], (0x7fffffff, "NO_ERROR"), "before it is meant")
same(peer.ask("GET", "/late").status, 200, "what the client sent before it knew is served")
expect(peer.wait(lambda: peer.goaway[0] == peer.last_ask), "then the last stream is named", peer.goaway)
gate.set()
peer.wait(lambda: slow.done)
same((slow.status, slow.ended), (200, True), "a request under way ends well")
expect(peer.ended(), "and the connection with it")
peer.close()
same(goma.wait_exit(), 0, "exit 0")

talker = Origin(script=ws.echo(lambda: talker, []))
goma = Goma([route("/", origin), route("/ws", talker)], workers=1, timeouts={"drain": 1}, **H2C)
peer = h2.dial(goma.address)
number = peer.next_stream()
peer.send(h2.headers(number, h2.request("CONNECT", "/ws", *UPGRADE), end=False), h2.data(number, ws.frame("hello")))
tunnel = peer.stream(number)
said = ws.frame("hello", masked=False)
expect(peer.wait(lambda: tunnel.body == said), "a WebSocket is open when the gateway stops", tunnel)
held = peer.ask("GET", "/held/stop", wait=False)
reached("/held/stop")
goma.hit(signal.SIGQUIT)
expect(peer.wait(lambda: tunnel.body == said + ws.close(1012, masked=False)), "after the time for finishing a WebSocket hears 1012", tunnel)
expect(peer.wait(lambda: held.reset), "and what cannot be told is reset", held)
peer.send(h2.data(number, ws.close(1012), end=True))
peer.wait(lambda: tunnel.done)
peer.close()
same(goma.wait_exit(), 0, "exit 0 again")

# --- time

goma = Goma([route("/", origin)], workers=1, timeouts={"header": 1, "body": 1, "read": 1, "write": 1, "idle": 1}, **H2C)
idle, stalled, full, block = (h2.dial(goma.address, settings={h2.INITIAL_WINDOW_SIZE: 0 if i == 2 else 65535}.items()) for i in range(4))
mute = h2.dial(goma.address, start=False)
mute.send(h2.PREFACE)
number = stalled.next_stream()
stalled.send(h2.headers(number, h2.request("POST", "/", ("content-length", "10")), end=False), h2.data(number, b"12345"))
response = full.ask("GET", "/", wait=False)
block.send(h2.headers(1, h2.request("GET", "/"), whole=False))
expect(idle.ended(3 * PATIENCE), "an idle connection ends")
same(idle.error, "NO_ERROR", "politely")
expect(stalled.wait(lambda: stalled.stream(number).done), "a body that stalls is answered")
same(stalled.stream(number).status, 408, "with 408")
expect(full.wait(lambda: response.done, 3 * PATIENCE), "a response that is not taken is given up")
same(response.reset, "CANCEL", "by a reset")
expect(block.ended(3 * PATIENCE), "a head that never ends, ends the connection")
same(block.error, "ENHANCE_YOUR_CALM", "with a word")
expect(mute.ended(3 * PATIENCE), "so does a client that says nothing", mute.error)
