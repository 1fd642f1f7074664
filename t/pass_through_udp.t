#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""UDP pass-through: a session per client, datagrams of any size whole, idle sessions end, a full table lets the oldest go."""
import select
import threading

from lib.goma import *


class Target:
    """Echoes datagrams; remembers who sent."""

    def __init__(self, prefix=b""):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.sock.bind(("127.0.0.1", 0))
        self.text, self.prefix, self.senders = f"127.0.0.1:{self.sock.getsockname()[1]}", prefix, set()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            data, sender = self.sock.recvfrom(65536)
            self.senders.add(sender)
            self.sock.sendto(self.prefix + data, sender)


def closed_port():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    return f"127.0.0.1:{sock.getsockname()[1]}"


echo, other = Target(), Target(b"other ")
DOWN = closed_port()


def forward(number, **more):
    return {"protocol": "udp", "port": 0, "address": f"127.0.1.{number}", **more}


forwards = [forward(1, target=echo.text), forward(2, target=echo.text, idleTimeout="300ms"), forward(3, target=echo.text, maxConnections=3),
            forward(4, targets=[DOWN, other.text]), {**forward(5, target=f"localhost:{echo.text.split(':')[1]}"), "protocol": "tcp/udp"},
            {"protocol": "udp", "port": 0, "address": "::", "target": echo.text}]
origin = Origin()
goma = Goma([route("/", origin)], workers=1, monitoring={"enableMetrics": True},
            entryPoints={"web": {"address": "127.0.0.1:0"}, "passThrough": {"forwards": forwards}})


def ports():
    return {e["text"]: parse_address(e["address"][4:]) for e in goma.status()["listeners"] if e["text"].startswith("udp:")}


known = ports()


def client(number, source="127.0.0.1"):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind((source, 0))
    sock.connect(known[f"udp:127.0.1.{number}:0"])
    sock.settimeout(PATIENCE)
    return sock


def ask(sock, data):
    sock.send(data)
    return sock.recv(65536)


def metric(family, number, **more):
    labels = {"forward": f"127.0.1.{number}:0", "protocol": "udp", **more}
    return goma.metrics().get(f"goma_pass_through_{family}{{" + ",".join(f'{k}="{v}"' for k, v in labels.items()) + "}", 0)


def lines(number):
    return [line for line in goma.output.splitlines() if "Forwarded session" in line and f"forward=127.0.1.{number}:0 " in line]


sock = client(1)
same([ask(sock, b"x" * n) == b"x" * n for n in (0, 1, 1400, 9000, 65507)], [True] * 5, "datagrams of 0 to 65507 bytes come back whole")
same(metric("active", 1), 1.0, "one client is one session")
clients = [client(1) for _ in range(200)]
for round_ in range(3):
    for i, c in enumerate(clients):
        c.send(b"%d.%d" % (i, round_))
    wrong = [i for i, c in enumerate(clients) if c.recv(100) != b"%d.%d" % (i, round_)]
    same(wrong, [], f"200 clients, round {round_ + 1}: everybody gets his own answer")
same((metric("active", 1), len(echo.senders)), (201.0, 201), "each has a session with a port of its own")
same((metric("received_bytes_total", 1) > 65507, metric("sent_bytes_total", 1)), (True, metric("received_bytes_total", 1)), "bytes are counted")
many = client(1)
for i in range(100):
    many.send(b"%03d" % i)
same([many.recv(10) for _ in range(100)], [b"%03d" % i for i in range(100)], "a hundred in a row keep their order")

sock = client(2)
ask(sock, b"x")
expect(wait_for(lambda: metric("active", 2) == 0.0), "a session without datagrams ends")
expect(wait_for(lambda: lines(2)), "and is logged")
line = (lines(2) or [""])[0]
expect(all(w in line for w in ("protocol=udp", "client=127.0.0.1:", f"target={echo.text}", "bytes_in=1", "bytes_out=1", "end=idle")), "with what it was", line)
same(ask(sock, b"again"), b"again", "the next datagram begins another")

three = [client(3) for _ in range(4)]
for sock in three[:3]:
    ask(sock, b"x")
ask(three[0], b"x")
same(ask(three[3], b"new"), b"new", "a newcomer of a full table is served")
same((metric("active", 3), metric("errors_total", 3, reason="evicted")), (3.0, 1.0), "the quietest session went, and is counted")
ask(three[0], b"x")
same(metric("errors_total", 3, reason="evicted"), 1.0, "not one that was busy")

sock = client(4)
sock.send(b"lost")
expect(wait_for(lambda: metric("errors_total", 4, reason="refused") == 1.0), "a target that refuses ends the session")
same(ask(sock, b"hello"), b"other hello", "the next datagram goes to the next target")
same(ask(client(4), b"hi"), b"other hi", "and so do other clients")
same(ask(client(5), b"name"), b"name", "a target may be a name; tcp/udp listens on both")

port = known["udp:[::]:0"][1]
for family, host in ((socket.AF_INET, "127.0.0.9"), (socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.settimeout(PATIENCE)
    sock.connect((host, port))      # answers from elsewhere would not be received
    same(ask(sock, b"who"), b"who", f"on all addresses: {host} answers from {host}")

# --- reload and stop

sock = client(1)
ask(sock, b"before")
forwards[0]["target"] = other.text
goma.configure([route("/", origin)], monitoring={"enableMetrics": True},
               entryPoints={"web": {"address": "127.0.0.1:0"}, "passThrough": {"forwards": forwards[:2]}})
same(goma.reload()[0], 0, "reload with another target and without ports")
same(ask(sock, b"after"), b"after", "a session under way keeps its target")
same(ask(client(1), b"new"), b"other new", "a new one has the new target")
sock = client(3)
sock.send(b"x")
try:
    outcome = sock.recv(10)
except ConnectionRefusedError:
    outcome = "refused"
same(outcome, "refused", "a removed port is closed")
same(metric("active", 3), 0.0, "and its sessions have ended")
expect(goma.stop(), "a graceful stop does not wait for sessions")
