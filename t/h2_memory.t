#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whatever clients send over HTTP/2, and whatever they do not take, a connection holds a mebibyte at most; what is too
much is refused stream by stream, nobody else waits, and the memory comes back. GOMA_LONG=1: a hundred connections."""
import threading

from lib.goma import *
from lib.h2 import *

PEERS, STREAMS = (100 if LONG else 12), 100              # maxConcurrentStreams is the default
MOST = 1024 * (1 if SLOW == 1 else 40)                  # KiB for each connection
CPU = 0.03 * SLOW                                       # seconds for each
BIG = bytes(65536)
released = threading.Event()
time_limit(600 if LONG else 90)


def script(connection):
    """/hold is never answered and takes no body, /big and /ws send without end."""
    while head := connection.head():
        if head.target == "/hold":
            released.wait(120)
            return
        if head.target in ("/big", "/ws"):
            connection.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" if head.target == "/ws" else
                            "HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n")
            while not released.is_set():
                connection.send(BIG)
            return
        connection.body_into(head, to_end=False)
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def speak_h2(connection):
    """Each answer is as long as the window."""
    peer = H2(connection, server=True)
    while peer.accept() if peer.settings is None else True:
        one = peer.next_request()
        if one is None:
            return
        peer.send(headers(one.number, fields((":status", "200")), end=False))
        for _ in range(peer.settings.get(INITIAL_WINDOW_SIZE, 65535) // 4096):
            peer.send(data(one.number, BIG[:4096]))


origin, quiet, other = Origin(script=script), Origin(), Origin(script=speak_h2)
goma = Goma([route("/canary", quiet), route("/h2", other, backendProtocol="h2c"), route("/", origin)], workers=1, log={"level": "error"}, monitoring={"enableMetrics": True},
            networking={"passiveHealthCheck": {"enabled": False}},
            entryPoints={"web": {"address": "127.0.0.1:0", "h2c": True}, "webSecure": {"address": "127.0.0.2:0"}})
worker = goma.worker_pids()[0]
addresses = [parse_address(listener["address"]) for listener in goma.status()["listeners"]]
goma.address, sealed = sorted(addresses)                # 127.0.0.1, 127.0.0.2


def number(i):
    return 2 * i + 1


def ask(path="/hold", *more, method="GET", end=True, count=240, behind=b"", first=b""):
    return [headers(number(i), request(method, path, *more) + (first if i == 0 else b"") + behind, end=end) for i in range(count)]


def with_data(heads, *pieces):
    return heads + [data(number(i), piece) for piece in pieces for i in range(len(heads))]


BOMB = {"first": incremental("x-bomb", "v" * 3900), "behind": indexed(62) * 15}
CRUMBS = {"first": incremental("cookie", "c" * 600), "behind": indexed(62) * 80}
TUNNEL = fields((":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/ws"), (":authority", "a.test"))
TRAILERS = fields(*[(f"t{i}", "u" * 250) for i in range(31)])
ATTACKS = {
    "one field that every head names fifteen times": ask(**BOMB),
    "and that is answered": ask("/", **BOMB),
    "and that is answered without end": ask("/big", **BOMB),
    "crumbs of a cookie": ask(**CRUMBS),
    "requests that wait": ask(),
    "answers without end": ask("/big"),
    "answers of a backend that speaks HTTP/2": ask("/h2/x", count=STREAMS),
    "large heads": ask(behind=fields(*[(f"x-{i}", "y" * 240) for i in range(60)])),
    "heads that are never complete": [headers(1, request() + literal("x", "y" * 12000), whole=False)],
    "bodies that nobody takes": with_data(ask(method="POST", end=False, count=STREAMS), *[bytes(640)] * 4),
    "one body that nobody takes": with_data(ask(method="POST", end=False, count=1), *[bytes(16000)] * 15),
    "bodies byte by byte": with_data(ask(method="POST", end=False, count=STREAMS), *[b"x"] * 50),
    "trailers": ask(method="POST", end=False, count=STREAMS) + [headers(number(i), TRAILERS) for i in range(STREAMS)],
    "tunnels": with_data([headers(number(i), TUNNEL, end=False) for i in range(STREAMS)], bytes(640)),
    "PING, SETTINGS and PRIORITY": [ping(), settings((INITIAL_WINDOW_SIZE, 0)), priority(1)] * 90,
}


def pour(peer, frames):
    for i in range(0, len(frames), 20):
        if not peer.send(*frames[i:i + 20]):
            return


def spent():
    return int(read(f"/proc/{worker}/schedstat").split()[0]) / 1e9


def attacked(what, frames):
    began = spent()
    peers = [dial(sealed, tls=True, settings={INITIAL_WINDOW_SIZE: 0}, replenish=False) for _ in range(PEERS)]
    top, served = 0, True
    for peer in peers:
        pour(peer, frames)
        top, served = max(top, resident(worker)), served and goma.canary("/canary")
    for peer in peers:
        peer.settle()
    each = (max(top, resident(worker)) - at_rest) / PEERS
    cost = (spent() - began) / PEERS
    expect(each <= MOST, f"{what}: {each:.0f} KiB for each connection", f"at most {MOST}")
    expect(served and cost <= CPU, f"{what}: {cost * 1000:.1f} ms of CPU for each, and the other client is served", (served, cost))
    for peer in peers:
        peer.close()
    expect(wait_for(lambda: origin.drop() or descriptors(worker) < 40, 10 * SLOW), f"{what}: everything ends with its client", descriptors(worker))


def refusals(limit_of, first, more, reason):
    """Those above a limit are refused, the connection lives, and a place that became free is free."""
    was = goma.metrics().get(f'goma_http2_refused_streams_total{{reason="{reason}"}}', 0)
    peer = dial(goma.address)
    pour(peer, first)
    peer.settle()
    refused = [s for s in peer.streams.values() if s.reset]
    same({s.reset for s in refused}, {"REFUSED_STREAM"}, f"{limit_of}: what is above is refused")
    same(len(refused), more, f"{limit_of}: and nothing else") if more else note(f"{len(refused)} of {len(first)} refused")
    same(goma.metrics().get(f'goma_http2_refused_streams_total{{reason="{reason}"}}', 0), was + len(refused), f"{limit_of}: which is counted")
    peer.last_ask = number(len(first))
    peer.send(*[reset(number(i)) for i in range(5)])
    peer.settle()
    one = peer.ask("GET", "/canary")
    expect(one.status == 200 and not peer.goaway, f"{limit_of}: the connection goes on", (one, peer.goaway))
    peer.close()


dial(sealed, tls=True).close()
at_rest = resident(worker)
for what, frames in ATTACKS.items():
    attempt(what, attacked, what, frames)
attempt("streams", refusals, "one hundred streams", ask(count=STREAMS + 60), 60, "limit")
attempt("heads", refusals, "heads of 60 KB", ask(count=60, **BOMB), 0, "memory")
expect(goma.canary("/canary"), "a canary passes")
released.set()
