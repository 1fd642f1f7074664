# SPDX-License-Identifier: Apache-2.0
"""The scripted peers of the end-to-end tests: Client and Origin.

Both speak raw HTTP/1.1 over blocking sockets, one thread per origin
connection, and neither hides a byte: what was received is kept as received,
and anything at all can be sent. They know nothing of goma.

A Client raises Closed when the peer ends the connection where an answer was
due and Timeout when nothing comes; a response that ends short of its framing
is returned with complete == False.
"""
import collections
import os
import socket
import struct
import threading
import time

SLOW = 4 if "asan" in os.environ.get("GOMA_BIN", "") else 1
PATIENCE = 10 * SLOW            # seconds until a wait is given up


class Closed(Exception):
    """The peer closed or reset the connection where bytes were due."""


class Timeout(Exception):
    """Nothing came in time."""


class Fields(list):
    """Header fields in order, as (name, value) text; names compare without case."""

    def get(self, name, default=None):
        values = self.all(name)
        return values[0] if values else default

    def all(self, name):
        return [v for n, v in self if n.lower() == name.lower()]


class Message:
    """What requests and responses share: fields by m["name"], `"name" in m`, m.body, m.trailers."""
    start = ""
    complete = True

    def __init__(self, head):
        self.head = head
        lines = head.decode("latin-1").split("\r\n")
        self.start = lines[0]
        self.headers = Fields()
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.headers.append((name, value.strip(" \t")))
        self.body = b""
        self.trailers = Fields()

    def __getitem__(self, name):
        return self.headers.get(name)

    def __contains__(self, name):
        return self.headers.get(name) is not None

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")


class Request(Message):
    def __init__(self, head):
        super().__init__(head)
        parts = self.start.split(" ")
        self.method, self.target = parts[0], " ".join(parts[1:-1])
        self.version = parts[-1]


class Response(Message):
    def __init__(self, head):
        super().__init__(head)
        version, _, rest = self.start.partition(" ")
        self.version = version
        self.status = int(rest[:3])
        self.reason = rest[4:]
        self.interim = []

    def __repr__(self):
        return f"<{self.start} {dict(self.headers)} {self.body[:80]!r}>"


class Wire:
    """A socket with a read buffer and the framing of RFC 9112, section 6."""

    def __init__(self, sock, timeout=PATIENCE):
        self.sock = sock
        self.buffer = b""
        self.ended = False
        self.received = b""             # everything ever read, for assertions on raw bytes
        self.keep_received = False
        sock.settimeout(timeout)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data):
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def fill(self, size=65536):
        """Reads once; False at the end of the stream. A reset is an end too."""
        if self.ended:
            return False
        try:
            data = self.sock.recv(size)
        except socket.timeout:
            raise Timeout(f"nothing in {self.sock.gettimeout()} s, have {self.buffer[:120]!r}") from None
        except OSError:
            data = b""
        if not data:
            self.ended = True
            return False
        if self.keep_received:
            self.received += data
        self.buffer += data
        return True

    def until(self, mark):
        while mark not in self.buffer:
            if not self.fill():
                raise Closed(f"end of stream, have {self.buffer[:200]!r}")
        part, _, self.buffer = self.buffer.partition(mark)
        return part

    def exactly(self, count):
        """Reads count bytes; fewer only at the end of the stream."""
        parts, have = [self.buffer], len(self.buffer)
        self.buffer = b""
        while have < count and self.fill(min(count - have, 1 << 20)):
            parts.append(self.buffer)
            have += len(self.buffer)
            self.buffer = b""
        data = b"".join(parts)
        self.buffer = data[count:]
        return data[:count]

    def chunked_into(self, message):
        body = []
        while True:
            size = int(self.until(b"\r\n").split(b";")[0], 16)
            if size == 0:
                break
            body.append(self.exactly(size))
            if len(body[-1]) < size or self.exactly(2) != b"\r\n":
                message.body = b"".join(body)
                raise Closed("inside a chunk")
        message.body = b"".join(body)
        while line := self.until(b"\r\n"):
            name, _, value = line.decode("latin-1").partition(":")
            message.trailers.append((name, value.strip()))

    def body_into(self, message, to_end):
        if "chunked" in (message["transfer-encoding"] or "").lower():
            self.chunked_into(message)
        elif "content-length" in message:
            want = int(message["content-length"])
            message.body = self.exactly(want)
            message.complete = len(message.body) == want
        elif to_end:
            message.body = self.exactly(1 << 62)

    def close(self):
        self.sock.close()

    def reset(self):
        """Ends the connection with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def shut(self):
        """Half-close: no more from this side."""
        self.sock.shutdown(socket.SHUT_WR)

    def is_closed(self, timeout=PATIENCE):
        """True when the peer ends the connection within timeout without sending more."""
        self.sock.settimeout(timeout)
        try:
            return not self.buffer and not self.fill()
        except Timeout:
            return False


def encode(method, target, headers, body=None, version="HTTP/1.1"):
    head = f"{method} {target} {version}\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers) + "\r\n"
    return head.encode("latin-1") + (body or b"")


class Client(Wire):
    """A client connection. Client(address, source=ip) binds the local address."""
    live = set()

    def __init__(self, address, timeout=PATIENCE, source=None, receive_buffer=None):
        unix = isinstance(address, str)
        sock = socket.socket(socket.AF_UNIX if unix else socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            sock.bind((source, 0))
        sock.settimeout(timeout)
        sock.connect(address)
        super().__init__(sock, timeout)
        self.host = "a.test"
        Client.live.add(self)

    def close(self):
        Client.live.discard(self)
        super().close()

    def request(self, method="GET", target="/", headers=None, body=None, version="HTTP/1.1", read=True):
        """Sends one request (Host and Content-Length added where missing) and reads its response."""
        headers = list((headers or {}).items() if isinstance(headers, dict) else headers or [])
        names = {n.lower() for n, _ in headers}
        if "host" not in names:
            headers.insert(0, ("Host", self.host))
        if body is not None and not names & {"content-length", "transfer-encoding"}:
            headers.append(("Content-Length", len(body)))
        self.send(encode(method, target, headers, body, version))
        return self.response(method) if read else None

    def get(self, target="/", headers=None):
        return self.request("GET", target, headers)

    def response(self, method="GET"):
        """Reads one final response with the interim ones before it."""
        interim = []
        while True:
            response = Response(self.until(b"\r\n\r\n"))
            if response.status >= 200 or response.status == 101:
                break
            interim.append(response)
        response.interim = interim
        bodiless = method == "HEAD" or response.status in (101, 204, 304)
        if not bodiless:
            try:
                self.body_into(response, to_end=True)
            except Closed:
                response.complete = False
        return response

    def outcome(self, method="GET"):
        """The status of the next response, or "closed"."""
        try:
            return self.response(method).status
        except Closed:
            return "closed"


class Reply:
    """What an Origin handler returns. chunks: a list of bytes sent as chunks; length overrides Content-Length."""

    def __init__(self, status=200, headers=(), body=b"", chunks=None, trailers=(), length=None, close=False,
                 reason="Scripted"):
        self.status, self.body, self.chunks = status, body.encode() if isinstance(body, str) else body, chunks
        self.headers = list(headers.items() if isinstance(headers, dict) else headers)
        self.trailers, self.length, self.close, self.reason = trailers, length, close, reason

    def encode(self, method):
        headers = list(self.headers)
        bodiless = method == "HEAD" or self.status in (204, 304)
        tail = self.body
        if self.chunks is not None:
            headers.append(("Transfer-Encoding", "chunked"))
            tail = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in self.chunks if c) + b"0\r\n"
            tail += "".join(f"{n}: {v}\r\n" for n, v in self.trailers).encode() + b"\r\n"
        elif self.status not in (204, 304) or self.length is not None:
            headers.append(("Content-Length", len(self.body) if self.length is None else self.length))
        if self.close:
            headers.append(("Connection", "close"))
        head = f"HTTP/1.1 {self.status} {self.reason}\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers) + "\r\n"
        return head.encode("latin-1") + (b"" if bodiless else tail)


class OriginConnection(Wire):
    """One connection accepted by an Origin; `number` counts from 1."""
    number = 0

    def request(self):
        """Reads one request whole; None at the end of the stream."""
        try:
            message = Request(self.until(b"\r\n\r\n"))
            self.body_into(message, to_end=False)
        except (Closed, Timeout):
            return None
        message.connection = self
        return message

    def head(self):
        """Reads one request head only; None at the end of the stream."""
        try:
            return Request(self.until(b"\r\n\r\n"))
        except (Closed, Timeout):
            return None


class Origin:
    """A scripted backend on a free port of 127.0.0.1 (or host).

    Origin(handler): handler(request) returns a Reply, raw bytes, or None (close without an answer).
    Origin(script=f): f(connection) owns the connection; it is closed when f returns.
    tls: an ssl.SSLContext; connection.sock is the TLS socket then.
    requests holds every request read by a handler; connections counts accepts.
    """
    live = set()

    def __init__(self, handler=None, script=None, name="origin", host="127.0.0.1", port=0, tls=None):
        self.tls = tls
        self.handler = handler or (lambda request: Reply(200, body=name))
        self.script = script or self.serve
        self.name = name
        self.lock = threading.Condition()
        self.requests = []
        self.connections = 0
        self.open = set()
        self.listener = socket.create_server((host, port), backlog=1024,
                                             family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.host, self.port = host, self.listener.getsockname()[1]
        self.stopped = False
        Origin.live.add(self)
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def url(self):
        scheme = "https" if self.tls else "http"
        return f"{scheme}://[{self.host}]:{self.port}" if ":" in self.host else f"{scheme}://{self.host}:{self.port}"

    def accept(self):
        while not self.stopped:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            connection = OriginConnection(sock, timeout=60 * SLOW)
            with self.lock:
                self.connections += 1
                connection.number = self.connections
                self.open.add(connection)
                self.lock.notify_all()
            threading.Thread(target=self.run, args=(connection,), daemon=True).start()

    def run(self, connection):
        try:
            if self.tls:
                connection.sock = self.tls.wrap_socket(connection.sock, server_side=True)
            self.script(connection)
        except (OSError, Closed, Timeout, ValueError):
            pass
        finally:
            with self.lock:
                self.open.discard(connection)
            connection.close()

    def serve(self, connection):
        while request := connection.request():
            with self.lock:
                self.requests.append(request)
                self.lock.notify_all()
            reply = self.handler(request)
            if reply is None:
                return
            connection.send(reply if isinstance(reply, bytes) else reply.encode(request.method))
            if getattr(reply, "close", False):
                return

    def record(self, request):
        """For scripts: notes a request as received."""
        with self.lock:
            self.requests.append(request)
            self.lock.notify_all()

    def wait(self, condition, timeout=PATIENCE):
        """Waits until condition(origin) holds; False when it does not in time."""
        with self.lock:
            return self.lock.wait_for(lambda: condition(self), timeout)

    @property
    def last(self):
        return self.requests[-1] if self.requests else None

    def clear(self):
        with self.lock:
            self.requests.clear()

    def drop(self):
        """Closes every open connection, the listener stays."""
        with self.lock:
            for connection in list(self.open):
                try:
                    connection.sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def stop(self):
        self.stopped = True
        Origin.live.discard(self)
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.drop()


def refused_port():
    """A port of 127.0.0.1 on which nobody listens, kept by a bound socket."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    refused_port.kept.append(sock)
    return sock.getsockname()[1]


refused_port.kept = []


class Load:
    """Steady traffic from several threads; every request must be answered with `status`.

    failures holds a line per failed request. keepalive=False opens a connection per request.
    """

    def __init__(self, address, target="/", threads=4, keepalive=True, status=200, headers=(), host="a.test"):
        self.address, self.keepalive, self.status = address, keepalive, status
        extra = "".join(f"{n}: {v}\r\n" for n, v in headers)
        extra += "" if keepalive else "Connection: close\r\n"
        self.bytes = f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{extra}\r\n".encode()
        self.done = threading.Event()
        self.count = collections.Counter()
        self.failures = []
        self.slowest = 0.0
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(threads)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        client, served = None, 0
        while not self.done.is_set():
            began = time.monotonic()
            where = "connect"
            try:
                if client is None:
                    client, served = Client(self.address, timeout=20 * SLOW), 0
                where = "send" if served == 0 else f"send after {served}"
                client.send(self.bytes)
                where = "answer" if served == 0 else f"answer after {served}"
                response = client.response()
                served += 1
                if response.status != self.status or not response.complete:
                    self.failures.append(f"{response.status} complete={response.complete} {response.text[:60]}")
                self.count[number] += 1
                self.slowest = max(self.slowest, time.monotonic() - began)
                if not self.keepalive or "close" in (response["connection"] or ""):
                    client.close()
                    client = None
            except (OSError, Closed, Timeout, ValueError) as error:
                self.failures.append(f"{where}: {type(error).__name__} {error}")
                if client:
                    client.close()
                client = None
                self.done.wait(0.01)
        if client:
            client.close()

    @property
    def total(self):
        return sum(self.count.values())

    def stop(self):
        """Ends the traffic; returns the number of requests answered."""
        self.done.set()
        for thread in self.threads:
            thread.join(30 * SLOW)
        return self.total
