#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Attack cases E57-E63: floods of one HTTP/2 connection. Each is cut within twice its documented limit
(src/http/h2_guard.h) with GOAWAY ENHANCE_YOUR_CALM and counted by its kind; a flood of any length costs the worker next
to nothing; what stays below the limit passes; and another client is served all the time. GOMA_LONG=1 measures how the
other client's slowest answers change."""
import threading

from lib.goma import *
from lib.h2 import *

STREAMS = 100                                           # maxConcurrentStreams, the default
CPU = 0.05 * SLOW                                       # seconds that an attack may cost
MEMORY = 1024 * SLOW                                    # KiB that an attacking connection may hold
CALM = "ENHANCE_YOUR_CALM"
BIG = 4 << 20
held = threading.Event()


def handler(request):
    if request.target == "/hold":
        held.wait(60)
    return Reply(body=b"x" * BIG if request.target == "/big" else b"ok")


origin = Origin(handler)
quiet = Origin()
goma = Goma([route("/canary", quiet), route("/", origin)], workers=1, log={"level": "error"}, monitoring={"enableMetrics": True},
            entryPoints={"web": {"address": "127.0.0.1:0", "h2c": True}, "webSecure": {"address": "127.0.0.2:0"}}, timeouts={"write": 2, "header": 2})
worker = goma.worker_pids()[0]
addresses = [parse_address(listener["address"]) for listener in goma.status()["listeners"]]
goma.address = next(a for a in addresses if a[0] == "127.0.0.1")
sealed = next(a for a in addresses if a[0] == "127.0.0.2")


def spent():
    """Seconds of CPU the worker has used."""
    return int(read(f"/proc/{worker}/schedstat").split()[0]) / 1e9


def counted(kind):
    return goma.metrics().get(f'goma_http2_abuse_total{{kind="{kind}"}}', 0)


def counts():
    return {k: v for k, v in goma.metrics().items() if "abuse" in k}


class Canary:
    """Another client, asking all the time; and the highest memory of the worker meanwhile, in KiB."""

    def __init__(self, pause=0.002):
        self.times, self.failures, self.done, self.pause = [], [], threading.Event(), pause
        self.memory = self.top = resident(worker)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        client = goma.client()
        while not self.done.is_set():
            began = time.monotonic()
            try:
                if client.get("/canary").status != 200:
                    self.failures.append("status")
            except (Closed, Timeout, OSError) as error:
                self.failures.append(repr(error))
                break
            self.times.append(time.monotonic() - began)
            self.top = max(self.top, resident(worker))
            self.done.wait(self.pause)
        client.close()

    def stop(self):
        self.done.set()
        self.thread.join(20 * SLOW)
        return self

    @property
    def grown(self):
        return self.top - self.memory


def pour(peer, pieces):
    """Sends until the gateway no longer takes it."""
    batch = []
    for piece in pieces:
        batch.append(piece)
        if len(batch) == 100 and (not peer.send(*batch) or batch.clear()):
            return
    peer.send(*batch)


def number(i):
    return 2 * i + 1


def big_head(i):
    """Sixteen thousand references to an entry of 4 KiB: 64 MB from 20 KB."""
    entry = incremental("x-bomb", "v" * 3900) if i == 0 else b""
    return headers(number(i), request() + entry + indexed(62) * 12000)


def crumbs(i):
    entry = incremental("cookie", "a") if i == 0 else b""
    return headers(number(i), request() + entry + indexed(62) * 12000)


def bomb(i):
    entry = incremental("x-bomb", "v" * 3900) if i == 0 else b""
    return headers(number(i), request("GET", "/hold") + entry + indexed(62) * 15) + reset(number(i))


def opened(i):
    return headers(number(i), request("POST"), end=False)


# kind, what, its limit, frames before, the i-th of the flood, codes of the GOAWAY
FLOODS = [
    ("rapid-reset", "E57 a request and its RST_STREAM", STREAMS, b"", lambda i: headers(number(i)) + reset(number(i)), CALM),
    ("server-reset", "E58 WINDOW_UPDATE that overflows", 100, b"", lambda i: opened(i) + window(number(i), 0x7fffffff), CALM),
    ("server-reset", "E58 more DATA than content-length", 100, b"",
     lambda i: headers(number(i), request("POST", "/", ("content-length", "1")), end=False) + data(number(i), b"xx"), CALM),
    ("server-reset", "E58 a second HEADERS that ends nothing", 100, b"", lambda i: opened(i) + headers(number(i), fields(("t", "u")), end=False), CALM),
    ("server-reset", "E58 a malformed request", 100, b"", lambda i: headers(number(i), request("GET", "/", ("X", "y"))), CALM),
    ("continuation", "E59 CONTINUATION with fields", 8, headers(1, whole=False), lambda i: continuation(1, literal("x", "y") * 10, whole=False), CALM),
    ("continuation", "E59 CONTINUATION without", 8, headers(1, whole=False), lambda i: continuation(1, whole=False), CALM),
    ("continuation", "E59 large CONTINUATION", 8, headers(1, whole=False), lambda i: continuation(1, literal("x", "y" * 16000), whole=False), CALM),
    ("header-bytes", "E61 4 KiB 12,000 times from 12 KB", 20, b"", big_head, CALM),
    ("header-bytes", "E60 12,000 crumbs of a cookie", 20, b"", crumbs, CALM),
    ("refused-stream", "E58 streams above the limit", 500, b"".join(headers(number(i), request("GET", "/hold")) for i in range(STREAMS)),
     lambda i: headers(number(STREAMS + i)), CALM),
    ("settings", "E62 SETTINGS", 100, b"", lambda i: settings((INITIAL_WINDOW_SIZE, 65535)), CALM),
    ("settings", "E62 empty SETTINGS", 100, b"", lambda i: settings(), CALM),
    ("ping", "E62 PING", 100, b"", lambda i: ping(struct.pack(">Q", i)), CALM),
    ("priority", "E62 PRIORITY", 250, b"", lambda i: priority(number(i % 1000), 0), CALM),
    ("priority", "E62 PRIORITY_UPDATE", 250, b"", lambda i: frame(PRIORITY_UPDATE, 0, 0, struct.pack(">I", number(i % 100)) + b"u=1"), CALM),
    ("empty-data", "E62 DATA without data", 100, headers(1, request("POST", "/hold"), end=False), lambda i: data(1), CALM),
    ("empty-data", "E62 DATA of padding", 100, headers(1, request("POST", "/hold"), end=False), lambda i: data(1, pad=7), CALM),
    ("unknown-frame", "E62 unknown types", 100, b"", lambda i: frame(0xbb, 0, 0, b"x" * (i % 50)), CALM),
    ("window-update", "E62 WINDOW_UPDATE on the connection", 250, b"", lambda i: window(0, 1), CALM),
    (None, "E62 RST_STREAM of idle streams", 0, b"", lambda i: reset(number(i)), "PROTOCOL_ERROR|" + CALM),
    (None, "E58 WINDOW_UPDATE of 0", 0, b"", lambda i: opened(i) + window(number(i), 0), "PROTOCOL_ERROR"),
    (None, "E58 DATA behind END_STREAM", 0, headers(1, request("GET", "/hold")), lambda i: data(1, b"x"), "STREAM_CLOSED"),
]


def within(kind, what, limit, before, one, code):
    """Half the limit passes, twice the limit is cut and counted."""
    peer = dial(goma.address)
    if limit and kind != "continuation":
        peer.send(before, *[one(i) for i in range(limit // 2)])
        expect(peer.settle() and not peer.goaway, f"{what}: half the limit is borne", (peer.goaway, peer.closed))
        peer.close()
        peer = dial(goma.address)
    was = counted(kind)
    peer.send(before, *[one(i) for i in range(max(2 * limit, 2))])
    expect(peer.ended() and peer.error in code.split("|"), f"{what}: twice the limit ends with {code}", (peer.goaway, peer.closed, peer.streams.keys()))
    if kind:
        expect(wait_for(lambda: counted(kind) == was + 1, 2), f"{what}: and is counted as {kind}", counts())
    peer.close()


def over_tls(kind, what, limit, before, one, code):
    """The same through TLS."""
    peer = dial(sealed, tls=True)
    was = counted(kind)
    pour(peer, [before] + [one(i) for i in range(2 * limit)])
    expect(peer.ended() and peer.error == code and wait_for(lambda: counted(kind) == was + 1, 2), f"TLS, {what}: cut and counted", (peer.goaway, counts()))
    peer.close()


def flooded(kind, what, limit, before, one, code):
    """A flood without an end costs nearly nothing, of time and memory, and nobody else notices."""
    peer = dial(goma.address)
    count = 300 if kind == "header-bytes" else 20000 if kind == "rapid-reset" else 50000 if LONG else 5000
    frames = [before] + [one(i) for i in range(count)]
    origin.clear()
    other = Canary()
    wait_for(lambda: other.times)
    began = spent()
    served = len(other.times)
    pour(peer, frames)
    ended = peer.ended()
    other.stop()
    cost = spent() - began - 0.0002 * (len(other.times) - served)       # the other client's requests
    expect(ended and peer.error in code.split("|"), f"{what}: a flood is cut with {code}", (peer.goaway, peer.closed))
    expect(cost <= CPU, f"{what}: {cost * 1000:.1f} ms of CPU", f"{cost:.3f} s, at most {CPU} s")
    expect(other.grown <= MEMORY, f"{what}: {other.grown} KiB of memory", f"at most {MEMORY}")
    expect(not other.failures, f"{what}: the other client is served", other.failures)
    expect(len(origin.requests) <= 300, f"{what}: the backend saw {len(origin.requests)} requests", "at most 300")
    peer.close()


def inflates():
    """60 KB from 130 bytes, given up each time: fewer than may be given up."""
    peer, was, sent = dial(goma.address), counted("decoded-bytes"), 0
    while not peer.goaway and sent < 99 and peer.settle():
        peer.send(*[bomb(i) for i in range(sent, sent + 3)])
        sent += 3
    expect(peer.ended() and peer.error == CALM and 60 < sent < 90, "E61 heads of 60 KB from 130 bytes end the connection", (sent, peer.goaway))
    expect(wait_for(lambda: counted("decoded-bytes") == was + 1, 2), "E61 counted as decoded-bytes", counts())
    peer.close()
    peer = dial(goma.address)
    for i in range(300):
        peer.last_ask = number(i)
        peer.send(headers(number(i), request("GET", "/") + (incremental("cookie", "v" * 3900) if i == 0 else indexed(62)) + indexed(62) * 14))
        if not peer.wait(lambda: peer.stream(number(i)).done):
            break
    expect(peer.stream(number(299)).status == 200, "E61 three hundred of them that are answered pass", (i, peer.goaway))
    peer.close()


# --- honest clients: whatever they do much of, they pay for it -----------------------------------------------------------

def honest(what, act, rounds):
    peer = dial(goma.address)
    for i in range(rounds):
        one = peer.ask("GET", "/")
        if one.status != 200 or peer.goaway:
            break
        act(peer, i)
    expect(peer.ask("GET", "/").status == 200 and not peer.goaway, f"{what}: a client that asks as much is served", (i, peer.goaway))
    peer.close()


def cancels(peer, i):
    asked = peer.next_stream()
    peer.send(headers(asked, request("GET", "/")), reset(asked))


HONEST = [
    ("a request given up for each that is finished", cancels, 3000),
    ("two PINGs for each answer", lambda peer, i: peer.send(ping(), ping()), 1500),
    ("two more WINDOW_UPDATEs for each DATA frame", lambda peer, i: peer.send(window(0, 1), window(0, 1)), 1500),
    ("two PRIORITYs for each request", lambda peer, i: peer.send(priority(number(i)), priority(number(i))), 1500),
]


# --- slow readers (E60, E63) ------------------------------------------------------------------------------------------

def many_big(own, count=100):
    peer = dial(goma.address, settings={INITIAL_WINDOW_SIZE: own}, replenish=False)
    peer.last_ask = number(count)
    peer.send(*[headers(number(i), request("GET", "/big")) for i in range(count)])
    peer.wait(lambda: len(peer.streams) >= count and all(s.status for s in peer.streams.values()))
    return peer


def byte_by_byte():
    other = Canary()
    peer = many_big(0)
    heads = sum(s.status == 200 for s in peer.streams.values())
    same(heads, 100, "E63 a hundred big files with windows of nothing: the heads come")
    was = counted("window-update")
    for turn in range(12):
        if not peer.send(*[window(number(i), 1) for i in range(100)]):
            break
        peer.settle(1)
        if peer.goaway:
            break
    other.stop()
    expect(peer.ended() and peer.error == CALM, "E63 windows that open byte by byte end the connection", (peer.goaway, peer.closed))
    expect(wait_for(lambda: counted("window-update") == was + 1, 2), "E63 counted as window-update", counts())
    expect(other.grown <= 100 * 64 + MEMORY and not other.failures, f"E63 {other.grown} KiB for a hundred streams", other.failures)
    peer.close()


def never_open():
    peer = many_big(0, 20)
    began = time.monotonic()
    expect(wait_for(lambda: not [c for c in origin.open if not c.buffer] or peer.wait(lambda: all(s.reset for s in peer.streams.values()) or peer.closed, 0.1), 8 * SLOW),
           "E63 a response that is not taken is given up after timeouts.write", peer.streams)
    expect(1 < time.monotonic() - began < 8 * SLOW, "E63 not before", time.monotonic() - began)
    peer.close()


def apart(seconds, meanwhile):
    """The p99 in ms of another client in a process of its own, while this one does something."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        client, times, until = goma.client(), [], time.monotonic() + seconds
        while time.monotonic() < until:
            began = time.monotonic()
            client.get("/canary")
            times.append(time.monotonic() - began)
            time.sleep(0.001)
        os.write(into, b"%f" % (sorted(times)[int(len(times) * 0.99)] * 1000))
        os._exit(0)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        meanwhile()
    os.waitpid(child, 0)
    os.close(into)
    return float(os.read(out, 100))


def other_client():
    """The other client's p99 under all floods, one after the other, to that beside a process that is as busy."""
    frames = {flood[1]: [flood[3]] + [flood[4](i) for i in range(1000)] for flood in FLOODS}

    def attacks():
        for flood in FLOODS:
            peer = dial(goma.address)
            pour(peer, frames[flood[1]])
            peer.ended()
            peer.close()

    rest = apart(8, lambda: sorted(range(10000)))
    busy = apart(8, attacks)
    expect(busy <= 2 * rest + 1, f"the other client's p99: {busy:.2f} ms under attack, {rest:.2f} ms at rest")


time_limit(200 if LONG else 60)
goma.get("/canary")
for flood in FLOODS:
    attempt(flood[1], within, *flood)
for flood in FLOODS:
    attempt(flood[1], flooded, *flood)
for flood in FLOODS:
    if flood[0]:
        attempt(flood[1], over_tls, *flood)
attempt("inflates", inflates)
for what, act, rounds in HONEST:
    attempt(what, honest, what, act, rounds if LONG else rounds // 2)
attempt("byte by byte", byte_by_byte)
attempt("never open", never_open)
if LONG:
    attempt("the other client", other_client)
held.set()
expect(goma.canary("/canary"), "a canary passes")
