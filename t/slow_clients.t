#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""H78 scaled: more slow clients than connection slots, of each kind; the service stays available to everybody else."""
import threading
from lib.goma import *

SLOTS, SLOWS, SAMPLES = 64, 100, 12
origin = Origin(lambda r: Reply(200, body=b"x" * (2_000_000 if r.target == "/big" else 10)))
goma = Goma([route("/", origin)], workers=1, log={"level": "error"}, networking={"maxConnections": SLOTS})


def slow_head(number):
    client = goma.client()
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n")
    return client, b"X-%d: y\r\n" % number


def slow_body(number):
    client = goma.client()
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000\r\n\r\nbegin")
    return client, b"z"


def slow_read(number):
    client = goma.client(receive_buffer=2048)
    client.send("GET /big HTTP/1.1\r\nHost: a.test\r\n\r\n")
    return client, None


def trickle(clients, done):
    """Every client keeps up its slow work; those that were shut out come back at once."""
    while not done.is_set():
        for number, (client, piece, make) in enumerate(clients):
            try:
                if piece:
                    client.send(piece)
                elif not client.sock.recv(64):
                    raise OSError
            except (OSError, Timeout):
                client.close()
                try:
                    clients[number] = (*make(number), make)
                except (OSError, Timeout):
                    pass
            if done.is_set():
                return
        done.wait(0.05)


for make in (slow_head, slow_body, slow_read):
    done, clients = threading.Event(), []
    for number in range(SLOWS):
        try:
            clients.append((*make(number), make))
        except OSError:
            pass
    for client, _, _ in clients:
        client.sock.settimeout(0.01)
    thread = threading.Thread(target=trickle, args=(clients, done), daemon=True)
    thread.start()
    got, slowest = [], 0.0
    for _ in range(SAMPLES):
        began = time.monotonic()
        try:
            got.append(goma.get("/").status)
        except (Closed, Timeout, OSError) as error:
            got.append(repr(error))
        slowest = max(slowest, time.monotonic() - began)
        done.wait(0.25)
    done.set()
    thread.join(10)
    for client, _, _ in clients:
        client.close()
    expect(got == [200] * SAMPLES and slowest < 2 * SLOW, f"{make.__name__}: available in every sample", (got, round(slowest, 2)))
expect(wait_for(goma.canary), "a canary passes when they are gone")
