#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Streams that live long: WebSockets, events, gRPC and TCP move exact bytes over every reload, worker that is
taken away and an upgrade until timeouts.drain is over; then each hears its end: none is cut mute, none is left waiting."""
import resource
import threading
from lib.goma import *
from lib import h2
from lib import websocket as ws
from lib.h2peer import H2Origin
from lib.tls import Authority, TlsClient, client_context

EACH, RELOADS, UPGRADES, ON_ONE = (200, 50, 5, 10) if LONG else (8, 5, 1, 4)
DRAIN = (20 if LONG else 2) * SLOW                       # seconds; all streams must move within half of it
time_limit(1200 if LONG else 90)
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)


# --- backends -------------------------------------------------------------------------------------------------------

closes, sources, sources_lock = [], {}, threading.Lock()
ws_echo = ws.echo(lambda: talker, closes)


def talk(connection):
    connection.sock.settimeout(None)
    ws_echo(connection)


def feed(connection):
    """An event stream that the play itself writes into; stays until the other side ends."""
    connection.sock.settimeout(None)
    head = connection.head()
    if head.target == "/":
        connection.send(Reply(200, body="ok").encode("GET"))
        return
    with sources_lock:
        sources[head.target] = connection
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    while connection.fill():
        pass


def call(stream):
    """A gRPC method with streams both ways: every byte back, a status at the end."""
    stream.send_headers([(":status", "200"), ("content-type", "application/grpc")])
    taken = 0
    while not stream.over or taken < len(stream.body):
        stream.wait(lambda: len(stream.body) > taken or stream.over, 3600)
        piece, taken = bytes(stream.body[taken:]), len(stream.body)
        if piece:
            stream.send(piece)
    if stream.complete:
        stream.send_trailers([("grpc-status", "0"), ("grpc-message", "done")])


class Repeater:
    """Echoes TCP as it comes."""

    def __init__(self):
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.text = f"127.0.0.1:{self.listening.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            threading.Thread(target=self.echo, args=(self.listening.accept()[0],), daemon=True).start()

    def echo(self, sock):
        try:
            while data := sock.recv(65536):
                sock.sendall(data)
        except OSError:
            pass
        sock.close()


talker, feeder, method, repeater = Origin(script=talk), Origin(script=feed), H2Origin(call), Repeater()


# --- streams as their clients see them ------------------------------------------------------------------------------
# say(data) sends; hear(data) is None when exactly that came back, else what came instead; ending() names the end.

def connect(number):
    """HTTP/1.1: every other one over TLS."""
    return TlsClient(secure, "site.test", context=h1_context) if number % 2 else Client(plain)


class OverWebSocket:
    kind, good = "WebSocket, HTTP/1.1", ("1012",)

    def __init__(self, number):
        self.wire = connect(number)
        reply = self.wire.request("GET", "/ws", ws.UPGRADE)
        if reply.status != 101:
            raise Closed(f"no tunnel: {reply}")

    def say(self, data):
        self.wire.send(ws.frame(data))

    def hear(self, data):
        got = ws.read_frame(self.wire)
        return None if got == (ws.BINARY, data, False) else f"frame {got[0]} of {len(got[1])}"

    def answer(self):
        self.wire.sock.settimeout(DRAIN + PATIENCE)
        self.said = ws.outcome(self.wire)
        try:
            if isinstance(self.said, int):
                self.wire.send(ws.close(self.said))
        except OSError:
            pass                                        # it has gone already, after its word

    def ending(self):
        return str(self.said) if not isinstance(self.said, int) or self.wire.is_closed() else f"{self.said}, then silent"

    def close(self):
        self.wire.close()


class OverTcp:
    kind, good = "TCP pass-through", ("FIN", "RST")
    answer = lambda self: self.sock.settimeout(DRAIN + PATIENCE)

    def __init__(self, _):
        self.sock = socket.create_connection(port, PATIENCE)

    def say(self, data):
        self.sock.sendall(data)

    def hear(self, data):
        got = b""
        while len(got) < len(data):
            piece = self.sock.recv(len(data) - len(got))
            if not piece:
                raise Closed("FIN")
            got += piece
        return None if got == data else "other bytes"

    def ending(self):
        try:
            return "FIN" if not self.sock.recv(1) else "bytes"
        except ConnectionResetError:
            return "RST"
        except socket.timeout:
            return "silent"

    def close(self):
        self.sock.close()


class Events:
    """What both kinds of event streams share: the play writes at the backend."""
    count = 0
    answer = lambda self: None

    def subscribe(self):
        Events.count += 1
        self.target = f"/events/{Events.count}"

    def say(self, data):
        event = b"data: " + data.hex().encode() + b"\n\n"
        sources[self.target].send(b"%x\r\n%s\r\n" % (len(event), event))

    def close(self):
        self.wire.close()


class OverEvents(Events):
    kind, good, whole = "events, HTTP/1.1", ("end of the connection",), False

    def __init__(self, number):
        self.subscribe()
        self.wire = connect(number)
        self.wire.request("GET", self.target, {"Accept": "text/event-stream"}, read=False)
        self.wire.until(b"\r\n\r\n")
        self.body = b""

    def hear(self, data):
        want = b"data: " + data.hex().encode() + b"\n\n"
        while len(self.body) < len(want):
            size = int(self.wire.until(b"\r\n"), 16)
            self.body += self.wire.exactly(size)
            if self.wire.exactly(2) != b"\r\n":
                raise Closed("inside a chunk")
            if not size:
                self.whole = True
                raise Closed("at the end of a body")
        got, self.body = self.body, b""
        return None if got == want else "other bytes"

    def ending(self):
        return "a whole body" if self.whole else "end of the connection" if self.wire.is_closed(DRAIN + PATIENCE) else "bytes or silence"


class Shared:
    """A stream of an HTTP/2 connection that several of its kind share."""
    answer = lambda self: None

    def begin(self, group, *pieces_of_request, method="GET", end=True):
        self.wire = group
        self.number = group.next_stream()
        group.send(h2.headers(self.number, h2.request(method, *pieces_of_request), end=end))
        self.stream = group.stream(self.number)
        if not group.wait(lambda: self.stream.status or self.stream.done) or self.stream.status != 200:
            raise Closed(f"no stream: {self.stream}")

    def take(self, size):
        if not self.wire.wait(lambda: len(self.stream.body) >= size or self.stream.done):
            raise (Closed if self.wire.closed or self.stream.done else Timeout)(repr(self.stream))
        if len(self.stream.body) < size:
            raise Closed(repr(self.stream))
        got, self.stream.body = bytes(self.stream.body[:size]), self.stream.body[size:]
        return got

    def say(self, data):
        if not self.wire.send(h2.data(self.number, self.coded(data))):
            raise Closed("on writing")

    def hear(self, data):
        want = self.decoded(data)
        return None if self.take(len(want)) == want else "other bytes"

    def ending(self):
        self.wire.wait(lambda: self.stream.done, DRAIN + PATIENCE)
        how = "trailers" if self.stream.trailers else "end" if self.stream.ended else "reset" if self.stream.reset else "cut" if self.wire.closed else "silent"
        return f"{'GOAWAY' if self.wire.goaway else 'no GOAWAY'}, {how}"

    def close(self):
        if not self.stream.done:
            self.wire.send(h2.reset(self.number))


class OverWebSocket2(Shared):
    kind, good = "WebSocket, HTTP/2", ("GOAWAY, 1012, end", "GOAWAY, 1012, reset", "GOAWAY, 1012, cut before a late answer")

    def __init__(self, group):
        self.begin(group, "/ws", (":protocol", "websocket"), ("sec-websocket-version", "13"), method="CONNECT", end=False)

    def coded(self, data):
        return ws.frame(data)

    def decoded(self, data):
        return ws.frame(data, masked=False)

    def answer(self):
        word = ws.close(1012, masked=False)
        self.wire.wait(lambda: len(self.stream.body) >= len(word) or self.stream.done, DRAIN + PATIENCE)
        self.said = "1012" if self.stream.body == word else f"no 1012 ({bytes(self.stream.body[:20])})"
        if not self.stream.done:
            self.wire.send(h2.data(self.number, ws.close(1012), end=True))

    def ending(self):
        goaway, _, how = super().ending().partition(", ")
        return f"{goaway}, {self.said}, {how}{' before a late answer' if how == 'cut' and self.late else ''}"


class OverEvents2(Events, Shared):
    kind, good = "events, HTTP/2", ("GOAWAY, reset",)
    close = Shared.close

    def __init__(self, group):
        self.subscribe()
        self.begin(group, self.target, ("accept", "text/event-stream"))

    def decoded(self, data):
        return b"data: " + data.hex().encode() + b"\n\n"


class OverGrpc(Shared):
    kind, good = "gRPC both ways", ("GOAWAY, grpc-status 14",)

    def __init__(self, group):
        self.begin(group, "/echo.Echo/Talk", ("content-type", "application/grpc"), ("te", "trailers"), method="POST", end=False)

    def coded(self, data):
        return b"\0" + len(data).to_bytes(4, "big") + data

    decoded = coded

    def ending(self):
        return super().ending().replace("trailers", f"grpc-status {(self.stream.trailers or h2.Fields()).get('grpc-status')}")


KINDS = (OverWebSocket, OverWebSocket2, OverEvents, OverEvents2, OverGrpc, OverTcp)


def start(kind, number, groups={}):
    """One more stream; those of HTTP/2 come ON_ONE to a connection, and every other connection has TLS."""
    if not issubclass(kind, Shared):
        return kind(number)
    group = groups.get(kind)
    if group is None or number % ON_ONE == 0 or group.goaway or group.closed:
        group = groups[kind] = h2.dial(secure, tls=True) if number // ON_ONE % 2 else h2.dial(plain)
    return kind(group)


def start_all():
    return [start(kind, number) for kind in KINDS for number in range(EACH)]


def troubled(streams):
    """Moves other bytes on every stream; (stream, what) of those that did not carry them."""
    found, sent = [], {}
    for stream in streams:
        data = sent[stream] = os.urandom(16 + int.from_bytes(os.urandom(2), "big") % 3000)
        try:
            stream.say(data)
        except (OSError, Closed):
            pass                                        # hearing says more
    for stream in streams:
        try:
            wrong = stream.hear(sent[stream])
        except (OSError, Closed, Timeout) as error:
            wrong = f"{type(error).__name__}: {error}"
        if wrong:
            found.append((stream, wrong))
    return found


def told(bad):
    return f"{len(bad)} streams:\n" + "\n".join(f"{s.kind}: {w}" for s, w in bad[:8])


def all_move(streams, name):
    bad = troubled(streams)
    return expect(not bad, f"{name}: exact bytes on {len(streams)} streams", told(bad))


def all_hear(streams, name):
    """Every stream ends with a word its protocol has for it."""
    endings = {}
    first_word = None
    for stream in streams:
        stream.answer()
        first_word = first_word or time.monotonic()
        stream.late = time.monotonic() - first_word > 0.5    # this play has one thread: the gateway may have given up on it
    told_after = time.monotonic()
    for stream in streams:
        endings.setdefault((stream.kind, stream.ending()), []).append(stream)
    good = {kind.kind: kind.good for kind in KINDS}
    expect(not [e for e in endings if e[1] not in good[e[0]]], f"{name}: none of {len(streams)} is cut without a sign",
           "\n".join(f"{len(s)} x {e}" for e, s in endings.items()))
    for (kind, how), those in sorted(endings.items(), key=lambda item: item[0]):
        note(f"{len(those):4} x {kind}: {how}")
    for stream in streams:
        stream.close()
    return told_after


# --- the gateway ----------------------------------------------------------------------------------------------------

def configure(turn, drain=DRAIN):
    """Something changes every time: a route, a target's name, and every third time a listener of its own."""
    forwards = [{"protocol": "tcp", "port": 0, "address": "127.0.1.1", "target": repeater.text}]
    if turn % 3 == 1:
        forwards.append({"protocol": "tcp", "port": 0, "address": "127.0.1.2", "target": repeater.text})
    goma.configure([route("/", feeder, "main"), route(f"/turn{turn}", feeder), route("/ws", talker), route("/echo.Echo", method.url, backendProtocol="h2c")],
                   entryPoints={"web": {"address": "127.0.0.1:0", "h2c": True}, "webSecure": {"address": "127.0.0.2:0"}, "passThrough": {"forwards": forwards}},
                   tls={"default": {"cert": pair[0], "key": pair[1]}}, timeouts={"drain": drain}, log={"level": "warn"})


def address(text):
    return next(parse_address(e["address"].rpartition("tcp:")[2]) for e in goma.status()["listeners"] if text in e["text"] or text in e["address"])


directory = tempfile.mkdtemp(prefix="goma-t-")
binary = os.path.join(directory, "goma")
shutil.copy(GOMA, binary)
goma = Goma(directory=directory, binary=binary, workers=2, start=False)
pair = Authority(goma.path("ca")).issue("site", ["site.test"])
h1_context = client_context(alpn=["http/1.1"])
configure(0)
goma.start()
plain, secure, port = goma.address, address("127.0.0.2:"), address("127.0.1.1:")

began = time.monotonic()
streams = start_all()
all_move(streams, "at the beginning")
note(f"{len(streams)} streams open after {time.monotonic() - began:.2f} s")
turn = 0
for upgrade in range(1, UPGRADES + 1):
    for _ in range(RELOADS // UPGRADES):
        turn += 1
        configure(turn)
        count = {2: ["--workers", "1"], 3: ["--workers", "2"]}.get(turn % 5, [])      # a worker leaves, and another comes
        code, out = goma.reload(*count)
        same(code, 0, f"reload {turn} {' '.join(count)}") or note(out)
        all_move(streams, f"reload {turn}")

    # The binary is replaced: the old workers carry on until the grace is over.
    master, workers = goma.pid, goma.worker_pids()
    asked = time.monotonic()
    code, out, err = goma.ctl("upgrade")
    same(code, 0, f"upgrade {upgrade}") or note(out + err)
    goma.started_pids.add(goma.pid)
    expect(goma.pid != master and not set(workers) & set(goma.worker_pids()), "others serve")
    # Until they leave, the old workers accept as well; what they accept has the grace and no more.
    wait_for(lambda: all("leaving" in title(p) or not alive(p) for p in workers))
    fresh = start_all()
    rounds, bad = 0, []
    while not bad and (time.monotonic() - asked < DRAIN * 0.5 or not rounds):
        bad, rounds = troubled(streams + fresh), rounds + 1
    expect(not bad, "the streams of the old ones move as those of the new ones do", told(bad))
    note(f"{rounds} rounds on {len(streams + fresh)} streams")
    expect(time.monotonic() - asked < DRAIN, "all within the grace", time.monotonic() - asked)
    heard = all_hear(streams, f"upgrade {upgrade}")
    expect(heard - asked > DRAIN - 0.5, "nor before the grace is over", heard - asked)
    expect(wait_for(lambda: not any(map(alive, [master, *workers])), DRAIN + 3 * PATIENCE), "the old ones leave")
    streams = fresh
    all_move(streams, f"after upgrade {upgrade}")

expect(len(closes) and {c for c, _ in closes} <= {1001, 1012} and all(masked for _, masked in closes), "the backends' WebSockets heard theirs", closes[:3])
expect(goma.canary(), "a canary passes")
for stream in streams:
    stream.close()
expect(wait_for(lambda: not talker.open and not [s for s in method.requests if not s.over]), "no backend is left holding a stream",
       (len(talker.open), len([s for s in method.requests if not s.over])))
note(f"{time.monotonic() - began:.1f} s")
goma.baseline = {}
