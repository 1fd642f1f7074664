#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Upgrade tunnels: WebSocket bytes pass both ways, outlive a reload, are logged, and only a valid 101 opens one (F67, F68, E66)."""
from lib.goma import *


def script(connection):
    while head := connection.head():
        origin.record(head)
        if "refuse" in head.target:
            connection.send(Reply(426, body="no").encode("GET"))
            continue
        if (head["upgrade"] or "").lower() != "websocket":
            connection.send(Reply(200, body="plain").encode("GET"))
            continue
        connection.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nwelcome")
        while connection.buffer or connection.fill():
            data, connection.buffer = connection.buffer, b""
            if data == b"bye":
                return
            connection.send(data.upper())


origin = Origin(script=script)
goma = Goma([route("/", origin)])
UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
           "Sec-WebSocket-Version": "13"}


def open_tunnel(target="/ws", extra=()):
    client = goma.client()
    reply = client.request("GET", target, {**UPGRADE, **dict(extra)})
    return client, reply


client, reply = open_tunnel()
same(reply.status, 101, "the upgrade is answered 101")
same((reply["upgrade"], reply["sec-websocket-accept"] is not None), ("websocket", True), "with the backend's fields")
same(client.exactly(7), b"welcome", "bytes right behind the 101 arrive")
client.send("hello")
same(client.exactly(5), b"HELLO", "bytes pass both ways")
same((origin.last["upgrade"], origin.last["connection"].lower()), ("websocket", "upgrade"), "the backend got the upgrade")
big = os.urandom(100000).hex().encode()
import threading
threading.Thread(target=client.send, args=(big,), daemon=True).start()
same(client.exactly(len(big)), big.upper(), "a long message comes back whole")
for turn in range(3):
    code, out = goma.reload()
    same(code, 0, f"reload {turn + 1}", ) or note(out)
    client.send("still")
    same(client.exactly(5), b"STILL", "the tunnel is alive after it")
client.send("bye")
expect(client.is_closed(), "the end of the backend ends the tunnel")
expect(wait_for(lambda: re.search(r"status=101", goma.output)), "a tunnel has its line in the access log")

client, reply = open_tunnel()
client.exactly(7)
open_now = len(origin.open)
client.close()
expect(origin.wait(lambda o: len(o.open) < open_now), "the end of the client ends the backend's side")

client, reply = open_tunnel("/refuse")
same((reply.status, reply.text), (426, "no"), "F67 a refused upgrade is an ordinary answer")
same(client.get("/plain").text, "plain", "F67 after which the connection is ordinary HTTP")
reply = goma.get("/h2c", {"Upgrade": "h2c", "Connection": "Upgrade, HTTP2-Settings", "HTTP2-Settings": "AAMAAABkAAQAAP__"})
same((reply.status, reply.text), (200, "plain"), "E66 h2c is answered as HTTP/1.1")
expect("http2-settings" not in origin.last and "upgrade" not in origin.last, "E66 and not offered to the backend",
       origin.last.headers)
client, reply = open_tunnel("/ws", {"Upgrade": "WebSocket"})
same(reply.status, 101, "the token is compared without case")
reply = goma.request("POST", "/ws", UPGRADE, body=b"x")
expect(reply.status != 101, "F67 a POST opens no tunnel", reply)
client.close()
