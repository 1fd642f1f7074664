#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A network between goma and Redis that is slow, lossy of connections, or gone without a word: limits go on, and no
request waits longer than a command may take."""
import threading
from lib.goma import *
from lib.redis import RedisServer

time_limit(120)
redis = RedisServer(args=["enable-debug-command yes"])


class Wire:
    """A relay to Redis that can be late (seconds), cut (connections end) or dead (bytes vanish, connections stay)."""

    def __init__(self):
        self.late, self.dead, self.pairs, self.lock = 0, False, set(), threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near = self.listener.accept()[0]
                far = socket.create_connection(("127.0.0.1", redis.port))
            except OSError:
                return
            with self.lock:
                self.pairs.add((near, far))
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self.carry, args=(a, b), daemon=True).start()

    def carry(self, a, b):
        try:
            while data := a.recv(65536):
                if self.late:
                    time.sleep(self.late)
                if not self.dead:
                    b.sendall(data)
        except OSError:
            pass
        for end in (a, b):
            end.close()

    def cut(self):
        with self.lock:
            for pair in self.pairs:
                for end in pair:
                    try:
                        end.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass
            self.pairs.clear()

    def stop(self):
        self.listener.close()
        self.cut()


wire = Wire()
goma = Goma([route("/settle", "http://127.0.0.1:9", "settle", middlewares=["settle", "ok"]), route("/exact", "http://127.0.0.1:9", "exact", middlewares=["exact", "ok"])],
            [middleware("settle", "rateLimit", {"unit": "hour", "requestsPerUnit": 100_000}), middleware("exact", "rateLimit", {"unit": "hour", "requestsPerUnit": 100_000, "sync": "exact"}),
             middleware("ok", "respond", {"status": 200, "body": "ok"})],
            workers=1, redis={"addr": f"127.0.0.1:{wire.port}"}, monitoring={"enableMetrics": True}, log={"level": "error"})


def usable():
    return goma.ctl_json("redis")["usable"]


def times(path, n=20):
    statuses, took = [], []
    for _ in range(n):
        begun = time.monotonic()
        statuses.append(goma.get(path).status)
        took.append(time.monotonic() - begun)
    return statuses, max(took)


def served(what):
    for path in ("/settle", "/exact"):
        statuses, slowest = times(path)
        same(statuses, [200] * len(statuses), f"{what}: {path} is served")
        expect(slowest < 2 * SLOW, f"{what}: {path} does not wait for Redis", slowest)  # a command may take 0.1 s; a busy machine the rest


def taken(key):
    return redis.cli("EXISTS", f"rate:{key}:{key}:ip:127.0.0.1")


expect(wait_for(usable), "Redis is found through the wire")
wire.late = 0.01
served("10 ms each way")
expect(wait_for(lambda: [goma.get(path) for path in ("/settle", "/exact")] and taken("settle") and taken("exact")), "10 ms each way: Redis hears of both")
wire.late = 0.1
served("100 ms each way")
expect(goma.metrics()['goma_redis_commands_total{outcome="late"}'] > 0, "100 ms each way: late answers are counted")
wire.late = 0
expect(wait_for(lambda: usable() and goma.ctl_json("redis")["problem"] == ""), "and Redis is used again when it is fast", goma.ctl("redis"))

wire.dead = True
served("a partition")
expect(wait_for(lambda: not usable()), "a partition: is noticed without a word from the other side")
served("a partition that is known")
wire.dead = False
wire.cut()
expect(wait_for(usable), "and Redis is used again when it is over", goma.ctl("redis"))
redis.cli("DEL", "rate:settle:settle:ip:127.0.0.1")
goma.get("/settle")
expect(wait_for(lambda: taken("settle")), "and hears of what was taken")
for _ in range(5):
    wire.cut()
    served("a cut connection")
expect(wait_for(usable), "cut connections are made anew")
redis.cli("CONFIG", "SET", "lua-time-limit", "100")
threading.Thread(target=lambda: redis.cli("DEBUG", "SLEEP", "1.5"), daemon=True).start()
served("DEBUG SLEEP")
expect(wait_for(usable), "DEBUG SLEEP: used again")
goma.stop()
wire.stop()
