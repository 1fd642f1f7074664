#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Attack case A05: a hidden Transfer-Encoding never splits a request in two and never travels on."""
from lib.goma import *

origin = Origin()
goma = Goma([route("/", origin)], log={"level": "off"})
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: a.test\r\n\r\n"


def gadgets():
    for code in [*range(0, 0x21), *range(0x7f, 0x100)]:
        byte = bytes([code])
        if byte not in b"\n":
            yield byte + b"Transfer-Encoding: chunked"
            yield b"Transfer-Encoding" + byte + b": chunked"
        yield b"Transfer-Encoding:" + byte + b"chunked" if byte not in b" \t" else b"Transfer-Encoding:" + byte + b"x"
        yield b"Transfer-Encoding: chunked" + byte + b"x"
    yield from (b"Transfer-Encoding: x", b'Transfer-Encoding: "chunked"', b"Transfer-Encoding: chunk",
                b"Transfer-Encoding: cow, chunked", b"Transfer-Encoding: chunked, cow", b"Transfer-Encoding:\r\n chunked",
                b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
                b"X: y\rTransfer-Encoding: chunked", b"X: y\nTransfer-Encoding: chunked", b"Transfer-Encoding: ,chunked",
                b"Transfer-Encoding", b"Transfer-Encoding: chunked;a=b", b"Transfer-Encoding: 'chunked'",
                b"Content-Encoding: chunked\r\nTransfer-Encoding : chunked", b"Transfer-Encoding:chunked, identity")


def shapes(gadget):
    """CL.TE, TE.CL and a request embedded in a chunk."""
    tail = b"0\r\n\r\n" + HIDDEN
    yield b"Content-Length: %d\r\n%s" % (len(tail), gadget), tail
    inner = b"%x\r\n%s\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)
    yield b"Content-Length: 4\r\n" + gadget, inner
    yield gadget, inner


def try_one(fields, body):
    """None when the shape was held, else what went wrong."""
    origin.clear()
    client = goma.client()
    try:
        client.send(b"POST /outer HTTP/1.1\r\nHost: a.test\r\n" + fields + b"\r\n\r\n" + body)
    except OSError:
        pass
    client.sock.settimeout(3 * SLOW)
    answers = []
    try:
        while len(answers) < 3:
            answers.append(client.outcome())
            if answers[-1] == "closed" or answers[-1] >= 400:
                break
    except Timeout:
        answers.append("timeout")
    client.close()
    targets = [r.target for r in origin.requests]
    leaked = any("transfer" in r.head.decode("latin-1").lower() for r in origin.requests)
    if "/hidden" in targets or len(targets) > 1 or leaked or answers[0] not in (200, 400, 501):
        return f"{fields!r}: answers {answers}, backend saw {targets}, leaked {leaked}"
    return None


time_limit(120)
wrong, count = [], 0
for gadget in gadgets():
    for fields, body in shapes(gadget):
        count += 1
        if len(wrong) < 10 and (problem := try_one(fields, body)):
            wrong.append(problem)
same(wrong, [], f"{count} requests with hidden codings are held")
expect(goma.canary(), "and a canary passes")
