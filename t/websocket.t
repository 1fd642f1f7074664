#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""WebSocket: any letter case, only valid requests (F67), the chain, log and metrics, idle timeout, and a close frame on stop."""
from lib.goma import *
from lib import websocket as ws

closes = []
origin = Origin(script=ws.echo(lambda: origin, closes))


def cut(connection):
    """Switches to something that is no WebSocket and echoes bytes."""
    if connection.head():
        connection.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
        while connection.buffer or connection.fill():
            data, connection.buffer = connection.buffer, b""
            connection.send(data)


def half(connection):
    """Sends one frame and the beginning of another, and the rest when told."""
    if connection.head():
        connection.send(ws.SWITCH + ws.frame("begun", masked=False) + ws.frame(b"x" * 1000, masked=False)[:500])
        told.wait(PATIENCE)
        connection.send(ws.frame(b"x" * 1000, masked=False)[500:])
        halves.append(ws.outcome(connection))


def reset(connection):
    """Last words and a reset in one."""
    if connection.head():
        connection.send(ws.SWITCH)
        ws.read_frame(connection)
        connection.send(ws.frame("last words", masked=False))
        connection.reset()


import threading
told, halves = threading.Event(), []
other, halving = Origin(script=cut), Origin(script=half)
ROUTES = [route("/ws", origin, middlewares=["door"]), route("/other", other), route("/half", halving), route("/reset", Origin(script=reset))]
CHAIN = [middleware("door", "respond", {"status": 403, "body": "shut"}, paths=["/ws/secret"])]
LOG = {"level": "info"}


def open_on(goma, target="/ws", **headers):
    client = goma.client()
    fields = {**ws.UPGRADE, **{k.replace("_", "-"): v for k, v in headers.items()}}
    return client, client.request("GET", target, {k: v for k, v in fields.items() if v is not None})


def says(client, payload):
    client.send(ws.frame(payload))
    return ws.read_frame(client)[1]


goma = Goma(ROUTES, CHAIN, log=LOG, monitoring={"enableMetrics": True})

for spelling in ({}, {"Upgrade": "WebSocket", "Connection": "keep-alive, Upgrade"}, {"Upgrade": "WEBSOCKET", "Connection": "UPGRADE"}):
    client, reply = open_on(goma, **spelling)
    same(reply.status, 101, f"an upgrade spelled {spelling or 'as usual'} is one")
    same(says(client, "hello"), b"hello", "and bytes pass")
    client.close()

BAD = {"version 99": ("GET", {"Sec-WebSocket-Version": "99"}), "no version": ("GET", {"Sec-WebSocket-Version": None}),
       "no key": ("GET", {"Sec-WebSocket-Key": None}), "a short key": ("GET", {"Sec-WebSocket-Key": "AAAA"}),
       "POST": ("POST", {}), "PUT": ("PUT", {})}
for name, (method, change) in BAD.items():
    client = goma.client()
    fields = {k: v for k, v in {**ws.UPGRADE, **change}.items() if v is not None}
    reply = client.request(method, "/ws", fields)
    same((reply.status, reply.text, "upgrade" in origin.last), (200, "plain", False), f"F67 {name}: an ordinary request")
    same(client.get("/ws").text, "plain", f"F67 {name}: the connection stays HTTP")
    client.close()

client, reply = open_on(goma, "/ws/secret")
same((reply.status, reply.text), (403, "shut"), "a middleware may refuse it")

for size in (0, 1, 125, 126, 65535, 65536, 1_000_000):
    client, reply = open_on(goma)
    data = os.urandom(size)
    threading.Thread(target=client.send, args=(ws.frame(data),), daemon=True).start()
    expect(ws.read_frame(client)[1] == data, f"a message of {size} bytes comes back")
    client.close()

# A reset that comes with bytes is no event of its own.
client, reply = open_on(goma, "/reset")
client.send(ws.frame("go"))
same(ws.read_frame(client)[1], b"last words", "bytes in front of the backend's reset arrive")
expect(client.is_closed(), "and the reset ends the tunnel")
client, reply = open_on(goma)
origin.wait(lambda o: len(o.open) > 0)
client.send(ws.frame("last words"))
client.reset()
expect(origin.wait(lambda o: not o.open), "the client's reset behind bytes ends the backend's side")

client, reply = open_on(goma, User_Agent="measured")
same(says(client, b"x" * 94), b"x" * 94, "bytes pass to be counted")
active = goma.metrics()["goma_tunnels_active"]
client.send(ws.close(1000))
same(ws.outcome(client), 1000, "the close handshake is the two sides' own")
expect(client.is_closed(), "and then the connection ends")
line = goma.told("user_agent=measured")
expect("bytes_in=108 " in line and "bytes_out=100 " in line and "status=101" in line and "route=r-ws" in line and "end=complete" in line,
       "the log line has bytes both ways", line)
wait_for(lambda: goma.metrics()["goma_tunnels_active"] == 0)
now = goma.metrics()
expect(active >= 1 and now["goma_tunnels_active"] == 0 and now["goma_tunnels_opened_total"] >= 11, "tunnels are counted", (active, now))
goma.stop()

# --- idle -----------------------------------------------------------------------------------------------------------

closes.clear()
goma = Goma(ROUTES, CHAIN, log=LOG, timeouts={"tunnel": 1, "write": 1, "body": 1, "read": 1, "idle": 1})
quiet, _ = open_on(goma, User_Agent="quiet")
busy, _ = open_on(goma, User_Agent="busy")
plain, _ = open_on(goma, "/other", Upgrade="echo", Sec_WebSocket_Key=None, Sec_WebSocket_Version=None)
plain.send("abc")
same(plain.exactly(3), b"abc", "an upgrade to something else is a tunnel too")
began = time.monotonic()
done = threading.Event()


def talk():
    while not done.wait(0.2):
        says(busy, "again")


talker = threading.Thread(target=talk, daemon=True)
talker.start()
same(ws.outcome(quiet), 1001, "timeouts.tunnel: a quiet WebSocket is closed with 1001")
took = time.monotonic() - began
expect(0.8 < took < 2.5 * SLOW, "after that time", took)
expect(quiet.is_closed(), "and ends")
expect(wait_for(lambda: (1001, True) in closes), "the backend hears 1001 in a masked frame", closes)
expect(plain.is_closed(), "a tunnel without frames is cut")
done.set()
talker.join()
same(says(busy, "still"), b"still", "one with traffic lives on")
expect(goma.told("user_agent=quiet.* end=tunnel-idle"), "the log says tunnel-idle")
busy.close()
goma.stop()

# --- stop -----------------------------------------------------------------------------------------------------------

closes.clear()
goma = Goma(ROUTES, CHAIN, log=LOG, timeouts={"drain": 1})
between, _ = open_on(goma, User_Agent="between")
says(between, "hello")
within, _ = open_on(goma)                       # the client is in the middle of a frame
long_frame = ws.frame(b"y" * 100)
within.send(long_frame[:50])
under, _ = open_on(goma, "/half")               # the backend is
same(ws.read_frame(under)[1], b"begun", "a frame arrives, the next has begun")
plain, _ = open_on(goma, "/other", Upgrade="echo", Sec_WebSocket_Key=None, Sec_WebSocket_Version=None)
began = time.monotonic()
goma.hit(signal.SIGQUIT)
goma.told("stopping")
same(says(between, "going on"), b"going on", "stop: a WebSocket lives through the grace")
same(ws.outcome(between), 1012, "stop: then it is closed with 1012")
expect(time.monotonic() - began > 0.8, "stop: not before")
told.set()
same(ws.read_frame(under)[1], b"x" * 1000, "stop: the frame that had begun comes whole")
same(ws.outcome(under), 1012, "stop: then 1012")
within.send(long_frame[50:])
same(ws.outcome(within), 1012, "stop: the client in the middle of a frame hears it at once")
expect(plain.is_closed(), "stop: a tunnel without frames is cut")
same(goma.wait_exit(), 0, "stop: exit 0")
expect(wait_for(lambda: closes.count((1001, True)) == 2) and halves == [1001], "stop: the backends hear 1001, masked", (closes, halves))
expect(goma.told("user_agent=between.* end=gateway-stop"), "stop: the log says gateway-stop")
