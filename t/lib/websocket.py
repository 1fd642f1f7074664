# SPDX-License-Identifier: Apache-2.0
"""WebSocket frames (RFC 6455) byte by byte, for plays about tunnels.

frame() makes one, read_frame() reads one from a Wire, echo() is the script of
an Origin that sends every data frame back and answers a close with a close.
Nothing is checked: a play may send what it likes.
"""
import os
import struct

from .wire import Closed, Timeout

TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9
UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
           "Sec-WebSocket-Version": "13"}
SWITCH = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
          b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")


def frame(payload=b"", opcode=BINARY, masked=True):
    """One frame, final."""
    payload = payload.encode() if isinstance(payload, str) else payload
    bit = 0x80 if masked else 0
    size = len(payload)
    if size < 126:
        head = bytes([0x80 | opcode, bit | size])
    elif size < 65536:
        head = bytes([0x80 | opcode, bit | 126]) + struct.pack(">H", size)
    else:
        head = bytes([0x80 | opcode, bit | 127]) + struct.pack(">Q", size)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    repeated = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return head + mask + (int.from_bytes(payload, "big") ^ repeated).to_bytes(size, "big")


def close(code, masked=True):
    return frame(struct.pack(">H", code), CLOSE, masked)


def read_frame(wire):
    """(opcode, payload, masked) of the next frame; raises Closed at the end of the stream."""
    first, second = wire.exactly(2)
    size, masked = second & 0x7f, bool(second & 0x80)
    if size == 126:
        size, = struct.unpack(">H", wire.exactly(2))
    elif size == 127:
        size, = struct.unpack(">Q", wire.exactly(8))
    mask = wire.exactly(4) if masked else bytes(4)
    payload = wire.exactly(size)
    repeated = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return first & 0x0f, (int.from_bytes(payload, "big") ^ repeated).to_bytes(size, "big"), masked


def close_code(got):
    """The code of a close frame that read_frame returned, or None."""
    return struct.unpack(">H", got[1][:2])[0] if got and got[0] == CLOSE and len(got[1]) >= 2 else None


def outcome(wire):
    """What ends the stream: the close code, "closed" or "silent"; data frames before it are passed over."""
    try:
        while True:
            got = read_frame(wire)
            if got[0] == CLOSE:
                return close_code(got)
    except Closed:
        return "closed"
    except Timeout:
        return "silent"


def echo(origin_of, closes=None):
    """The script of an echoing Origin. origin_of() is that Origin; codes of closes received go to `closes`."""
    def script(connection):
        while head := connection.head():
            origin_of().record(head)
            if (head["upgrade"] or "").lower() != "websocket":
                connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain")
                continue
            connection.send(SWITCH)
            while True:
                opcode, payload, masked = got = read_frame(connection)
                if opcode == CLOSE:
                    if closes is not None:
                        closes.append((close_code(got), masked))
                    connection.send(frame(payload, CLOSE, masked=False))
                    return
                connection.send(frame(payload, opcode, masked=False))
    return script
