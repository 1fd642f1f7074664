#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Large bodies stream in constant memory, both ways, through peers that pause. GOMA_LONG=1 makes them 4 GiB."""
import threading
from lib.goma import *

SIZE = (4 << 30) if LONG else (256 << 20) // SLOW
BLOCK = bytes(range(256)) * 4096
time_limit(1200 if LONG else 90)
counted = {}


def swallow(connection, count, pauses, end=b""):
    """Reads count bytes, or until the stream ends in `end`; waits now and then until the sender has surely filled every buffer."""
    view, have, tail = memoryview(bytearray(1 << 20)), len(connection.buffer), connection.buffer[-8:]
    connection.buffer = b""
    every, paused = count // (pauses + 1), 0
    while have < count if not end else not tail.endswith(end):
        got = connection.sock.recv_into(view)
        if not got:
            break
        have += got
        tail = (tail + bytes(view[max(0, got - 8):got]))[-8:]
        if pauses and have // every > paused:
            paused += 1
            stall.wait(0.3)
    return have


stall = threading.Event()        # never set: a bounded pause of a slow reader, not a wait for anything


def script(connection):
    while head := connection.head():
        if head.method == "PUT":
            counted[head.target] = swallow(connection, int(head["content-length"]), 5)
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            continue
        if "chunked" in head.target:
            connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(SIZE // len(BLOCK)):
                connection.send(b"%x\r\n" % len(BLOCK) + BLOCK + b"\r\n")
            connection.send("0\r\n\r\n")
            continue
        connection.send(f"HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n")
        for _ in range(SIZE // len(BLOCK)):
            connection.send(BLOCK)


origin = Origin(script=script)
goma = Goma([route("/", origin)], workers=1, log={"level": "error"})
worker = goma.worker_pids()[0]


def warm(size=1 << 21):
    client = goma.client()
    client.request("PUT", "/warm", body=b"x" * size)
    client.close()


warm()
warm()
peak = [0]
ended = threading.Event()


def watch():
    while not ended.wait(0.02):
        peak[0] = max(peak[0], resident(worker))


base = resident(worker)
threading.Thread(target=watch, daemon=True).start()
client = goma.client(timeout=60 * SLOW)
client.send("GET /down HTTP/1.1\r\nHost: a.test\r\n\r\n")
client.until(b"\r\n\r\n")
same(swallow(client, SIZE, 5), SIZE, f"{SIZE >> 20} MiB down through a slow reader")
client.send(f"PUT /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: {SIZE}\r\n\r\n")
for _ in range(SIZE // len(BLOCK)):
    client.send(BLOCK)
same((client.outcome(), counted.get("/up")), (200, SIZE), f"{SIZE >> 20} MiB up to a slow backend")
client.send("GET /chunked HTTP/1.1\r\nHost: a.test\r\n\r\n")
client.until(b"\r\n\r\n")
have = swallow(client, SIZE, 3, b"\r\n0\r\n\r\n")
expect(SIZE < have < SIZE * 1.01, f"{SIZE >> 20} MiB in chunks", have)
ended.set()
limit = 1024 if SLOW == 1 else 1024 * 64
expect(peak[0] - base < limit, "the worker's memory grew by less than 1 MiB", f"{base} KiB before, {peak[0]} KiB at the most")
