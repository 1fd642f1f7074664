#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reload in living workers: no request fails, tunnels stay, running requests end as they began; also when the number of
workers changes."""
import threading
from lib.goma import *

gate = threading.Event()
origin = Origin(lambda r: (gate.wait(20 * SLOW) if r.target == "/slow" else None, Reply(200, [("X-Seen", r["x-gen"] or "")], body="ok"))[1])


def tunnel(connection):
    connection.head()
    connection.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
    while connection.fill():
        connection.send(connection.buffer)
        connection.buffer = b""


socket_origin = Origin(script=tunnel)


def configure(goma, number):
    goma.configure([route("/", origin, middlewares=["gen"]), route("/ws", socket_origin)],
                   [middleware("gen", "requestHeaders", {"setHeaders": {"X-Gen": str(number)}})], log={"level": "error"})


goma = Goma([route("/", origin), route("/ws", socket_origin)], log={"level": "error"})
first = goma.status()
ws = goma.client()
ws.request("GET", "/ws", {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
                                 "Sec-WebSocket-Version": "13"}, read=False)
same(ws.response().status, 101, "a tunnel is open before the first reload")
slow = goma.client()
slow.request("GET", "/slow", read=False)
expect(origin.wait(lambda o: any(r.target == "/slow" for r in o.requests)), "a slow request is running")
keep = Load(goma.address, threads=3)
short = Load(goma.address, threads=2, keepalive=False)
idle = goma.client()
idle.get("/")
turns = 12
codes = []
for number in range(1, turns + 1):
    configure(goma, number)
    if number == turns // 2 + 1:        # from here on a worker leaves now and then, and with it the connections that rest there
        same(idle.get("/").status, 200, "an idle connection is still good after reloads")
    count = ["--workers", "1" if number % 2 else "2"] if number > turns // 2 else []
    code, out = goma.reload(*count)
    codes.append(code)
    if code:
        note(out)
    if goma.get("/now")["x-seen"] != str(number):
        expect(False, f"reload {number} is in force when it returns", goma.get("/now")["x-seen"])
same(codes, [0] * turns, f"{turns} reloads, the last with the number of workers going 2 1 2")
served = keep.stop() + short.stop()
same((keep.failures[:3], short.failures[:3]), ([], []), "no request failed under load")
expect(served > 500, "there was load", served)
ws.send("still here")
same(ws.exactly(10), b"still here", "the tunnel is alive after the last")
gate.set()
slow_reply = slow.response()
same((slow_reply.status, slow_reply["x-seen"]), (200, ""), "the slow request ended under the configuration it began with")
last = goma.status()
same((last["generation"] - first["generation"], len(last["workers"]), last["pid"]), (turns, 2, first["pid"]), "status counts the generations")
expect({w["pid"] for w in first["workers"]} & {w["pid"] for w in last["workers"]}, "a worker of the beginning still serves")
ws.close()
