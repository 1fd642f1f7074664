#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a peak took is given back: ten seconds after the last of many connections, heads, bodies and streams is gone, the
worker is as large as before, within a tenth. GOMA_LONG=1: two thousand of each where there are that many."""
import resource
import threading
import threading

from lib.goma import *
from lib.h2 import *
from lib.tls import TlsClient

if SLOW > 1:
    skip_all("the sanitizers keep memory of their own")
COUNT = 2000 if LONG else 400
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
if hard != resource.RLIM_INFINITY and hard < 2 * COUNT + 1000:
    skip_all(f"the descriptor limit is {hard}")
resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * COUNT + 1000), hard))
time_limit(300)
released = threading.Event()


def script(connection):
    while head := connection.head():
        if head.target == "/hold":
            released.wait(120)
            return
        connection.body_into(head, to_end=False)
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + bytes(300000) if head.target == "/big" else
                        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


origin = Origin(script=script)
goma = Goma([route("/", origin)], workers=1, log={"level": "error"}, networking={"passiveHealthCheck": {"enabled": False}},
            entryPoints={"web": {"address": "127.0.0.1:0", "h2c": True}, "webSecure": {"address": "127.0.0.2:0"}})
worker = goma.worker_pids()[0]
goma.address, sealed = sorted(parse_address(listener["address"]) for listener in goma.status()["listeners"])


def size():
    """All that is resident, in KiB, without the pages shared with others."""
    fields = dict(re.findall(r"(VmRSS|RssShmem):\s+(\d+)", read(f"/proc/{worker}/status")))
    return int(fields["VmRSS"]) - int(fields["RssShmem"])


def sent(*pieces, count=COUNT):
    clients = [goma.client() for _ in range(count)]
    for client in clients:
        client.sock.setblocking(False)
        try:
            for piece in pieces:
                client.sock.send(piece)
        except BlockingIOError:
            pass
    return clients


def plain():
    clients = [goma.client() for _ in range(COUNT)]
    for client in clients:
        client.get("/")
    return clients


def streams():
    peers = [dial(sealed, tls=True, settings={INITIAL_WINDOW_SIZE: 0}, replenish=False) for _ in range(COUNT // 20)]
    for peer in peers:
        peer.send(*[headers(2 * i + 1, request("GET", "/hold") + (incremental("x", "v" * 3900) if i == 0 else b"") + indexed(62) * 14) for i in range(40)])
        peer.settle()
    return peers


PEAKS = {
    "connections": plain,
    "TLS connections": lambda: [TlsClient(sealed) for _ in range(COUNT)],
    "heads": lambda: sent(b"GET / HTTP/1.1\r\nHost: a.test\r\nX: " + b"y" * 50000),
    "bodies": lambda: sent(b"POST /hold HTTP/1.1\r\nHost: a.test\r\nContent-Length: 99999999\r\n\r\n", *[bytes(65536)] * 100, count=200),
    "responses": lambda: sent(b"GET /big HTTP/1.1\r\nHost: a.test\r\n\r\n", count=200),
    "streams of HTTP/2": streams,
}


def back(what, make):
    before = size()
    clients = make()
    goma.get("/")
    top = size()
    for client in clients:
        client.close()
    released.set()
    origin.drop()
    fallen = wait_for(lambda: descriptors(worker) < 300 and size() <= before * 1.1, 10)
    released.clear()
    expect(fallen, f"{what}: {before} KiB before, {top} at the peak, {size()} after it", f"at most {before * 1.1:.0f}")


for one in (goma.client(), TlsClient(sealed), dial(sealed, tls=True)):  # what is made once and stays
    one.close()
goma.get("/big")
for what, make in PEAKS.items():
    attempt(what, back, what, make)
expect(goma.canary(), "a canary passes")
