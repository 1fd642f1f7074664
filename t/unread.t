#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clients that ask for a response without end and do not read it: what goma takes for each is bounded, in its pipes and
in the kernel towards the client, and nobody else waits for them. What backends may send ahead of goma is the kernel's
to say (net.ipv4.tcp_rmem). GOMA_LONG=1: three hundred."""
import array
import fcntl

from lib.goma import *

COUNT = 300 if LONG else 60
MOST = 768                                              # KiB for each: 256 unsent, 256 that made it writable, 256 in a pipe
SIOCOUTQ, FIONREAD = 0x5411, 0x541b                     # what the peer's kernel has not acknowledged; what is unread
PIECE = bytes(65536)
sent, sockets = {}, {}
time_limit(120)


def script(connection):
    head = connection.head()
    if head.target != "/endless":
        return connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
    if head["x-framing"] == "chunked":
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n")
    else:
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n")
    sockets[connection.number] = connection.sock
    sent[connection.number] = 0
    connection.sock.settimeout(60)
    while True:
        sent[connection.number] += connection.sock.send(PIECE)


def asked(sock, what):
    answer = array.array("i", [0])
    fcntl.ioctl(sock.fileno(), what, answer)
    return answer[0]


def untaken():
    """What backends have sent and goma has not read."""
    lines = [line.split() for line in open("/proc/net/tcp").readlines()[1:]]
    return sum(int(line[4].split(":")[1], 16) for line in lines if int(line[2].split(":")[1], 16) == origin.port)


def slowest(count=40):
    times = []
    for _ in range(count):
        began = time.monotonic()
        if goma.get("/").status != 200:
            return None
        times.append(time.monotonic() - began)
    return max(times)


def endless(framing):
    clients = [goma.client() for _ in range(COUNT)]
    for client in clients:
        client.send(f"GET /endless HTTP/1.1\r\nHost: a.test\r\nX-Framing: {framing}\r\n\r\n")
    meanwhile = slowest()
    seen = []

    def at_rest():
        seen.append(sum(sent.values()))
        return len(sent) == COUNT and len(seen) > 30 and seen[-30] == seen[-1]

    expect(wait_for(at_rest, 60), f"{framing}: {COUNT} responses come to rest", len(sent))
    held = [sent[n] - asked(sockets[n], SIOCOUTQ) for n in sent]
    taken = sum(asked(client.sock, FIONREAD) for client in clients)
    each = (sum(held) - untaken() - taken) // COUNT // 1024
    expect(64 <= each <= MOST, f"{framing}: {each} KiB are under way for each", f"at most {MOST} KiB")
    expect(meanwhile is not None and meanwhile < 1 * SLOW, f"{framing}: others are served meanwhile", meanwhile)
    expect((slowest() or 9) < 1 * SLOW, f"{framing}: and then")
    for client in clients:
        client.close()
    origin.drop()
    wait_for(lambda: not origin.open)
    sent.clear()
    sockets.clear()


origin = Origin(script=script)
goma = Goma([route("/", origin)], workers=1, log={"level": "error"}, networking={"transport": {"maxConnsPerHost": 1000}})
goma.get("/")
for framing in ("length", "chunked"):
    attempt(framing, endless, framing)
expect(goma.canary(), "a canary passes")
