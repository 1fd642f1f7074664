# SPDX-License-Identifier: Apache-2.0
"""Redis' protocol (RESP2), as much as tests need, and a server that answers what a test wants it to answer.

    connection = RespConnection(("127.0.0.1", 6379))
    connection.command("SET", "k", "v")                 # "OK"
    connection.command("EVAL", "return {1,'a'}", 0)     # [1, "a"]; an error reply is raised as RedisError

    fake = FakeRedis([b"+OK\\r\\n", HUGE_BULK])           # one answer per command, the last one again and again
    fake = FakeRedis(lambda words, connection: Held(b"+PONG\\r\\n") if words[0] == "PING" else b"+OK\\r\\n")
    fake.release()                                      # what is held goes out
"""
import socket
import threading

from .wire import PATIENCE

GARBAGE = b"HTTP/1.1 400 Bad Request\r\n\r\n"
HUGE_BULK = b"$536870912\r\nstart"      # 512 MiB are promised, five bytes come


class RedisError(Exception):
    """An error reply."""


class RespConnection:
    """A connection that sends commands and reads replies. raw=True leaves texts as bytes."""

    def __init__(self, address, context=None, timeout=PATIENCE, raw=False):
        self.raw = raw
        if isinstance(address, str):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout)
            self.sock.connect(address)
        else:
            self.sock = socket.create_connection(address, timeout)
        if context:
            self.sock = context.wrap_socket(self.sock)
        self.file = self.sock.makefile("rb")

    def close(self):
        self.file.close()
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, *words):
        parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        self.sock.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))

    def command(self, *words):
        self.send(*words)
        reply = self.reply()
        if isinstance(reply, RedisError):
            raise reply
        return reply

    def reply(self):
        """The next reply; an error reply is returned, not raised, for it may lie inside a list."""
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the connection ended within a reply")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return RedisError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return self._bulk(int(rest))
        if kind == b"*":
            return None if int(rest) < 0 else [self.reply() for _ in range(int(rest))]
        raise ValueError(f"no reply of Redis: {line!r}")

    def _bulk(self, length):
        if length < 0:
            return None
        data = self.file.read(length + 2)
        if len(data) != length + 2:
            raise ConnectionError("the connection ended within a text")
        return data[:-2] if self.raw else data[:-2].decode("utf-8", "replace")


class Held:
    """An answer that waits for FakeRedis.release(), or for some seconds."""

    def __init__(self, reply, seconds=None):
        self.reply, self.seconds = reply, seconds


class Last:
    """An answer after which the connection is closed: half of one, say."""

    def __init__(self, reply=b""):
        self.reply = reply


class FakeRedis:
    """A server with answers of the test's making.

    script: a list of answers in the order of all commands, or a function of (words, number of the connection). An
    answer is bytes, Held, Last, or None for none. Commands are kept as lists of texts in `commands`.
    """
    live = []

    def __init__(self, script):
        self.script, self.commands, self.connections = script, [], 0
        self.released, self.lock, self.open = threading.Event(), threading.Lock(), set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self.listener.getsockname()
        FakeRedis.live.append(self)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def release(self):
        self.released.set()

    def stop(self):
        self.released.set()
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        with self.lock:
            for sock in self.open:
                sock.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
                self.open.add(sock)
                number = self.connections
            threading.Thread(target=self._serve, args=(sock, number), daemon=True).start()

    def _serve(self, sock, number):
        try:
            with sock.makefile("rb") as file:
                while (words := self._words(file)) is not None and self._answer(sock, words, number):
                    pass
        except (OSError, ValueError):
            pass            # the client is gone, or speaks something else: either ends the connection
        with self.lock:
            self.open.discard(sock)
            sock.close()

    def _words(self, file):
        head = file.readline()
        if not head:
            return None
        words = []
        for _ in range(int(head[1:])):
            length = int(file.readline()[1:])
            words.append(file.read(length + 2)[:-2].decode("utf-8", "replace"))
        return words

    def _answer(self, sock, words, number):
        """Whether the connection goes on."""
        with self.lock:
            self.commands.append(words)
            index = len(self.commands) - 1
        answer = self.script(words, number) if callable(self.script) else self.script[min(index, len(self.script) - 1)]
        if isinstance(answer, Held):
            self.released.wait(answer.seconds)
        reply = answer.reply if isinstance(answer, (Held, Last)) else answer
        if reply:
            sock.sendall(reply)
        return not isinstance(answer, Last)
