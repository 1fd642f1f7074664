#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Connections that stay: WebSockets, event streams, gRPC streams and TCP tunnels over reloads and upgrades of the binary.

Ten of each over five reloads and one upgrade; GOMA_LONG=1: two hundred of each over fifty reloads and five upgrades. A
reload touches none. An upgrade leaves all alive until the grace is over, and then each is told in its own words.
"""
import threading
from lib.goma import *
from lib import websocket as ws
from lib.h2peer import H2Client, H2Origin
from lib.tls import Authority, TlsClient, client_context

EACH, RELOADS, UPGRADES, GRACE = (200, 50, 5, 20) if LONG else (10, 5, 1, 2)
time_limit(900 if LONG else 90)
news = threading.Condition()
edition = 0


# --- what stands behind ---------------------------------------------------------------------------------------------

def publish(connection):
    """An event for every edition, the present one included."""
    if not connection.head():
        return
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    sent = -1
    while True:
        with news:
            news.wait_for(lambda: edition > sent)
            sent = edition
        event = b"data: %d\n\n" % sent
        connection.send(b"%x\r\n%s\r\n" % (len(event), event))


def chat(stream):
    """Sends back every piece as it comes."""
    stream.send_headers([(":status", "200"), ("content-type", "application/grpc")])
    told = 0
    while stream.wait(lambda: len(stream.body) > told, 3600):
        piece = bytes(stream.body[told:])
        told += len(piece)
        stream.send(piece)
    if stream.complete:
        stream.send_trailers([("grpc-status", "0")])


def copy(connection):
    while connection.fill():
        data, connection.buffer = connection.buffer, b""
        connection.send(data)


echo = Origin(script=ws.echo(lambda: echo))
feed, tcp, grpc = Origin(script=publish), Origin(script=copy), H2Origin(chat)


# --- the four kinds -------------------------------------------------------------------------------------------------

def connect(number):
    """Every other one over TLS."""
    return TlsClient(secure, "a.test", trust, timeout=GRACE + PATIENCE) if number % 2 else Client(plain, timeout=GRACE + PATIENCE)


class WebSocket:
    told = "a close frame with 1012"

    def __init__(self, number):
        self.client = connect(number)
        if self.client.request("GET", "/ws", ws.UPGRADE).status != 101:
            raise Closed("no upgrade")

    def speak(self):
        self.client.send(ws.frame(b"still there?"))

    def heard(self):
        return ws.read_frame(self.client)[1] == b"still there?"

    def ending(self):
        return self.told if ws.outcome(self.client) == 1012 else "something else"

    def close(self):
        self.client.close()


class Events(WebSocket):
    told = "the end of the stream"

    def __init__(self, number):
        self.client = connect(number)
        self.client.request("GET", "/events", read=False)
        self.client.until(b"\r\n\r\n")
        self.client.until(b"\n\n")

    def speak(self):
        pass                            # news come to all of them at once

    def heard(self):
        return self.client.until(b"\n\n").endswith(b"data: %d" % edition)

    def ending(self):
        return ended(self.client.sock)


class Tunnel(WebSocket):
    told = "the end of the stream"

    def __init__(self, number):
        self.client = Client(passing, timeout=GRACE + PATIENCE)

    def speak(self):
        self.client.send(b"still there?")

    def heard(self):
        return self.client.exactly(12) == b"still there?"

    def ending(self):
        return ended(self.client.sock)


class Call:
    told = "GOAWAY, and an end"
    per_connection = 5
    sides = []

    def __init__(self, number):
        if number % self.per_connection == 0:
            Call.sides.append(H2Client(secure, grpc_trust) if number // self.per_connection % 2 else H2Client(plain))
        self.stream = Call.sides[-1].open("POST", "/t.Chat/Talk", {"content-type": "application/grpc", "te": "trailers"}, end=False)
        self.wanted = 0

    def speak(self):
        self.stream.send(b"still there?")
        self.wanted += 12

    def heard(self):
        return self.stream.wait(lambda: len(self.stream.body) >= self.wanted)

    def ending(self):
        self.stream.finished(GRACE + PATIENCE)
        return self.told if self.stream.over and self.stream.side.goaway is not None else f"{self.stream} goaway={self.stream.side.goaway}"

    def close(self):
        self.stream.side.close()


KINDS = (WebSocket, Events, Call, Tunnel)


def ended(sock):
    try:
        while sock.recv(65536):
            pass
        return Tunnel.told
    except (OSError, Timeout) as error:
        return type(error).__name__


def open_all():
    return {kind: [kind(number) for number in range(EACH)] for kind in KINDS}


def check(everyone, when):
    """Something new passes through every one of them."""
    global edition
    with news:
        edition += 1
        news.notify_all()
    for kind, members in everyone.items():
        fine = 0
        try:
            for member in members:
                member.speak()
            fine = sum(bool(member.heard()) for member in members)
        except (OSError, Closed, Timeout) as error:
            note(f"{kind.__name__}: {type(error).__name__} {error}")
        same(fine, EACH, f"{when}: every {kind.__name__} is alive")


# --- the play -------------------------------------------------------------------------------------------------------

directory = tempfile.mkdtemp(prefix="goma-t-")
binary = os.path.join(directory, "goma")
shutil.copy(GOMA, binary)
goma = Goma(directory=directory, binary=binary, start=False)
ca = Authority(goma.path("tls"))
certificate = ca.issue("site", ["a.test"])
trust, grpc_trust = client_context(ca.certificate), client_context(ca.certificate, alpn=["h2"])


def configure(extra):
    goma.configure([route("/ws", echo), route("/events", feed), route("/t.Chat", grpc.url, backendProtocol="h2c"),
                    *(route(f"/extra/{number}", echo) for number in range(extra))],
                   entryPoints={"web": {"address": "127.0.0.1:0", "h2c": True}, "webSecure": {"address": "127.0.0.2:0"},
                                "passThrough": {"forwards": [{"protocol": "tcp", "port": 0, "address": "127.0.0.3", "target": f"127.0.0.1:{tcp.port}"}]}},
                   tls={"default": {"cert": certificate[0], "key": certificate[1]}}, timeouts={"drain": GRACE}, log={"level": "warn"},
                   networking={"transport": {"maxConnsPerHost": 0}})


configure(0)
goma.start()
addresses = {listener["text"]: listener["address"].removeprefix("tcp:") for listener in goma.status()["listeners"]}
plain, secure, passing = (parse_address(next(a for t, a in addresses.items() if f"127.0.0.{n}:" in t)) for n in (1, 2, 3))
everyone = open_all()
check(everyone, "at first")
for turn in range(1, RELOADS + 1):
    configure(turn)
    code, out = goma.reload()
    same(code, 0, f"reload {turn}") or note(out)
    if turn in (1, RELOADS) or turn % 10 == 0:
        check(everyone, f"after {turn} reloads")

for turn in range(1, UPGRADES + 1):
    master = goma.pid
    began = time.monotonic()
    code, out, err = goma.ctl("upgrade")
    same(code, 0, f"upgrade {turn}") or note(out + err)
    goma.started_pids.add(goma.pid)
    check(everyone, f"upgrade {turn}, in the grace")
    expect(goma.pid != master and alive(master), f"upgrade {turn}: the old process carries them", time.monotonic() - began)
    waited = []
    for kind, members in everyone.items():
        endings = [member.ending() for member in members]
        waited.append(time.monotonic() - began)
        same({e: endings.count(e) for e in endings}, {kind.told: EACH}, f"upgrade {turn}: every {kind.__name__} is told: {kind.told}")
    expect(waited[0] > GRACE - 0.5, f"upgrade {turn}: not before the grace is over", waited)
    expect(wait_for(lambda: not alive(master), 3 * PATIENCE), f"upgrade {turn}: the old process leaves")
    for member in sum(everyone.values(), []):
        member.close()
    everyone = open_all()
    check(everyone, f"upgrade {turn}: new ones at the new process")

goma.baseline = {}
for member in sum(everyone.values(), []):
    member.close()
