#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""PROXY headers: a trusted peer says who the client is, nobody else may, and what is no header ends there (C43)."""
import struct

from lib.goma import *

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
REQUEST = b"GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n"
BALANCER = "127.0.0.2"
origin = Origin(lambda r: Reply(200, body=json.dumps({"for": r["x-forwarded-for"], "real": r["x-real-ip"]})))
goma = Goma([route("/", origin)], monitoring={"enableMetrics": True}, log={"level": "info"},
            entryPoints={"web": {"address": "127.0.0.1:0", "proxyProtocol": {"trusted": [BALANCER]}}})


def binary(command, kind, rest, length=None):
    return SIGNATURE + bytes([command, kind]) + struct.pack("!H", len(rest) if length is None else length) + rest


def inet(source, destination, sport=1, dport=80):
    return socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack("!HH", sport, dport)


def balancer(data=b""):
    client = goma.client(source=BALANCER)
    client.send(data)
    return client


def seen(client):
    reply = client.response()
    return json.loads(reply.text)["real"] if reply.status == 200 else reply.status


client = balancer(b"PROXY TCP4 203.0.113.7 198.51.100.2 56324 80\r\n" + REQUEST)
same(seen(client), "203.0.113.7", "version 1: the backend hears of the client")
client.send(REQUEST)
same(seen(client), "203.0.113.7", "and so it does with the next request of the connection")
same(seen(balancer(b"PROXY TCP6 2001:db8::7 2001:db8::1 1 2\r\n" + REQUEST)), "2001:db8::7", "version 1, IPv6")
same(seen(balancer(b"PROXY UNKNOWN\r\n" + REQUEST)), BALANCER, "version 1, UNKNOWN: the peer itself")
same(seen(balancer(binary(0x21, 0x11, inet("203.0.113.8", "198.51.100.2")) + REQUEST)), "203.0.113.8", "version 2")
records = b"\x01\x00\x02h2" + b"\x04" + struct.pack("!H", 3000) + bytes(3000)
same(seen(balancer(binary(0x21, 0x11, inet("203.0.113.9", "198.51.100.2") + records) + REQUEST)), "203.0.113.9", "version 2 with records")
same(seen(balancer(binary(0x20, 0, b"") + REQUEST)), BALANCER, "version 2, LOCAL: the peer itself")
expect(wait_for(lambda: "203.0.113.8" in goma.output), "the access log names the client", goma.output[-500:])

client = balancer()
for byte in b"PROXY TCP4 203.0.113.10 198.51.100.2 56324 80\r\n" + REQUEST:
    client.send(bytes([byte]))
same(seen(client), "203.0.113.10", "byte by byte")
client = balancer(binary(0x21, 0x11, inet("203.0.113.11", "198.51.100.2"))[:20])
client.send(binary(0x21, 0x11, inet("203.0.113.11", "198.51.100.2"))[20:] + REQUEST)
same(seen(client), "203.0.113.11", "version 2 in two pieces")

for name, data in [("a request", REQUEST), ("a line with junk", b"PROXY TCP4 junk\r\n" + REQUEST),
                   ("a line of 108 bytes", b"PROXY UNKNOWN " + b"x" * 94 + b"\r\n" + REQUEST),
                   ("a bare line feed", b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n" + REQUEST),
                   ("64 KiB of records", binary(0x21, 0x11, inet("1.1.1.1", "2.2.2.2"), 0xFFFF) + b"\x04" * 5000),
                   ("records that do not fit", binary(0x21, 0x11, inet("1.1.1.1", "2.2.2.2") + b"\x04\xff\xff") + REQUEST),
                   ("a wrong checksum", binary(0x21, 0x11, inet("1.1.1.1", "2.2.2.2") + b"\x03\x00\x04abcd") + REQUEST)]:
    client = balancer(data)
    same(client.outcome(), "closed", f"C43 {name} in place of the header: closed without an answer")
count = len(origin.requests)
client = balancer(b"PROXY TCP4 1.1.1.1")
client.sock.shutdown(socket.SHUT_WR)
same(client.outcome(), "closed", "C43 a cut header and the end: closed")

stranger = goma.client()
stranger.send(b"PROXY TCP4 6.6.6.6 198.51.100.2 56324 80\r\n" + REQUEST)
same(stranger.outcome(), 400, "C43 the header of a peer that is not listed is a bad request")
stranger = goma.client()
stranger.send(binary(0x21, 0x11, inet("6.6.6.6", "198.51.100.2")) + REQUEST)
same(stranger.outcome(), 400, "C43 in binary too")
same(len(origin.requests), count, "no backend heard of any of them")
same(json.loads(goma.get("/x").text)["for"], "127.0.0.1", "a peer that is not listed is an ordinary client")

if shutil.which("curl"):
    url = f"http://{goma.address[0]}:{goma.address[1]}/x"
    run = subprocess.run(["curl", "-sS", "--noproxy", "*", "--haproxy-protocol", "--interface", BALANCER, url], capture_output=True, text=True, timeout=PATIENCE)
    same(json.loads(run.stdout or "{}").get("real"), BALANCER, "curl --haproxy-protocol") or note(run.stderr)
else:
    skip("curl --haproxy-protocol", "no curl")

refused = {k: v for k, v in goma.metrics().items() if "proxy-header" in k}
same(refused, {'goma_handshake_failures_total{reason="proxy-header"}': 8.0, 'goma_parse_errors_total{reason="proxy-header"}': 2.0},
     "what was refused is counted, by listed peers and by strangers")
expect("status=400" in goma.told("reason=proxy-header"), "and the log says why a stranger was", goma.output[-500:])

goma.configure([route("/", origin)], entryPoints={"web": {"address": "127.0.0.1:0"}})
same(goma.reload()[0], 0, "reload without the list")
same(balancer(b"PROXY TCP4 203.0.113.7 198.51.100.2 56324 80\r\n" + REQUEST).outcome(), 400, "and nobody may speak for others any more")
