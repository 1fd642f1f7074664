#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Attack case A21: a backend that answers before the body is over is not asked again on that connection."""
from lib.goma import *

HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: a.test\r\n\r\n"


def script(connection):
    while head := connection.head():
        origin.record(head)
        status = 413 if head["content-length"] and int(head["content-length"]) > 0 else 200
        connection.send(Reply(status, body="early").encode("GET"))
        if status == 413:
            connection.is_closed(PATIENCE)      # reads what comes as long as the gateway keeps it open
            return


origin = Origin(script=script)
goma = Goma([route("/", origin)], workers=1)
client = goma.client()
client.send(b"POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: %d\r\n\r\n" % (len(HIDDEN) + 100000))
same(client.response().status, 413, "the early answer reaches the client while it still sends")
try:
    client.send(b"x" * 100000 + HIDDEN)
except OSError:
    pass
same(client.request("GET", "/after").status, 200, "the client's connection is in step")
same(goma.get("/next").status, 200, "the next client is served")
targets = [r.target for r in origin.requests]
expect("/hidden" not in targets and targets[0] == "/up", "the body was not taken for a request", targets)
expect(origin.connections >= 2, "the backend connection was not used again", origin.connections)

client = goma.client()
client.send(b"POST /up2 HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
expect(origin.wait(lambda o: any(r.target == "/up2" for r in o.requests)), "a chunked upload is streamed, not collected")
