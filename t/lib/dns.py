# SPDX-License-Identifier: Apache-2.0
"""A name server for one test: `zone` maps names to addresses and may change at any time.

    dns = NameServer({"backend.test": ["127.0.0.1"]})
    Goma(..., networking={"dnsCache": {"ttl": 1, "resolver": [dns.address]}})
    dns.zone["backend.test"] = ["127.0.0.2"]

In place of addresses a name may have a mood: "broken" (SERVFAIL) or "silent". A name that is not in the zone does not exist, one
with an empty list has no address. Answers live ttl seconds. questions counts those for A records.
"""
import socket
import struct
import threading


class NameServer:
    def __init__(self, zone, ttl=1):
        self.zone, self.ttl, self.questions = dict(zone), ttl, 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            question, peer = self.socket.recvfrom(4096)
            answer = self.answer(question)
            if answer is not None:
                self.socket.sendto(answer, peer)

    def answer(self, question):
        at, labels = 12, []
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode())
            at += question[at] + 1
        kind, = struct.unpack(">H", question[at + 1:at + 3])
        self.questions += kind == 1
        known = self.zone.get(".".join(labels).lower())
        if known == "silent":
            return None
        code = 2 if known == "broken" else 3 if known is None else 0
        wanted = [ip for ip in known or [] if (":" in ip) == (kind == 28)] if kind in (1, 28) and not code else []
        records = b""
        for ip in wanted:
            packed = socket.inet_pton(socket.AF_INET6 if ":" in ip else socket.AF_INET, ip)
            records += struct.pack(">HHHIH", 0xc00c, kind, 1, self.ttl, len(packed)) + packed
        return question[:2] + struct.pack(">HHHHH", 0x8580 | code, 1, len(wanted), 0, 0) + question[12:at + 5] + records
