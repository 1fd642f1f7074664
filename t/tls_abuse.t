#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clients that abuse TLS: half-open handshakes, records of one byte, broken and oversize records, endless key updates,
a storm of handshakes. Each is cut or served, and nobody else waits (attack case H79)."""
import os
import socket
import ssl
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.goma import *
from lib.tls import *

CONTEXT = client_context()
GET = b"GET / HTTP/1.1\r\nHost: www.test\r\n\r\n"

goma = Goma(start=False, workers=1)
ca = Authority(goma.path("tls"))
cert, key = ca.issue("www", ["www.test"])


def configure(header):
    goma.configure([route("/", name="hello", middlewares=["hello"])], [middleware("hello", "respond", {"body": "hello"})],
                   entryPoints={"web": {"address": "127.0.0.1:0"}, "webSecure": {"address": "127.0.0.2:0"}}, tls={"default": {"cert": cert, "key": key}},
                   timeouts={"header": header}, monitoring={"enableMetrics": True})


configure(1)
goma.start()
address = parse_address(goma.status()["listeners"][1]["address"])


class Session:
    """A TLS client whose sealed bytes are in the test's hands."""

    def __init__(self):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = CONTEXT.wrap_bio(self.incoming, self.outgoing, server_hostname="www.test")
        self.socket = socket.create_connection(address, PATIENCE)
        self.socket.settimeout(PATIENCE)

    def flush(self, piece=65536):
        data = self.outgoing.read()
        for at in range(0, len(data), piece):
            self.socket.sendall(data[at:at + piece])

    def step(self, function, *arguments, piece=65536):
        while True:
            try:
                result = function(*arguments)
                self.flush(piece)
                return result
            except ssl.SSLWantReadError:
                self.flush(piece)
                got = self.socket.recv(65536)
                if not got:
                    raise ConnectionError("closed")
                self.incoming.write(got)

    def shake(self, piece=65536):
        self.step(self.tls.do_handshake, piece=piece)
        return self

    def hello(self):
        """The sealed ClientHello."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self.outgoing.read()


def status(session):
    return session.step(session.tls.read, 4096).split(b"\r\n", 1)[0]


def canary():
    session = Session().shake()
    session.tls.write(GET)
    return status(session) == b"HTTP/1.1 200 OK"


def closed(peer):
    """Whether the gateway has ended a connection, politely or not."""
    peer.settimeout(PATIENCE)
    try:
        while peer.recv(65536):
            pass
    except ConnectionResetError:
        pass
    except TimeoutError:
        return False
    return True


def failed(reason):
    return goma.metrics().get(f'goma_handshake_failures_total{{reason="{reason}"}}', 0)


# --- who does not go on ------------------------------------------------------------------------------------------------

silent = [socket.create_connection(address) for _ in range(30)]
halves = [Session() for _ in range(30)]
for half in halves:
    half.socket.sendall(half.hello()[:100])
expect(canary(), "60 half-open handshakes keep nobody waiting")
begun = time.monotonic()
expect(all(closed(s) for s in silent) and all(closed(h.socket) for h in halves), "each is closed")
expect(time.monotonic() - begun < 3 * SLOW, "when the time for a head is over", time.monotonic() - begun)
expect(wait_for(lambda: failed("timeout") >= 60), "and counted", goma.metrics())

# --- odd, but allowed --------------------------------------------------------------------------------------------------

slow = Session().shake(piece=1)
for byte in GET:
    slow.tls.write(bytes([byte]))
slow.flush(piece=7)
same(status(slow), b"HTTP/1.1 200 OK", "a hello byte by byte, then a request in records of one byte: answered")

# --- broken ------------------------------------------------------------------------------------------------------------

broken = Session().shake()
broken.tls.write(GET)
record = bytearray(broken.outgoing.read())
record[-1] ^= 1
broken.socket.sendall(record)
expect(closed(broken.socket), "a record that was tampered with ends the connection")
large = Session().shake()
large.socket.sendall(b"\x17\x03\x03\x48\x00" + b"\0" * 0x4800)
expect(closed(large.socket), "so does one above 16 KiB")
junk = socket.create_connection(address)
junk.sendall(b"\x16\x03\x01\xff\xff" + b"\xff" * 5000)
expect(closed(junk), "junk is no handshake")
plain = socket.create_connection(address)
plain.sendall(GET)
plain.settimeout(PATIENCE)
expect(b"400 Bad Request" in plain.recv(4096), "plain HTTP is told what is wrong")
for header in (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12)):
    stray = socket.create_connection(address)
    stray.sendall(header + Session().hello())
    expect(closed(stray), "a PROXY header that is not expected ends the connection")
same((failed("http request"), failed("proxy-header")), (1.0, 2.0), "both are counted by what they are")
for reason in ("http request", "proxy-header"):
    expect(goma.told(f'TLS handshake failed.*127.0.0.1.*reason="?{reason}'), f"and logged: {reason}", goma.output[-500:])
expect(canary(), "others are served")

# --- expensive ---------------------------------------------------------------------------------------------------------

configure(10)
goma.reload()
client = subprocess.Popen(["openssl", "s_client", "-connect", "%s:%d" % address, "-servername", "www.test"], stdin=subprocess.PIPE,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
for _ in range(200):
    client.stdin.write(b"k\n")
    client.stdin.flush()
expect(canary(), "key updates keep nobody waiting")
client.kill()
client.wait()

storm = [Session() for _ in range(200)]
for one in storm:
    one.socket.sendall(one.hello())
expect(canary(), "a storm of 200 handshakes lets a newcomer in")
done = 0
for one in storm:
    one.incoming.write(one.socket.recv(65536))
    done += bool(one.shake())
same(done, 200, "and all of it is served")
for one in storm:
    one.socket.close()
