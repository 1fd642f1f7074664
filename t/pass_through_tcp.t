#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""TCP pass-through: bytes arrive as they were sent, ends and resets are passed on, targets take turns, limits hold."""
import hashlib
import struct
import threading

from lib.goma import *


class Target:
    """A scripted TCP server: script(socket) per connection."""

    def __init__(self, script):
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.text, self.script, self.count = f"127.0.0.1:{self.port}", script, 0
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            sock, _ = self.listening.accept()
            self.count += 1
            sock.settimeout(PATIENCE)
            threading.Thread(target=self.run, args=(sock,), daemon=True).start()

    def run(self, sock):
        try:
            self.script(sock)
        except OSError:
            pass
        sock.close()


def echo(sock):
    while data := sock.recv(65536):
        sock.sendall(data)


def read_all(sock):
    data = b""
    while piece := sock.recv(1 << 20):
        data += piece
    return data


class Sink:
    """Reads to the end, then answers with the digest of what came."""

    def __init__(self, sock):
        digest = hashlib.sha256()
        while data := sock.recv(1 << 20):
            digest.update(data)
        sock.sendall(digest.digest())


BLOCK = os.urandom(1 << 20)
SIZE = 256 if LONG else 24


def source(sock):
    sock.recv(1)
    for _ in range(SIZE):
        sock.sendall(BLOCK)


def closer(sock):
    sock.sendall(b"bye")


def resetter(sock):
    sock.recv(1)
    sock.sendall(b"part")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def greeter(sock):
    sock.sendall(b"220 hello\r\n")
    echo(sock)


seen = []


def witness(sock):
    """Answers the end of its client with everything it got."""
    data = read_all(sock)
    seen.append(data)
    sock.sendall(data)


names = {"echo": echo, "sink": Sink, "source": source, "closer": closer, "reset": resetter, "greet": greeter,
         "v1": witness, "v2": witness}
targets = {name: Target(script) for name, script in names.items()}
first, second = Target(lambda s: s.sendall(b"first")), Target(lambda s: s.sendall(b"second"))
DOWN = f"127.0.0.1:{refused_port()}"


def forward(number, **more):
    return {"protocol": "tcp", "port": 0, "address": f"127.0.1.{number}", **more}


forwards = [forward(i + 1, target=t.text) for i, t in enumerate(targets.values())]
forwards[6]["proxyProtocol"], forwards[7]["proxyProtocol"] = 1, 2
forwards += [forward(21, target=first.text, targets=[second.text]), forward(22, targets=[DOWN, first.text]), forward(23, target=DOWN),
             forward(24, target=targets["echo"].text, idleTimeout="600ms"), forward(25, target=targets["echo"].text, maxConnections=2),
             forward(26, target=f"localhost:{targets['echo'].port}"), forward(27, target="no-such-name.invalid:1")]
origin = Origin()
goma = Goma([route("/", origin)], workers=1, monitoring={"enableMetrics": True},
            entryPoints={"web": {"address": "127.0.0.1:0"}, "passThrough": {"forwards": forwards}})
ports = {entry["text"]: parse_address(entry["address"][4:]) for entry in goma.status()["listeners"] if entry["text"].startswith("tcp:")}


def address(number):
    return ports[f"tcp:127.0.1.{number}:0"]


def connect(name):
    number = list(names).index(name) + 1 if name in names else name
    sock = socket.create_connection(address(number), PATIENCE)
    return sock


def exactly(sock, count):
    data = b""
    while len(data) < count and (piece := sock.recv(count - len(data))):
        data += piece
    return data


def metric(family, number, **more):
    labels = {"forward": f"127.0.1.{number}:0", "protocol": "tcp", **more}
    text = ",".join(f'{k}="{v}"' for k, v in labels.items())
    return goma.metrics().get(f"goma_pass_through_{family}{{{text}}}", 0)


def lines(number):
    return [line for line in goma.output.splitlines() if "Forwarded connection" in line and f"forward=127.0.1.{number}:0 " in line]


# --- bytes

sock = connect("echo")
for message in (b"x", b"hello", b"y" * 70000):
    sock.sendall(message)
    same(exactly(sock, len(message)) == message, True, f"{len(message)} bytes go and come")
sock.close()
expect(wait_for(lambda: lines(1)), "the end has its line in the log")
line = (lines(1) or [""])[0]
expect(all(word in line for word in ("protocol=tcp", "client=127.0.0.1:", f"target={targets['echo'].text}", "bytes_in=70006", "bytes_out=70006",
                                     "duration_ms=", "end=complete")), "with client, target, bytes, duration and how it ended", line)
same(exactly(connect("greet"), 11), b"220 hello\r\n", "a server may speak first")

digest = hashlib.sha256(BLOCK * SIZE).digest()
sock = connect("sink")
for _ in range(SIZE):
    sock.sendall(BLOCK)
sock.shutdown(socket.SHUT_WR)
same(exactly(sock, 64), digest, f"{SIZE} MiB up, byte for byte; the answer comes after the client's end")
sock = connect("source")
sock.sendall(b"!")
same(hashlib.sha256(read_all(sock)).digest(), digest, f"{SIZE} MiB down, byte for byte, then the target's end")
sock = connect("echo")
got = hashlib.sha256()


def collect():
    left = SIZE << 20
    while left and (piece := sock.recv(min(left, 1 << 20))):
        got.update(piece)
        left -= len(piece)


reader = threading.Thread(target=collect)
reader.start()
for _ in range(SIZE):
    sock.sendall(BLOCK)
reader.join(60)
same(got.digest(), digest, f"{SIZE} MiB both ways at once")
sock.close()

sock = connect("closer")
same(exactly(sock, 4), b"bye", "the end of the target arrives")
sock.sendall(b"more")
sock.close()
expect(wait_for(lambda: lines(4)), "and the client's end ends it")
sock = connect("reset")
sock.sendall(b"!")
try:
    read_all(sock)
    outcome = "end"
except ConnectionResetError:
    outcome = "reset"
same(outcome, "reset", "a reset of the target is a reset for the client")
sock = connect("echo")
sock.sendall(b"x")
exactly(sock, 1)
sock.sendall(b"last words")       # read together with the reset
sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
sock.close()
expect(wait_for(lambda: "end=client-lost" in "".join(lines(1))), "a reset of the client ends the target's side", lines(1))

# --- who does not read makes the sender wait

sent = metric("sent_bytes_total", 3)
sock = connect("source")
sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
sock.sendall(b"!")
exactly(sock, 1 << 20)
before = metric("sent_bytes_total", 3) - sent
expect(not wait_for(lambda: metric("sent_bytes_total", 3) - sent > before + (8 << 20), 0.3), "a client that does not read stops the target")
sock.close()

# --- targets

same(sorted(read_all(connect(21)) for _ in range(4)), [b"first", b"first", b"second", b"second"], "targets take turns")
same([read_all(connect(22)) for _ in range(4)], [b"first"] * 4, "a target that is down is passed over")
same(metric("errors_total", 22, reason="refused"), 1.0, "it is counted, and then left alone for a while")
sock = connect(23)
same(sock.recv(1), b"", "no target at all: closed")
expect(wait_for(lambda: "end=unreachable" in "".join(lines(23))), "logged", lines(23))
same((metric("errors_total", 23, reason="refused"), metric("errors_total", 23, reason="unreachable")), (1.0, 1.0), "and counted")
sock = connect(26)
sock.sendall(b"name")
same(exactly(sock, 4), b"name", "a target may be a name")
same(connect(27).recv(1), b"", "a name that does not exist: closed")
expect(wait_for(lambda: metric("errors_total", 27, reason="resolve") == 1.0), "and counted")

# --- limits

sock = connect(24)
begun = time.monotonic()
for _ in range(3):
    sock.sendall(b"x")
    exactly(sock, 1)
    wait_for(lambda: False, 0.25)
same(sock.recv(1), b"", "idleTimeout ends a connection where nothing moves")
expect(time.monotonic() - begun > 0.6, "and counts from the last byte", time.monotonic() - begun)
expect(wait_for(lambda: "end=idle" in "".join(lines(24))), "logged as idle", lines(24))
held = [connect(25) for _ in range(2)]
for sock in held:
    sock.sendall(b"x")
    exactly(sock, 1)
try:
    outcome = connect(25).recv(1)  # the reset may come as early as that
except ConnectionResetError:
    outcome = "reset"
same(outcome, "reset", "maxConnections: one more is reset")
same(metric("errors_total", 25, reason="limit"), 1.0, "and counted")
held.pop().close()
expect(wait_for(lambda: metric("active", 25) == 1.0), "an end makes room")
again = connect(25)
again.sendall(b"x")
same(exactly(again, 1), b"x", "for another")

# --- PROXY headers for targets

for name, number in (("v1", 7), ("v2", 8)):
    sock = connect(name)
    sport, dport = sock.getsockname()[1], sock.getpeername()[1]
    sock.sendall(b"GET")
    sock.shutdown(socket.SHUT_WR)
    got = read_all(sock)
    if name == "v1":
        same(got, b"PROXY TCP4 127.0.0.1 127.0.1.7 %d %d\r\nGET" % (sport, dport), "PROXY version 1 tells the target")
    else:
        want = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + socket.inet_aton("127.0.0.1") + socket.inet_aton("127.0.1.8") + struct.pack("!HH", sport, dport)
        same(got, want + b"GET", "PROXY version 2 tells the target")
expect(metric("connections_total", 1) >= 3, "connections are counted")
for sock in held + [again]:
    sock.close()
