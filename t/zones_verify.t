#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Workers are killed at random moments under a full load of limits and cache: every body that comes is whole and its own,
nobody hangs, and what they shared is consistent."""
import hashlib
import random
import threading
from lib.goma import *

KILLS = 500 if LONG else 10
time_limit(120 + KILLS)
chance = random.Random(4)


def body_of(path):
    text = hashlib.sha256(path.encode()).hexdigest()
    return text * (1 + int(text[:3], 16) % 400)


origin = Origin(lambda request: Reply(200, headers={"Cache-Control": "max-age=1" if request.target.endswith("5") else "max-age=60"}, body=body_of(request.target)))
goma = Goma([route("/", origin, "main", middlewares=["limit", "cache"])],
            [middleware("limit", "rateLimit", {"unit": "hour", "requestsPerUnit": 3, "burst": 1000, "banAfter": 50, "banDuration": "1s", "keyStrategy": {"source": "header", "name": "X-Client"}}),
             {**middleware("cache", "httpCache", {"memoryLimit": "8Mi"}), "paths": ["/"]}],
            workers=2, monitoring={"enableMetrics": True}, log={"level": "off"})
goma.baseline = {}


class Reader(threading.Thread):
    def __init__(self, number):
        super().__init__(daemon=True)
        self.random, self.stop, self.good, self.lost, self.wrong = random.Random(number), False, 0, 0, []
        self.start()

    def run(self):
        client = None
        while not self.stop:
            path = f"/k/{int(self.random.paretovariate(0.7)) % 400}"
            try:
                client = client or Client(goma.address, timeout=30)     # a slot that dies often is started again after up to 10 s
                reply = client.get(path, {"X-Client": str(self.random.randrange(20_000))})
            except (OSError, Closed, ValueError):
                client, self.lost = None, self.lost + 1
                continue
            self.good += 1
            if reply.status != 200 or reply.text != body_of(path):
                self.wrong.append((path, reply.status, len(reply.text)))


def pids():
    return [pid for pid in goma.worker_pids() if pid]


# a worker that lived a second earns the next restart; whose was killed before that too often waits for the master's pauses
slots = [slot for _ in range(KILLS // 2) for slot in chance.sample((0, 1), 2)]
born = [0, 0]
readers = [Reader(n) for n in range(4)]
for turn, slot in enumerate(slots):
    mark, ready = sum(r.good for r in readers), born[slot] + (0 if turn < 10 else 1.1 + chance.random() / 5)
    wait_for(lambda: time.monotonic() > ready)
    wait_for(lambda: sum(r.good for r in readers) > mark + chance.randrange(40))
    victim = pids()[slot]
    send_signal(victim, signal.SIGKILL)
    wait_for(lambda: victim not in pids() and len(pids()) == 2)
    born[slot] = time.monotonic()
mark = [r.good for r in readers]
expect(wait_for(lambda: all(r.good > m + 20 for r, m in zip(readers, mark))), "after the last kill everybody goes on")
for reader in readers:
    reader.stop = True
for reader in readers:
    reader.join()
note(f"{sum(r.good for r in readers)} answers, {sum(r.lost for r in readers)} connections lost with their workers")
same([r.wrong[:2] for r in readers], [[]] * 4, "no body was another's, or a part of one")
code, out, err = goma.ctl("zones", "--verify")
same((code, "verified: consistent" in out), (0, True), "the zones are consistent") or note(out + err)
zones = goma.ctl_json("zones")
expect(zones["responses"]["entries"] > 50 and zones["responses"]["faulty"] == 0 and zones["limits"]["doubled"] == 0, "and tell of themselves", zones)
expect("responses: " in goma.ctl("zones")[1], "in words, too")
same(goma.ctl("ping", "--verify")[0], 2, "--verify belongs to zones")
