#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Heads of responses: large ones pass, what is too large or wrong says why, what is odd but clear passes unless told not to."""
from lib.goma import *
from lib.h2peer import H2Client, H2Origin

MIB = 1 << 20
OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
CASES = {   # target -> what the backend sends, the status, the word
    "clean": (OK + "\r\nok", 200, None),
    "fields": (OK + "".join(f"X-{i}: v\r\n" for i in range(500)) + "\r\nok", 200, None),
    "cookies": (OK + "".join(f"Set-Cookie: c{i}={'v' * 1000}\r\n" for i in range(300)) + "\r\nok", 200, None),
    "cookie": (OK + f"Set-Cookie: c={'v' * MIB}\r\n\r\nok", 200, None),
    "huge": (OK + f"X: {'v' * 3 * MIB}\r\n\r\nok", 502, "header-too-large"),
    "many": (OK + "".join(f"X-{i}: v\r\n" for i in range(10001)) + "\r\nok", 502, "too-many-headers"),
    "banner": ("SSH-2.0-OpenSSH_9.2\r\n", 502, "bad-status-line"),
    "name": (OK + "A b: c\r\n\r\nok", 502, "bad-header"),
    "nul": (OK + "A: \0\r\n\r\nok", 502, "control-byte"),
    "cr": (OK + "A: b\rc: d\r\n\r\nok", 502, "control-byte"),
    "length": ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nok", 502, "bad-length"),
    "lengths": (OK + "Content-Length: 3\r\n\r\nok", 502, "conflicting-lengths"),
    "both": (OK + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 502, "both-lengths"),
    "coding": ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok", 502, "bad-coding"),
    "flood": ("HTTP/1.1 102 Processing\r\n\r\n" * 17 + OK + "\r\nok", 502, "informational-flood"),
    "switch": ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", 502, "unasked-switch"),
}
ODD = {
    "lf": ("HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "bare-lf"),
    "empty": ("\r\n" + OK + "\r\nok", "empty-line"),
    "eight": ("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", "repeated-length"),
    "twice": (OK + "Content-Length: 2\r\n\r\nok", "repeated-length"),
    "fold": (OK + "A: b\r\n c\r\n\r\nok", "folded-line"),
    "colon": ("HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok", "blank-before-colon"),
}
REQUIRED = Reply(426, [("Upgrade", "TLS/1.0, HTTP/2.0"), ("Connection", "Upgrade")], body="no").encode("GET")


def answer(request):
    kind = request.target.rpartition("/")[2]
    if kind == "426":
        return REQUIRED
    return (CASES[kind][0] if kind in CASES else ODD[kind][0]).encode("latin-1")


def speak(stream):
    kind = stream.target.rpartition("/")[2]
    fields = {"fields": [(f"x-{i}", "v") for i in range(500)], "cookies": [("set-cookie", f"c{i}={'v' * 1000}") for i in range(300)]}
    stream.reply(200, fields.get(kind, []), b"ok")


def start(**networking):
    return Goma([route("/", origin), route("/h2", two.url, name="h2", backendProtocol="h2c")], workers=1, monitoring={"enableMetrics": True},
                entryPoints={"web": {"address": "127.0.0.1:0", "h2c": True}}, networking={"passiveHealthCheck": {"enabled": False}, **networking})


def counted(family, word):
    return goma.metrics().get(f'goma_backend_{family}_total{{backend="127.0.0.1:{origin.port}",reason="upstream-{word}"}}', 0)


origin, two = Origin(answer), H2Origin(speak)
goma = start()
for kind, (_, status, word) in CASES.items():
    reply = goma.get(f"/{kind}")
    same(reply.status, status, f"{kind}: {status}")
for kind, (_, _, word) in CASES.items():
    if word:
        expect(goma.told(rf"url=/{kind} .* upstream_error=upstream-{word} "), f"{kind}: {word} in the access line")
        same(counted("errors", word) >= 1, True, f"{kind}: and in the metrics")
expect(goma.told('level=ERROR msg="a backend.s answer was not accepted" .*reason=upstream-'), "and in the log")
same(len(goma.get("/cookie")["set-cookie"]), MIB + 2, "a cookie of 1 MiB arrives")
for kind, (_, word) in ODD.items():
    reply = goma.get(f"/{kind}")
    same((reply.status, reply.text), (200, "ok"), f"{kind}: passes")
    same(counted("oddities", word), 2 if kind == "twice" else 1, f"{kind}: is counted")
same(goma.get("/fold")["a"], "b c", "a folded field becomes one line")
for kind in ("fields", "cookies"):
    same(goma.get(f"/h2/{kind}").status, 200, f"HTTP/2 backend, {kind}: 200")
client = H2Client(goma.address, settings={6: 4 * MIB})
client.connection.decoder.max_header_list_size = 4 * MIB
for kind in ("fields", "cookies", "cookie"):
    stream = client.get(f"/{kind}")
    same((stream.status, stream.text), (200, "ok"), f"an HTTP/2 client gets {kind}")
same(len(stream["set-cookie"] or ""), MIB + 2, "whole")

reply = goma.get("/426")
same((reply.status, reply["upgrade"], reply["connection"]), (426, "TLS/1.0, HTTP/2.0", "Upgrade"), "426 keeps Upgrade")
reply = goma.get("/426", {"Connection": "close"})
same((reply["upgrade"], reply["connection"]), ("TLS/1.0, HTTP/2.0", "Upgrade, close"), "also on the last response")
reply = goma.client().request("GET", "/426", version="HTTP/1.0")
same((reply["upgrade"], reply["connection"]), (None, "close"), "but not towards HTTP/1.0")
stream = client.get("/426")
same((stream.status, stream["upgrade"], stream["connection"]), (426, None, None), "nor HTTP/2")

goma.stop()
goma = start(backendStrict=True, backendMaxHeaders=50, backendMaxHeaderBytes=4096)
same(goma.get("/clean").status, 200, "backendStrict lets clean responses pass")
for kind, (_, word) in ODD.items():
    same(goma.get(f"/{kind}").status, 502, f"backendStrict refuses {kind}")
for kind, (_, word) in ODD.items():
    expect(goma.told(rf"url=/{kind} .* upstream_error=upstream-{word} "), f"for {word}")
LOWERED = [("/fields", "too-many-headers"), ("/cookies", "header-too-large"), ("/h2/fields", "too-many-headers"), ("/h2/cookies", "header-too-large")]
same([goma.get(path).status for path, _ in LOWERED], [502] * 4, "the limits can be lowered")
for path, word in LOWERED:
    expect(goma.told(rf"url={path} .* upstream_error=upstream-{word} "), f"and say {word}")
words = re.findall(r'"([a-z0-9-]+)"', read(f"{ROOT}/src/http/failure.cc").partition("names[]")[2])
page = read(f"{ROOT}/docs/operations.md").partition("## Why a backend failed")[2].partition("\n## ")[0]
documented = set(re.findall(r"`([a-z0-9-]+)`", "".join(re.findall(r"^\| (`.*?) \|", page, re.M))))
same(sorted(documented ^ (set(words) - {"none"})), [], "docs/operations.md has every word")
