#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Limits and timeouts of a client connection: header, body, idle and write time; sizes; each with its answer."""
from lib.goma import *


def handler(request):
    return Reply(200, body=b"x" * 30_000_000) if request.target == "/big" else Reply(200, body="ok")


origin = Origin(handler)
goma = Goma([route("/", origin)], timeouts={"header": 1, "body": 1, "idle": 2, "read": 30, "write": 2},
            networking={"maxHeaders": 20, "maxHeaderBytes": 8192, "maxRequestLine": 2048, "minRate": 0})


def broken(client):
    try:
        client.sock.send(b"")
        return client.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
    except OSError:
        return True


def timed(function):
    began = time.monotonic()
    result = function()
    return result, time.monotonic() - began


client = goma.client()
client.send("GET / HTTP/1.1\r\nHost: a.test\r\n")
got, took = timed(client.outcome)
expect(got == 408 and 0.5 < took < 4 * SLOW, "a head that does not end is given up with 408", (got, took))
expect(client.is_closed(), "and the connection closed")

client = goma.client()
client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\n0123")
got, took = timed(client.outcome)
expect(got == 408 and 0.5 < took < 4 * SLOW and client.is_closed(), "a body that stops is 408", (got, took))

client = goma.client()
client.get("/")
closed, took = timed(lambda: client.is_closed(8 * SLOW))
expect(closed and 1.5 < took < 5 * SLOW, "an idle connection is closed after timeouts.idle", took)

client = goma.client()
closed, took = timed(lambda: client.is_closed(8 * SLOW))
expect(closed and took < 6 * SLOW, "a connection that never speaks is closed", took)

client = goma.client(receive_buffer=4096)
client.send("GET /big HTTP/1.1\r\nHost: a.test\r\n\r\n")
client.until(b"\r\n\r\n")
before = len(origin.open)
expect(wait_for(lambda: len(origin.open) < before or broken(client), 10 * SLOW), "a client that does not read is given up")
client.close()
fields = lambda n, size=1: {f"X-{i}": "v" * size for i in range(n)}
same(goma.get("/", fields(19)).status, 200, "maxHeaders fields pass (Host is one of them)")
same(goma.get("/", fields(21)).status, 431, "more are 431")
same(goma.get("/", fields(1, 9000)).status, 431, "a head over maxHeaderBytes is 431")
same(goma.get("/" + "a" * 1900).status, 200, "a request line under maxRequestLine passes")
same(goma.get("/" + "a" * 2100).status, 414, "a longer one is 414")
expect(goma.canary(), "a canary passes")
