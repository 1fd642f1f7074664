#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A full cache under many times its size of traffic: the hit ratio is that of an exact LRU of the same size, memory stays
where it was once the zone is full, and every body is whole and its own. GOMA_LONG=1: 256 MiB for ten minutes."""
import bisect
import collections
import hashlib
import itertools
import json
import random
import re
import threading
import time
from lib.goma import *
from lib.cache import cache

MIB = 1 << 20
SIZE, SECONDS = (256 * MIB, 600) if LONG else (32 * MIB, 6)
time_limit(2 * SECONDS + 120)
LARGEST = 128 << 10
NOISE = random.Random(1).randbytes(1 << 20)


def shape_of(number):
    """Where in the noise its body lies: from 1 to 128 KiB, small ones more often."""
    digest = hashlib.blake2b(b"%d" % number, digest_size=8).digest()
    size = int(1024 * 2 ** (7 * digest[0] / 255))
    return int.from_bytes(digest[1:4], "big") % (len(NOISE) - LARGEST), size


# Ten times the size of the cache, asked by Zipf's law.
shapes, total = [], 0
while total < 10 * SIZE:
    shapes.append(shape_of(len(shapes)))
    total += shapes[-1][1]
weights = list(itertools.accumulate(1 / rank ** 0.9 for rank in range(1, len(shapes) + 1)))
asked = []                  # in the order of sending; one append is one step for all threads


class Lru:
    def __init__(self, room):
        self.room, self.kept, self.hits = room, collections.OrderedDict(), 0

    def ask(self, number):
        if number in self.kept:
            self.kept.move_to_end(number)
            self.hits += 1
            return
        self.kept[number] = size = shapes[number][1]
        self.room -= size
        while self.room < 0:
            self.room += self.kept.popitem(last=False)[1]


def script(connection):
    while head := connection.head():
        at, size = shapes[int(head.target[1:])]
        connection.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=86400\r\nContent-Length: %d\r\n\r\n" % size)
        connection.send(memoryview(NOISE)[at:at + size])


origin = Origin(script=script)
goma = Goma([route("/", origin, "main", middlewares=["cache"])], [cache(memoryLimit=f"{SIZE // MIB}Mi", maxTtl=86400)],
            workers=2, log={"level": "error"})


class Reader(threading.Thread):
    def __init__(self, seed):
        super().__init__(daemon=True)
        self.random, self.hits, self.bytes, self.wrong = random.Random(seed), 0, 0, []
        self.buffer = memoryview(bytearray(LARGEST + 4096))
        self.start()

    def run(self):
        client = goma.client()
        try:
            while time.monotonic() < end:
                self.ask(client.sock)
        except (OSError, ValueError) as failure:
            self.wrong.append(repr(failure))

    def ask(self, sock):
        number = bisect.bisect(weights, self.random.random() * weights[-1])
        at, size = shapes[number]
        asked.append(number)
        sock.sendall(b"GET /%d HTTP/1.1\r\nHost: goma\r\n\r\n" % number)
        have, body = 0, -1
        while body < 0 or have < body + size:
            got = sock.recv_into(self.buffer[have:])
            if got == 0:
                raise ValueError(f"/{number} ended after {have} bytes")
            have += got
            if body < 0 and (mark := bytes(self.buffer[:min(have, 4096)]).find(b"\r\n\r\n")) >= 0:
                body = mark + 4
                head = bytes(self.buffer[:body])
        self.hits += b"X-Cache-Status: HIT" in head
        self.bytes += size
        if not head.startswith(b"HTTP/1.1 200") or have != body + size or self.buffer[body:have] != NOISE[at:at + size]:
            self.wrong.append((number, head))


def memory():
    """KiB of all processes: of their own, and what they share."""
    pids = goma.family()
    shared = [int(m.group(1)) for pid in pids if (m := re.search(r"RssShmem:\s+(\d+)", read(f"/proc/{pid}/status")))]
    return sum(resident(pid) for pid in pids), max(shared)


def sent():
    return sum(reader.bytes for reader in readers)


end = time.monotonic() + SECONDS
readers = [Reader(n) for n in range(3)]
wait_for(lambda: sent() > 3 * SIZE, SECONDS)
before = memory()
peak = before
while time.monotonic() < end:
    wait_for(lambda due=time.monotonic() + SECONDS / 40: time.monotonic() > due, SECONDS)
    peak = tuple(map(max, peak, memory()))
for reader in readers:
    reader.join(PATIENCE)
same([reader.wrong[:2] for reader in readers], [[]] * len(readers), "every body was whole and its own")
expect(sent() > 10 * SIZE, "ten times the size of the cache went through it", f"{sent() / SIZE:.1f}")
if SLOW == 1:               # the sanitizers keep what is freed
    expect(peak[0] - before[0] < 2048, "no process grew once the cache was full", f"KiB before {before}, at the most {peak}")
expect(peak[1] < (SIZE >> 10) * 1.05 + 65536, "what they share is the cache and little more", peak)
ideal = Lru(SIZE)
for number in asked:
    ideal.ask(number)
ratio, best = sum(r.hits for r in readers) / len(asked), ideal.hits / len(asked)
expect(ratio > best - 0.03, "hits are within 3 points of an exact LRU of that size", f"{ratio:.4f}, LRU {best:.4f}")
note(f"{len(asked)} requests for {len(shapes)} responses, {sent() / SIZE:.1f} times the size of the cache; hits {100 * ratio:.1f} %, an exact LRU {100 * best:.1f} %; "
     f"KiB of their own {before[0]} to {peak[0]}, shared {peak[1]}")
zones = goma.ctl_json("zones")["responses"]
note(json.dumps(zones))
same((goma.ctl("zones", "--verify")[0], zones["faulty"]), (0, 0), "and the zone is consistent")
