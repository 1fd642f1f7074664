#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 to backends: many exchanges on one connection, and no trouble of one that reaches another."""
import ssl
import sys
import threading

from lib.goma import *
from lib.tls import Authority

try:
    import h2.config
except ImportError:     # a python3 that is not the distribution's
    sys.path.append("/usr/lib/python3/dist-packages")
import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import hyperframe.frame


class Peer:
    """One connection of an H2Origin, served by one thread; handlers may answer later with answer()."""

    def __init__(self, origin, sock):
        self.origin, self.sock = origin, sock
        self.lock = threading.RLock()
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.requests, self.queues, self.last = {}, {}, 1 << 31

    def run(self):
        with self.lock:
            self.h2.local_settings = h2.settings.Settings(client=False, initial_values={
                h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: self.origin.streams, h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 20})
            self.h2.initiate_connection()
            self.h2.increment_flow_control_window(1 << 24)
            self.write()
        try:
            while data := self.sock.recv(65536):
                with self.lock:
                    for event in self.h2.receive_data(data):
                        self.meet(event)
                    self.drain()
                    self.write()
        except h2.exceptions.H2Error as error:
            note(f"{type(error).__name__}: {error}")

    def meet(self, event):
        if isinstance(event, h2.events.RequestReceived):
            self.requests[event.stream_id] = dict(event.headers, body=b"", stream=event.stream_id, peer=self)
            self.origin.began(self.requests[event.stream_id])
        elif isinstance(event, h2.events.DataReceived):
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            self.requests[event.stream_id]["body"] += event.data
        elif isinstance(event, h2.events.TrailersReceived):
            self.requests[event.stream_id]["trailers"] = dict(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            if event.stream_id <= self.last:
                self.origin.complete(self.requests[event.stream_id])
        elif isinstance(event, h2.events.StreamReset):
            self.queues.pop(event.stream_id, None)
            self.origin.resets.append(event.error_code)

    def answer(self, request, status=200, body=b"", headers=(), trailers=None, end=True):
        with self.lock:
            stream = request["stream"]
            self.h2.send_headers(stream, [(":status", str(status)), *headers], end_stream=not body and trailers is None)
            if body or trailers is not None:
                self.queues[stream] = [body, trailers, end]
            self.drain()
            self.write()

    def drain(self):
        """Content as far as the windows allow."""
        for stream, (body, trailers, end) in list(self.queues.items()):
            while body and (room := min(self.h2.local_flow_control_window(stream), 16384, len(body))) > 0:
                self.h2.send_data(stream, body[:room], end_stream=end and room == len(body) and trailers is None)
                body = body[room:]
            self.queues[stream][0] = body
            if not body:
                if trailers is not None:
                    self.h2.send_headers(stream, trailers, end_stream=True)
                del self.queues[stream]

    def reset(self, request, code):
        with self.lock:
            self.h2.reset_stream(request["stream"], code)
            self.write()

    def go_away(self, last):
        with self.lock:
            self.last = last
            frame = hyperframe.frame.GoAwayFrame(0, last_stream_id=last)    # h2 itself would end everything
            self.sock.sendall(self.h2.data_to_send() + frame.serialize())

    def write(self):
        self.sock.sendall(self.h2.data_to_send())


class H2Origin(Origin):
    """handler(request) is called with complete requests; early(request) with heads."""

    def __init__(self, handler, early=None, streams=100, tls=None):
        self.complete, self.early, self.streams = handler, early, streams
        self.resets, self.heads, self.peers = [], [], []
        super().__init__(script=self.speak, tls=tls)

    def speak(self, connection):
        if self.tls and connection.sock.selected_alpn_protocol() != "h2":
            return self.serve(connection)
        self.peers.append(peer := Peer(self, connection.sock))
        peer.run()

    def began(self, request):
        self.heads.append(request)
        if self.early:
            self.early(request)

    def wait_heads(self, n):
        return wait_for(lambda: len(self.heads) >= n)


home = tempfile.mkdtemp(prefix="goma-pki-")
atexit.register(shutil.rmtree, home, True)
ca = Authority(home)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(*ca.issue("good", ["localhost"]))
context.set_alpn_protocols(["h2", "http/1.1"])
only_h1 = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
only_h1.load_cert_chain(ca.path("good.crt"), ca.path("good.key"))
only_h1.set_alpn_protocols(["http/1.1"])
held = []
refusals = []
size = 16 if LONG else 2
blob = os.urandom(size << 20)


def judge(request):
    """Answers by the path."""
    peer, path = request["peer"], request[":path"]
    if "/hold" in path:
        held.append(request)
    elif "/refuse" in path and len(refusals) < 1:
        refusals.append(request[":method"])
        peer.reset(request, h2.errors.ErrorCodes.REFUSED_STREAM)
    elif "/reset" in path:
        peer.reset(request, h2.errors.ErrorCodes.INTERNAL_ERROR)
    elif "/half" in path:
        peer.answer(request, 200, b"x" * 10, [("content-length", "20")], end=False)
        peer.reset(request, h2.errors.ErrorCodes.INTERNAL_ERROR)
    elif "/short" in path:
        peer.answer(request, 200, b"x" * 10, [("content-length", "20")])
    elif "/trailers" in path:
        peer.answer(request, 200, b"body", [("x-te", request.get("te", "-"))], [("grpc-status", "0"), ("x-sum", "ok")])
    elif "/empty" in path:
        peer.answer(request, 204)
    elif "/echo" in path:
        peer.answer(request, 200, request["body"], [("x-trailer", request.get("trailers", {}).get("x-end", "-"))])
    elif "/big" in path:
        peer.answer(request, 200, blob, [("content-length", str(len(blob)))])
    elif "/hints" in path:
        with peer.lock:
            peer.h2.send_headers(request["stream"], [(":status", "103"), ("link", "</a.css>")])
        peer.answer(request, 200, b"after")
    elif "/many" in path:
        peer.answer(request, 200, b"", [(f"x-{i}", "y") for i in range(int(path[6:]))])
    else:
        peer.answer(request, 200, f"{request[':scheme']} {request[':authority']}".encode(), [("content-type", "text/plain")])


def early(request):
    if "/early" in request[":path"]:
        request["peer"].answer(request, 413, b"too much")


origin = H2Origin(judge, early)
narrow = H2Origin(judge, streams=4)
secure, old = H2Origin(judge, tls=context), Origin(tls=only_h1)
believed = {"tls": {"rootCAs": ca.certificate}}
goma = Goma([route("/", origin, name="plain", backendProtocol="h2c"), route("/narrow", narrow, name="narrow", backendProtocol="h2c"),
             route("/s", f"https://localhost:{secure.port}", name="secure", security=believed),
             route("/one", f"https://localhost:{secure.port}", name="one", security=believed, backendProtocol="http1"),
             route("/old", f"https://localhost:{old.port}", name="old", security=believed)],
            workers=1, networking={"transport": {"maxConnsPerHost": 2}, "backendMaxHeaders": 1000})


def asked(target):
    client = goma.client()
    client.request("GET", target, read=False)
    return client


reply = goma.get("/x", {"Host": "a.test"})
same((reply.status, reply.text), (200, "http a.test"), "a request by HTTP/2 without TLS") or note(goma.output)
same(goma.get("/s/x").text, "https a.test", "and with TLS, by ALPN")
same(goma.get("/old/x").text, "origin", "a backend that agrees to HTTP/1.1 only is spoken to in that")
same(goma.get("/one/x").text, "origin", "and backendProtocol http1 does not offer HTTP/2")
upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
same(goma.get("/s/x", upgrade).text, "origin", "a request to upgrade goes by HTTP/1.1")

clients = [asked("/hold") for _ in range(60)]
expect(wait_for(lambda: len(held) == 60), "sixty requests are at the backend at once", len(held))
same(origin.connections, 1, "on one connection")
for request in held:
    request["peer"].answer(request, 200, b"now")
same({c.response().text for c in clients}, {"now"}, "all are answered")
held.clear()
clients = [asked("/narrow/hold") for _ in range(12)]
expect(wait_for(lambda: len(held) == 8), "a backend that takes four streams gets four on each of maxConnsPerHost connections", len(held))
same(narrow.connections, 2, "which are two")
done = 0
while done < 12 and wait_for(lambda: len(held) > done):
    held[done]["peer"].answer(held[done], 200, b"now")
    done += 1
same([c.outcome() for c in clients], [200] * 12, "and the others when streams end")

same(goma.get("/refuse").status, 200, "a refused stream is tried again")
refusals.clear()
same((goma.request("DELETE", "/refuse").status, refusals), (200, ["DELETE"]), "whatever the method")
refusals.clear()
same(goma.request("POST", "/refuse", body=b"").status, 200, "a POST without content too")
same(goma.request("POST", "/reset", body=b"x").status, 502, "a reset stream is 502")
same(goma.get("/x").status, 200, "and the connection goes on")
for path, what in [("/half", "a stream reset within its content"), ("/short", "content shorter than announced")]:
    reply = goma.get(path)
    expect(not reply.complete, f"{what} is no complete answer", reply)
same(goma.get("/many/300").status, 200, "three hundred fields pass")
same(goma.get("/many/1001").status, 502, "too many fields are 502")
expect(goma.told("url=/many/1001.* upstream_error=upstream-too-many-headers "), "and the log says so")
same(origin.connections, 1, "all that on the same connection")

reply = goma.get("/trailers", {"TE": "trailers"})
same((reply.text, reply["x-te"], reply.trailers.get("x-sum")), ("body", "trailers", "ok"), "trailers arrive, and TE tells that they may")
same(goma.get("/empty").status, 204, "an answer without content")
same(goma.get("/hints").text, "after", "an informational answer is not the answer")
reply = goma.request("HEAD", "/big")
same((reply.status, reply["content-length"]), (200, str(len(blob))), "HEAD keeps the length")
reply = goma.request("POST", "/echo", {"Transfer-Encoding": "chunked", "Trailer": "X-End"}, b"5\r\nhello\r\n0\r\nX-End: yes\r\n\r\n")
same((reply.text, reply["x-trailer"]), ("hello", "yes"), "trailers of a request arrive")
reply = goma.request("POST", "/early", {"Content-Length": "1000000"}, b"x" * 1000)
same((reply.status, reply.text), (413, "too much"), "an answer before the request is complete")
expect(wait_for(lambda: origin.resets), "takes the rest of the request back")
reply = goma.request("POST", "/echo", body=blob, timeout=30 * SLOW)
same((reply.status, reply.body == blob), (200, True), f"{size} MiB go and come back")
reply = goma.get("/s/big", timeout=30 * SLOW)
same((reply.status, reply.body == blob), (200, True), f"{size} MiB come over TLS")
origin.resets.clear()
held.clear()
client = asked("/hold")
wait_for(lambda: held)
client.close()
expect(wait_for(lambda: origin.resets), "a client that leaves cancels its stream", origin.resets)
slow = asked("/big")
slow.until(b"\r\n\r\n")
same(goma.get("/x").status, 200, "a client that does not read holds up nobody")
same(slow.exactly(len(blob)) == blob, True, "and gets everything in the end")
same(origin.connections, 1, "still the same connection")

# GOAWAY under load: what the backend did not take is asked again elsewhere.
before = origin.connections
load = Load(goma.address, "/x", threads=4)
for _ in range(5):
    count = load.total
    wait_for(lambda: load.total > count + 20)
    peers = len(origin.peers)
    origin.peers[-1].go_away(origin.peers[-1].h2.highest_inbound_stream_id)
    wait_for(lambda: len(origin.peers) > peers)
load.stop()
same((load.failures[:3], load.total > 100), ([], True), "GOAWAY under load loses nothing")
expect(origin.connections > before + 2, "the next connection takes over", origin.connections - before)
held.clear()
clients = [goma.client() for _ in range(4)]
for client, method, body in zip(clients, ("POST", "POST", "PATCH", "GET"), (b"x", b"", b"", None)):
    client.request(method, "/hold", body=body, read=False)
wait_for(lambda: len(held) == 4)
origin.drop()
same([c.outcome() for c in clients[:3]], [502] * 3, "a connection that breaks fails what cannot be asked again, with or without content")
expect(wait_for(lambda: len(held) == 5), "and nothing else", [r[":method"] for r in held])
held[4]["peer"].answer(held[4], 200, b"now")
same(clients[3].outcome(), 200, "a GET is asked again")
same(goma.get("/x").status, 200, "the next request makes a new one")
