# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 one frame at a time (RFC 9113): builders for every frame, right or wrong, and a peer that keeps what it got.

    peer = H2(Client(goma.address))
    peer.start()
    one = peer.ask("GET", "/")                  # a whole exchange
    peer.send(headers(3, fields(("x", "y"))))   # or bytes by hand
    peer.wait(lambda: peer.goaway)

Builders return bytes and check nothing: wrong lengths, pads and codings are what they are for. The HPACK encoder is by
hand too (RFC 7541); received blocks are decoded with python3-hpack, which knows nothing of goma's side. The peer notes
in `violations` whatever the other side does against the RFC: windows exceeded, frames too large, broken blocks.
"""
import ssl
import struct
import sys
import time

try:
    import hpack
except ImportError:                                     # another Python than the distribution's comes first
    sys.path.append("/usr/lib/python3/dist-packages")
    import hpack

from .wire import PATIENCE, Client, Closed, Fields, Timeout

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
PRIORITY_UPDATE = 16
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITIZED = 0x1, 0x1, 0x4, 0x8, 0x20

CODES = ("NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
         "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
         "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED")
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = range(1, 7)
ENABLE_CONNECT_PROTOCOL, NO_RFC7540_PRIORITIES = 8, 9


def code_name(code):
    return CODES[code] if code < len(CODES) else str(code)


# --- frames ---------------------------------------------------------------------------------------------------------

def frame(kind, flags=0, stream=0, payload=b"", length=None):
    """A frame; length overrides the true one."""
    size = len(payload) if length is None else length
    return struct.pack(">I", size)[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def headers(stream, block=None, end=True, whole=True, pad=None, priority=None, flags=0):
    """HEADERS with a field block; priority: (depends on, exclusive, weight)."""
    block = block if block is not None else fields(*GET)
    flags |= (END_STREAM if end else 0) | (END_HEADERS if whole else 0)
    if priority is not None:
        flags |= PRIORITIZED
        block = struct.pack(">IB", priority[0] | priority[1] << 31, priority[2]) + block
    if pad is not None:
        flags |= PADDED
        block = bytes([pad]) + block + bytes(pad)
    return frame(HEADERS, flags, stream, block)


def continuation(stream, block=b"", whole=True):
    return frame(CONTINUATION, END_HEADERS if whole else 0, stream, block)


def data(stream, payload=b"", end=False, pad=None):
    flags = END_STREAM if end else 0
    if pad is not None:
        flags |= PADDED
        payload = bytes([pad]) + payload + bytes(pad)
    return frame(DATA, flags, stream, payload)


def reset(stream, code=8):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def settings(*pairs, ack=False, stream=0):
    return frame(SETTINGS, ACK if ack else 0, stream, b"".join(struct.pack(">HI", k, v) for k, v in pairs))


def window(stream, increment):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def ping(payload=b"12345678", ack=False):
    return frame(PING, ACK if ack else 0, 0, payload)


def priority(stream, depends=0, exclusive=False, weight=15):
    return frame(PRIORITY, 0, stream, struct.pack(">IB", depends | exclusive << 31, weight))


def goaway(last=0, code=0, debug=b""):
    return frame(GOAWAY, 0, 0, struct.pack(">II", last, code) + debug)


# --- HPACK by hand (RFC 7541) ---------------------------------------------------------------------------------------

def integer(value, prefix, first=0):
    """5.1; first holds the bits above the prefix."""
    limit = (1 << prefix) - 1
    if value < limit:
        return bytes([first | value])
    out = bytearray([first | limit])
    value -= limit
    while value >= 128:
        out.append(value % 128 | 128)
        value //= 128
    out.append(value)
    return bytes(out)


def raw(text):
    return text.encode("latin-1") if isinstance(text, str) else text


def string(text, huffman=False):
    """5.2."""
    text = raw(text)
    if not huffman:
        return integer(len(text), 7) + text
    coded = hpack.hpack.HuffmanEncoder(hpack.huffman_constants.REQUEST_CODES,
                                       hpack.huffman_constants.REQUEST_CODES_LENGTH).encode(text)
    return integer(len(coded), 7, 0x80) + coded


def indexed(index):
    return integer(index, 7, 0x80)


def _literal(first, prefix, name, value, huffman):
    start = integer(name, prefix, first) if isinstance(name, int) else bytes([first]) + string(name, huffman)
    return start + string(value, huffman)


def literal(name, value, huffman=False):
    """Without indexing; name is text, or an index."""
    return _literal(0x00, 4, name, value, huffman)


def incremental(name, value, huffman=False):
    return _literal(0x40, 6, name, value, huffman)


def never(name, value, huffman=False):
    return _literal(0x10, 4, name, value, huffman)


def resize(size):
    return integer(size, 5, 0x20)


GET = ((":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a.test"))


def fields(*pairs):
    """A block of literals that leaves the dynamic table alone."""
    return b"".join(literal(n, v) for n, v in pairs)


def request(method="GET", path="/", *more, authority="a.test", scheme="http"):
    """The fields of a request as a block."""
    return fields((":method", method), (":scheme", scheme), (":path", path), (":authority", authority), *more)


# --- a peer ---------------------------------------------------------------------------------------------------------

class Frame:
    def __init__(self, kind, flags, stream, payload):
        self.kind, self.flags, self.stream, self.payload = kind, flags, stream, payload

    def __repr__(self):
        return f"<type {self.kind} flags {self.flags:#x} stream {self.stream} {self.payload[:40]!r}>"


class Stream:
    """What arrived on one stream: head (Fields), status, body, trailers; ended by END_STREAM or reset (a code's name)."""

    def __init__(self, number, send_window):
        self.number = number
        self.heads = []
        self.interim = []
        self.headers, self.trailers = Fields(), Fields()
        self.status = None
        self.body = b""
        self.ended = False
        self.reset = None
        self.window = send_window       # what the peer may still send

    def __getitem__(self, name):
        return self.headers.get(name)

    @property
    def done(self):
        return self.ended or self.reset is not None

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    def __repr__(self):
        return f"<stream {self.number} {self.status} {self.body[:60]!r} ended={self.ended} reset={self.reset}>"


class H2:
    """One HTTP/2 connection over a Wire. acknowledge and replenish say what is answered without being asked. With
    server=True it is the other side: accept() in place of start(), next_request() and answer() in place of ask()."""

    def __init__(self, wire, acknowledge=True, replenish=True, own=(), server=False):
        self.wire = wire
        self.server = server
        self.fresh = []                                 # requests that nobody has taken yet
        self.acknowledge, self.replenish = acknowledge, replenish
        self.own = dict(own)                            # settings this side announces
        self.decoder = hpack.Decoder()
        self.decoder.max_header_list_size = 1 << 24
        self.decoder.max_allowed_table_size = self.own.get(HEADER_TABLE_SIZE, 4096)
        self.streams = {}
        self.frames = []                                # all but DATA
        self.settings = None                            # the peer's, once they came
        self.settings_acks = 0
        self.pongs = []
        self.marks = 0
        self.goaway = None                              # (last stream, name of the code, debug data)
        self.closed = False
        self.block = None                               # (stream, flags, bytes) of a block that goes on
        self.window = 65535                             # of the connection: what the peer may still send
        self.last_ask = -1
        self.violations = []

    # -- sending

    def send(self, *pieces):
        """Sends bytes; False when the peer has closed already."""
        try:
            self.wire.send(b"".join(pieces))
            return True
        except OSError:
            return False

    def start(self, *more):
        """Preface and SETTINGS, and waits for the peer's."""
        self.send(PREFACE, settings(*self.own.items()), *more)
        if not self.wait(lambda: self.settings is not None and self.settings_acks):
            raise Closed(f"no SETTINGS: {self.frames} {self.wire.buffer[:80]!r}")
        return self

    def accept(self, *more):
        """The client's preface is read, our SETTINGS are sent; False when it was none."""
        if self.wire.exactly(len(PREFACE)) != PREFACE:
            return False
        self.send(settings(*self.own.items()), *more)
        return True

    def next_request(self, whole=True):
        """The stream of the next request, when its end has come (or only its head); None at the end."""
        ready = lambda: [s for s in self.fresh if s.done or not whole]
        if not self.wait(ready, 60):
            return None
        one = ready()[0]
        self.fresh.remove(one)
        return one

    def answer(self, stream, status=200, *more, body=b"", end=True):
        number = stream.number
        self.send(headers(number, fields((":status", str(status)), *more), end=end and not body))
        for i in range(0, len(body), 16384):
            self.send(data(number, body[i:i + 16384], end=end and i + 16384 >= len(body)))

    def next_stream(self):
        self.last_ask += 2
        return self.last_ask

    def ask(self, method="GET", path="/", *more, body=None, trailers=None, wait=True, **pseudo):
        """One request on the next stream; waits for its end."""
        number = self.next_stream()
        end = body is None and trailers is None
        out = headers(number, request(method, path, *more, **pseudo), end=end)
        if body is not None:
            parts = [body[i:i + 16384] for i in range(0, len(body), 16384)] or [b""]
            for i, part in enumerate(parts):
                out += data(number, part, end=trailers is None and i == len(parts) - 1)
        if trailers is not None:
            out += headers(number, fields(*trailers))
        self.send(out)
        stream = self.stream(number)
        if wait:
            self.wait(lambda: stream.done)
        return stream

    # -- receiving

    def stream(self, number):
        if number not in self.streams:
            self.streams[number] = Stream(number, self.own.get(INITIAL_WINDOW_SIZE, 65535))
        return self.streams[number]

    def grant(self, number, increment):
        """Opens a window (0: the connection's) and keeps the account."""
        if number:
            self.stream(number).window += increment
        else:
            self.window += increment
        return self.send(window(number, increment))

    def pump(self):
        """Reads one frame and files it; None at the end of the connection."""
        head = self.wire.exactly(9)
        if len(head) < 9:
            self.closed = True
            return None
        size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        number = int.from_bytes(head[5:], "big") & 0x7fffffff
        payload = self.wire.exactly(size)
        got = Frame(kind, flags, number, payload)
        if size > self.own.get(MAX_FRAME_SIZE, 16384):
            self.violations.append(f"a frame of {size} bytes: {got}")
        if self.block and (kind != CONTINUATION or number != self.block[0]):
            self.violations.append(f"inside a field block: {got}")
        if kind != DATA:
            self.frames.append(got)
        self.file(got)
        return got

    def file(self, got):
        actions = {DATA: self.on_data, HEADERS: self.on_headers, CONTINUATION: self.on_continuation,
                   SETTINGS: self.on_settings, PING: self.on_ping, GOAWAY: self.on_goaway, RST_STREAM: self.on_reset,
                   WINDOW_UPDATE: lambda f: None}
        if got.kind in actions:
            actions[got.kind](got)
        else:
            self.violations.append(f"unexpected {got}")

    def on_data(self, got):
        stream = self.stream(got.stream)
        if stream.done or (stream.status is None and not stream.headers):
            self.violations.append(f"DATA where none may be: {got}")
        stream.window -= len(got.payload)
        self.window -= len(got.payload)
        if got.payload and (stream.window < 0 or self.window < 0):
            self.violations.append(f"window exceeded: stream {stream.window}, connection {self.window}")
        padding = got.payload[0] + 1 if got.flags & PADDED else 0
        stream.body += got.payload[1:len(got.payload) - padding + 1] if padding else got.payload
        stream.ended = bool(got.flags & END_STREAM)
        if self.replenish and self.window <= 49152:  # in steps, as clients do: else frames become ever smaller
            self.grant(0, 65535 - self.window)
        if self.replenish and not stream.ended and stream.window <= 49152:
            self.grant(got.stream, 65535 - stream.window)

    def on_headers(self, got):
        payload = got.payload
        if got.flags & PADDED:
            payload = payload[1:len(payload) - payload[0]]
        if got.flags & PRIORITIZED:
            payload = payload[5:]
        self.block = (got.stream, got.flags, payload)
        self.block_done(got.flags)

    def on_continuation(self, got):
        if self.block is None:
            self.violations.append(f"CONTINUATION without HEADERS: {got}")
            return
        self.block = (self.block[0], self.block[1], self.block[2] + got.payload)
        self.block_done(got.flags)

    def block_done(self, flags):
        if not flags & END_HEADERS:
            return
        number, first_flags, block = self.block
        self.block = None
        stream = self.stream(number)
        got = Fields((n.decode("latin-1"), v.decode("latin-1")) for n, v in self.decoder.decode(block, raw=True))
        self.check_fields(number, got)
        if self.server:
            self.on_request(stream, got)
            stream.ended = bool(first_flags & END_STREAM)
            return
        status = got.get(":status")
        if stream.done or (stream.status is not None and status is not None) or (stream.status is None and status is None):
            self.violations.append(f"HEADERS where none may be on {stream}: {got}")
        elif status is None:
            stream.trailers = got
        elif int(status) < 200:
            stream.interim.append((int(status), got))
        else:
            stream.status, stream.headers = int(status), got
        stream.ended = bool(first_flags & END_STREAM)

    def on_request(self, stream, got):
        if not stream.headers:
            stream.headers = got
            self.fresh.append(stream)
        elif stream.done or any(n.startswith(":") for n, _ in got):
            self.violations.append(f"HEADERS where none may be on {stream}: {got}")
        else:
            stream.trailers = got

    def check_fields(self, number, got):
        for name, value in got:
            bad = name != name.lower() or name in ("connection", "keep-alive", "transfer-encoding", "upgrade", "proxy-connection")
            if bad or value != value.strip(" \t") or any(c in value for c in "\r\n\0"):
                self.violations.append(f"field on stream {number}: {name}: {value}")

    def on_settings(self, got):
        if got.flags & ACK:
            self.settings_acks += 1
            return
        if self.settings is None and self.frames[0] is not got:
            self.violations.append(f"SETTINGS not first: {self.frames}")
        pairs = dict(struct.unpack(">HI", got.payload[i:i + 6]) for i in range(0, len(got.payload), 6))
        self.settings = {**(self.settings or {}), **pairs}
        if self.acknowledge:
            self.send(settings(ack=True))

    def on_ping(self, got):
        if got.flags & ACK:
            self.pongs.append(got.payload)
        elif self.acknowledge:
            self.send(ping(got.payload, ack=True))

    def on_goaway(self, got):
        last, code = struct.unpack(">II", got.payload[:8])
        self.goaway = (last & 0x7fffffff, code_name(code), got.payload[8:])

    def on_reset(self, got):
        self.stream(got.stream).reset = code_name(struct.unpack(">I", got.payload)[0])

    # -- waiting

    def wait(self, condition, timeout=PATIENCE):
        """Reads frames until condition() holds; its value, or that at the end of the connection or of the time."""
        deadline = time.monotonic() + timeout
        while not (value := condition()) and not self.closed:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self.wire.sock.settimeout(max(left, 0.001))
            try:
                self.pump()
            except Timeout:
                break
        self.wire.sock.settimeout(PATIENCE)
        return value or condition()

    def settle(self, rounds=2):
        """Until everything sent so far has been seen by the peer: PINGs there and back. False: the connection ended."""
        for _ in range(rounds):
            self.marks += 1
            mark = struct.pack(">4sI", b"mark", self.marks)
            self.send(ping(mark))
            if not self.wait(lambda mark=mark: mark in self.pongs):
                return False
        return True

    def ended(self, timeout=PATIENCE):
        """The peer closes the connection within timeout."""
        self.wait(lambda: self.closed, timeout)
        return self.closed

    def hung_up(self):
        """The peer closes the connection; what it says before is not looked at."""
        try:
            while self.wire.fill():
                pass
        except Timeout:
            return False
        return True

    @property
    def error(self):
        """The name of the code in the GOAWAY, if one came."""
        return self.goaway[1] if self.goaway else None

    def close(self):
        self.wire.close()


def seal(client, alpn=("h2",), host="a.test"):
    """TLS on a connected Client, trusting anybody; returns it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(list(alpn))
    client.sock = context.wrap_socket(client.sock, server_hostname=host)
    return client


def dial(address, tls=False, settings=(), start=True, timeout=PATIENCE, receive_buffer=None, more=(), **options):
    """A started H2 client connection to an address."""
    client = Client(address, timeout=timeout, receive_buffer=receive_buffer)
    peer = H2(seal(client) if tls else client, own=settings, **options)
    return peer.start(*more) if start else peer
