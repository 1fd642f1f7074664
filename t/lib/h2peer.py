# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 peers that keep the rules, on python3-h2: a client and a backend for plays about what passes, not about frames.

    client = H2Client(address)                              # h2c; context=client_context(alpn=["h2"]) for TLS
    stream = client.ask("POST", "/", body=b"...")           # a whole exchange
    stream.status, stream["content-type"], stream.body, stream.trailers

    backend = H2Origin(lambda stream: stream.reply(200, body=stream.read()))

Every stream has blocking calls, so a script reads as it does over HTTP/1.1; windows are kept by the library and opened
as bytes arrive, except while stream.hold is set. One thread reads each connection, and one runs each backend stream.
"""
import atexit
import socket
import ssl
import sys
import threading

try:
    import h2.connection
except ImportError:                                     # another Python than the distribution's comes first
    sys.path.append("/usr/lib/python3/dist-packages")
    import h2.connection
import h2.config
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from .wire import PATIENCE, SLOW, Closed, Fields, Timeout


class Sealed:
    """A socket with TLS that one thread may read while another writes, which ssl's own sockets are not made for."""

    def __init__(self, sock, context, server_side=False, name=None):
        self.sock, self.lock, self.sending = sock, threading.Lock(), threading.Lock()
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = context.wrap_bio(self.incoming, self.outgoing, server_side=server_side, server_hostname=None if server_side else name)
        self.family = sock.family
        while True:
            try:
                self.session.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.push()
                data = self.sock.recv(65536)
                if not data:
                    raise ConnectionResetError("closed in the handshake") from None
                self.incoming.write(data)
            except ssl.SSLError:
                self.push()
                raise
        self.push()

    def push(self):
        out = self.outgoing.read()
        if out:
            self.sock.sendall(out)

    def sendall(self, data):
        with self.sending:
            with self.lock:
                for at in range(0, len(data), 1 << 20):
                    self.session.write(data[at:at + (1 << 20)])
                out = self.outgoing.read()
            self.sock.sendall(out)

    def recv(self, size):
        while True:
            with self.lock:
                try:
                    return self.session.read(size)
                except ssl.SSLWantReadError:
                    pass
                except ssl.SSLZeroReturnError:
                    return b""
            data = self.sock.recv(262144)
            if not data:
                return b""
            with self.lock:
                self.incoming.write(data)

    def __getattr__(self, name):
        return getattr(self.sock, name)


class H2Stream:
    """One stream, as either side sees it. headers, trailers: Fields; reset: the peer's code or None."""

    def __init__(self, side, number):
        self.side, self.number = side, number
        self.headers, self.trailers, self.interim = None, Fields(), []
        self.body = bytearray()
        self.ended = self.lost = self.hold = False
        self.reset = None
        self.unread = 0                 # bytes received whose window is not open again

    def __getitem__(self, name):
        return self.headers.get(name) if self.headers else None

    def __repr__(self):
        return f"<stream {self.number} {self.headers} {len(self.body)} bytes ended={self.ended} reset={self.reset} lost={self.lost}>"

    @property
    def status(self):
        return int(self[":status"]) if self[":status"] else None

    @property
    def method(self):
        return self[":method"]

    @property
    def target(self):
        return self[":path"]

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    @property
    def over(self):
        """Nothing more comes."""
        return self.ended or self.reset is not None or self.lost

    @property
    def complete(self):
        """Ended well: a reset without error behind a whole answer only stops the rest of the request (RFC 9113, 8.1)."""
        return self.ended and self.reset in (None, 0)

    # -- waiting

    def wait(self, condition, timeout=PATIENCE):
        """condition() or the end of the stream; its value."""
        with self.side.lock:
            self.side.lock.wait_for(lambda: condition() or self.over, timeout)
            return condition()

    def head(self, timeout=PATIENCE):
        if not self.wait(lambda: self.headers is not None, timeout):
            raise (Closed if self.over else Timeout)(f"no head on {self}")
        return self

    def read(self, timeout=60 * SLOW):
        """The whole body; raises Closed when the stream ends short."""
        self.wait(lambda: self.ended, timeout)
        if not self.complete:
            raise (Closed if self.over else Timeout)(f"no end on {self}")
        return bytes(self.body)

    def finished(self, timeout=60 * SLOW):
        """Waits for the end of any kind; self."""
        self.wait(lambda: self.over, timeout)
        return self

    def go_on(self):
        """Ends hold: the window is opened again."""
        with self.side.lock:
            self.hold = False
            self.side.open_window(self)

    # -- sending

    def send_headers(self, fields, end=False):
        with self.side.lock:
            self.side.connection.send_headers(self.number, list(fields), end_stream=end)
            self.side.flush()

    def send(self, data, end=False):
        """Body, as far as the peer's windows allow; waits for them. Raises Closed when the stream is gone."""
        view = memoryview(data.encode() if isinstance(data, str) else data)
        while True:
            with self.side.lock:
                if not self.side.lock.wait_for(lambda: self.gone() or self.room() > 0 or not view, 60 * SLOW):
                    raise Timeout(f"no window on {self}")
                if self.gone():
                    raise Closed(f"{self} is gone")
                size = min(self.room(), len(view))
                last = end and size == len(view)
                if size or last:
                    self.side.connection.send_data(self.number, bytes(view[:size]), end_stream=last)
                    self.side.flush()
                view = view[size:]
                if not view:
                    return

    def gone(self):
        return self.reset is not None or self.lost

    def room(self):
        try:
            return min(self.side.connection.local_flow_control_window(self.number), self.side.connection.max_outbound_frame_size)
        except h2.exceptions.ProtocolError:
            return 0

    def send_trailers(self, fields):
        self.send_headers(fields, end=True)

    def abort(self, code=h2.errors.ErrorCodes.CANCEL):
        with self.side.lock:
            try:
                self.side.connection.reset_stream(self.number, code)
            except h2.exceptions.ProtocolError:
                pass
            self.side.flush()

    # -- a backend's words

    def reply(self, status=200, headers=(), body=b"", trailers=()):
        body = body.encode() if isinstance(body, str) else body
        fields = [(":status", str(status)), *headers]
        if not trailers:
            fields.append(("content-length", str(len(body))))
        self.send_headers(fields, end=not body and not trailers)
        if body:
            self.send(body, end=not trailers)
        if trailers:
            self.send_trailers(trailers)


class Connection(h2.connection.H2Connection):
    """The library takes every GOAWAY for the end; one without an error lets open streams finish (RFC 9113, 6.8)."""

    def _receive_goaway_frame(self, frame):
        state = self.state_machine.state
        told = super()._receive_goaway_frame(frame)
        if frame.error_code == 0:
            self.state_machine.state = state
        return told


class H2Side:
    """One connection of either role."""
    live = set()

    def __init__(self, sock, client_side, settings=None):
        self.sock = sock
        self.lock = threading.Condition(threading.RLock())
        self.streams = {}
        self.closed = False
        self.goaway = None
        self.connection = Connection(h2.config.H2Configuration(
            client_side=client_side, header_encoding="utf-8", validate_outbound_headers=False))
        if settings:
            self.connection.local_settings.update(settings)
        sock.settimeout(None)
        H2Side.live.add(self)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def begin(self):
        with self.lock:
            self.connection.initiate_connection()
            self.connection.increment_flow_control_window(1 << 22)
            self.flush()
        threading.Thread(target=self.run, daemon=True).start()
        return self

    def flush(self):
        out = self.connection.data_to_send()
        if out and not self.closed:
            try:
                self.sock.sendall(out)
            except OSError:
                pass

    def run(self):
        try:
            while data := self.receive():
                with self.lock:
                    for event in self.connection.receive_data(data):
                        self.on_event(event)
                    self.flush()
                    self.lock.notify_all()
        except h2.exceptions.ProtocolError as error:
            self.fault = error
            with self.lock:
                self.flush()
        finally:
            self.end()

    fault = None

    def receive(self):
        try:
            return self.sock.recv(262144)
        except (OSError, ValueError):
            return b""

    def end(self):
        with self.lock:
            self.closed = True
            for stream in self.streams.values():
                stream.lost = stream.lost or not stream.over
            self.lock.notify_all()

    def on_event(self, event):
        number = getattr(event, "stream_id", None)
        if isinstance(event, h2.events.RequestReceived):
            stream = self.streams[number] = H2Stream(self, number)
            stream.headers = Fields(event.headers)
            self.on_request(stream)
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = (event.last_stream_id, event.error_code)
        if number not in self.streams:
            return
        stream = self.streams[number]
        if isinstance(event, h2.events.ResponseReceived):
            stream.headers = Fields(event.headers)
        elif isinstance(event, h2.events.InformationalResponseReceived):
            stream.interim.append(Fields(event.headers))
        elif isinstance(event, h2.events.DataReceived):
            stream.body += event.data
            stream.unread += event.flow_controlled_length
            self.open_window(stream)
        elif isinstance(event, h2.events.TrailersReceived):
            stream.trailers = Fields(event.headers)
        elif isinstance(event, h2.events.StreamReset):
            stream.reset = event.error_code
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended = True

    def on_request(self, stream):
        pass

    def open_window(self, stream):
        if stream.hold or not stream.unread:
            return
        size, stream.unread = stream.unread, 0
        try:
            self.connection.acknowledge_received_data(size, stream.number)
        except h2.exceptions.ProtocolError:
            pass
        self.flush()

    def close(self):
        H2Side.live.discard(self)
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()


class H2Client(H2Side):
    """A client connection: h2c by prior knowledge, or over TLS with a context that offers h2."""
    host = "a.test"

    def __init__(self, address, context=None, name=None, settings=None, timeout=PATIENCE):
        sock = socket.create_connection(address, timeout)
        self.scheme = "http"
        if context is not None:
            sock = Sealed(sock, context, name=name or self.host)
            self.scheme, self.protocol = "https", sock.session.selected_alpn_protocol()
            if self.protocol != "h2":
                raise Closed(f"the server chose {self.protocol}")
        super().__init__(sock, True, settings)
        self.begin()

    def open(self, method="GET", target="/", headers=(), end=True):
        """Sends a request's head."""
        more = list(headers.items() if isinstance(headers, dict) else headers)
        fields = [(":method", method), (":scheme", self.scheme), (":authority", self.host), (":path", target)]
        with self.lock:
            number = self.connection.get_next_available_stream_id()
            stream = self.streams[number] = H2Stream(self, number)
            self.connection.send_headers(number, fields + [(n.lower(), str(v)) for n, v in more], end_stream=end)
            self.flush()
        return stream

    def ask(self, method="GET", target="/", headers=(), body=None, trailers=()):
        """A whole exchange; the stream at its end, of whatever kind. An early answer ends the sending."""
        stream = self.open(method, target, headers, end=body is None and not trailers)
        try:
            if body is not None:
                stream.send(body, end=not trailers)
            if trailers:
                stream.send_trailers(trailers)
        except Closed:
            pass
        return stream.finished()

    def get(self, target="/", headers=()):
        return self.ask("GET", target, headers)


class H2Origin:
    """A scripted HTTP/2 backend: handler(stream) runs in a thread when a request's head is there.

    requests holds every stream, connections counts accepts. context: an ssl server context; None is h2c.
    """
    live = set()

    def __init__(self, handler, context=None, settings=None, host="127.0.0.1", port=0):
        self.handler, self.context, self.settings = handler, context, settings
        self.listener = socket.create_server((host, port), backlog=128)
        self.host, self.port = host, self.listener.getsockname()[1]
        self.lock = threading.Condition()
        self.requests, self.sides, self.connections, self.errors = [], set(), 0, []
        self.stopped = False
        H2Origin.live.add(self)
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def url(self):
        return f"{'https' if self.context else 'http'}://{self.host}:{self.port}"

    def accept(self):
        while not self.stopped:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        try:
            if self.context is not None:
                sock = Sealed(sock, self.context, server_side=True)
        except OSError as error:
            self.errors.append(error)
            return
        side = H2Side(sock, False, self.settings)
        side.on_request = self.on_request
        with self.lock:
            self.connections += 1
            self.sides.add(side)
            self.lock.notify_all()
        side.begin()

    def on_request(self, stream):
        with self.lock:
            self.requests.append(stream)
            self.lock.notify_all()
        threading.Thread(target=self.handle, args=(stream,), daemon=True).start()

    def handle(self, stream):
        try:
            self.handler(stream)
        except (OSError, Closed, Timeout, h2.exceptions.ProtocolError) as error:
            self.errors.append(error)

    def wait(self, condition, timeout=PATIENCE):
        with self.lock:
            return self.lock.wait_for(lambda: condition(self), timeout)

    @property
    def last(self):
        return self.requests[-1] if self.requests else None

    def drop(self):
        for side in list(self.sides):
            side.close()

    def stop(self):
        self.stopped = True
        H2Origin.live.discard(self)
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.drop()


@atexit.register
def _stop():
    for each in [*H2Side.live, *H2Origin.live]:
        each.close() if isinstance(each, H2Side) else each.stop()

