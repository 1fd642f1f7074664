#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A23, A24 and the error table of Goma: what a broken backend does is answered 502 or 504, cut off, and never seen by
the next client."""
from lib.goma import *

EXTRA = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Evil: 1\r\n\r\npoison"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CASES = {   # target -> what the backend sends, (allowed statuses, complete)
    "extra": (OK + b"surplus", (200,), True),
    "two": (OK + EXTRA, (200,), True),
    "cl-te": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", (200, 502), True),
    "two-lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc", (502,), True),
    "bad-length": (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nabc", (502,), True),
    "flood": (b"HTTP/1.1 102 Processing\r\n\r\n" * 5000 + OK, (502,), True),
    "204-body": (b"HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\npoison", (204, 502), True),
    "204-chunks": (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n" + EXTRA, (204, 502), True),
    "304-body": (b"HTTP/1.1 304 Not Modified\r\n\r\n" + EXTRA, (304, 502), True),
    "status-line": (b"HTTP/1.1 abc\r\n\r\n", (502,), True),
    "no-http": (b"SSH-2.0-OpenSSH_9.2\r\n", (502,), True),
    "status-99": (b"HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n", (502,), True),
    "status-1000": (b"HTTP/1.1 2000 No\r\nContent-Length: 0\r\n\r\n", (502,), True),
    "bad-field": (b"HTTP/1.1 200 OK\r\nA b\r\nContent-Length: 0\r\n\r\n", (502,), True),
    "ctl-field": (b"HTTP/1.1 200 OK\r\nA: \x00b\r\nContent-Length: 0\r\n\r\n", (502,), True),
    "big-head": (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 3000000 + b"\r\nContent-Length: 0\r\n\r\n", (502,), True),
    "bad-chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n", (200, 502, "closed"), False),
    "101": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + EXTRA, (502,), True),
    "nothing": (b"", (502,), True),
    "half-head": (b"HTTP/1.1 200 OK\r\nContent-Le", (502,), True),
    "short": (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123", (200,), False),
    "mid-chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n0123", (200,), False),
    "no-last": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n", (200,), False),
}
END = {"nothing", "half-head", "short", "mid-chunk", "no-last", "no-http"}


def script(connection):
    while request := connection.request():
        origin.record(request)
        kind = request.target.strip("/")
        if kind == "reset":
            connection.reset()
            return
        if kind == "silent":
            connection.is_closed(30)
            return
        connection.send(CASES[kind][0] if kind in CASES else OK)
        if kind in END:
            return


origin = Origin(script=script)
goma = Goma([route("/", origin), route("/refused", f"http://127.0.0.1:{refused_port()}"),
             route("/nowhere", "http://does-not-exist.invalid:80")], workers=1, log={"level": "off"},
            networking={"transport": {"responseHeaderTimeout": 1}})


def check(kind, allowed, complete):
    origin.clear()
    client = goma.client()
    client.send(f"POST /{kind} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\n\r\nx")
    try:
        reply = client.response()
        got, whole = reply.status, reply.complete
    except Closed:
        got, whole = "closed", False
    expect(got in allowed and whole == complete, f"{kind}: {'/'.join(map(str, allowed))}{'' if complete else ', cut off'}",
           f"{got}, complete {whole}")
    same(len(origin.requests) <= 1, True, f"{kind}: not repeated")
    if got == 200 and not complete:
        expect(client.is_closed(), f"{kind}: the client's connection is ended")
    clean = [goma.get("/fine") for _ in range(2)]
    expect(all(r.body == b"ok" and "x-evil" not in r for r in clean), f"{kind}: the next client sees nothing of it", clean)


for kind, (_, allowed, complete) in CASES.items():
    attempt(f"{kind} is held", check, kind, allowed, complete)
attempt("reset is held", check, "reset", (502,), True)
attempt("silent is held", check, "silent", (504,), True)
same(goma.get("/refused").status, 502, "a refused connection is 502")
same(goma.get("/nowhere").status, 502, "an unknown name is 502")
same(goma.get("/refused").text, "502 Bad Gateway \n", "with Goma's text")
same(goma.request("POST", "/silent", body=b"x").text, "504 Gateway Timeout \n", "a timeout as well")
for kind, send, want in [("half a head", b"HTTP/1.1 200 OK\r\nContent-Le", 502), ("half a body", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123", 200)]:
    def script_reset(connection, send=send):
        while connection.head():
            connection.send(send)
            connection.reset()
            return
    resetting = Origin(script=script_reset)
    goma.configure([route("/", resetting)], log={"level": "off"})
    goma.reload()
    got = []
    for _ in range(40):
        client = goma.client(timeout=3 * SLOW)
        client.request("POST", "/", body=b"x" * 300000, read=False)
        try:
            reply = client.response()
            got.append((reply.status, reply.complete))
        except (Closed, Timeout) as error:
            got.append(type(error).__name__)
        client.close()
        if got[-1] == "Timeout":
            break
    expect(set(got) <= {(502, True), (200, False), "Closed"}, f"{kind} and a reset at once, after an upload, hangs nobody", got[-3:])
goma.configure([route("/", origin)], log={"level": "off"})
goma.reload()
client = goma.client()
client.send("HEAD /short HTTP/1.1\r\nHost: a.test\r\n\r\nGET /fine HTTP/1.1\r\nHost: a.test\r\n\r\n")
client.response("HEAD")
same(client.response().body, b"ok", "A23 a body after HEAD is not seen")
