#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pass-through over reloads, an upgrade and a stop: 50 connections move data through all of it; new ones follow the new rules."""
import threading

from lib.goma import *


class Target:
    """Echoes with a name in front of the first bytes."""

    def __init__(self, name):
        self.name, self.listening = name, socket.create_server(("127.0.0.1", 0), backlog=128)
        self.text = f"127.0.0.1:{self.listening.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            sock, _ = self.listening.accept()
            threading.Thread(target=self.echo, args=(sock,), daemon=True).start()

    def echo(self, sock):
        try:
            sock.sendall(self.name)
            while data := sock.recv(65536):
                sock.sendall(data)
        except OSError:
            pass
        sock.close()


def exactly(sock, count):
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            raise OSError("ended")
        data += piece
    return data


class Tunnel:
    """Moves data until it is told to stop; says what went wrong."""

    def __init__(self, address):
        self.sock = socket.create_connection(address, PATIENCE)
        self.name, self.rounds, self.problem, self.leave = exactly(self.sock, 3), 0, None, False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        block = os.urandom(8192)
        try:
            while not self.leave:
                self.sock.sendall(block)
                if exactly(self.sock, len(block)) != block:
                    raise OSError("other bytes")
                self.rounds += 1
                time.sleep(0.005)     # fifty of these share two processors with everybody else
        except OSError as error:
            self.problem = repr(error)

    def stop(self):
        self.leave = True
        self.thread.join(PATIENCE)
        self.sock.close()


old, new = Target(b"old"), Target(b"new")
origin = Origin()
port = {"protocol": "tcp", "port": 0, "address": "127.0.1.1"}
second = {"protocol": "tcp", "port": 0, "address": "127.0.1.2", "target": old.text}


def configure(*forwards):
    goma.configure([route("/", origin)], monitoring={"enableMetrics": True}, timeouts={"drain": 60},
                   entryPoints={"web": {"address": "127.0.0.1:0"}, "passThrough": {"forwards": list(forwards)}})


def address(number):
    return next(parse_address(e["address"][4:]) for e in goma.status()["listeners"] if e["text"] == f"tcp:127.0.1.{number}:0")


def all_move(tunnels):
    before = [t.rounds for t in tunnels]
    return wait_for(lambda: all(t.rounds > b for t, b in zip(tunnels, before)) or any(t.problem for t in tunnels)) and not any(t.problem for t in tunnels)


binary_directory = tempfile.mkdtemp(prefix="goma-t-")
binary = os.path.join(binary_directory, "goma")
shutil.copy(GOMA, binary)
goma = Goma([], directory=binary_directory, binary=binary, workers=2, start=False)
configure({**port, "target": old.text}, second)
goma.start()
first_address, second_address = address(1), address(2)
tunnels = [Tunnel(first_address if i % 2 else second_address) for i in range(50)]
same({t.name for t in tunnels}, {b"old"}, "50 connections to the first target")
configure({**port, "target": new.text}, second)
same(goma.reload()[0], 0, "reload with another target")
expect(all_move(tunnels), "all go on", [t.problem for t in tunnels if t.problem])
fresh = Tunnel(first_address)
same(fresh.name, b"new", "a new connection has the new target")
configure({**port, "target": new.text})
same(goma.reload()[0], 0, "reload without the second port")
expect(all_move(tunnels), "its connections go on", [t.problem for t in tunnels if t.problem])
try:
    socket.create_connection(second_address, 2).close()
    outcome = "connected"
except ConnectionRefusedError:
    outcome = "refused"
same(outcome, "refused", "but nobody new comes in")
configure({**port, "targets": ["nothing"]})
expect(goma.reload()[0] != 0 and all_move(tunnels), "a wrong target is refused and changes nothing")
taken = socket.create_server(("127.0.0.1", 0))
configure({**port, "target": new.text}, {"protocol": "tcp", "port": taken.getsockname()[1], "address": "127.0.0.1", "target": new.text})
code, out = goma.reload()
expect(code != 0 and "port-in-use" in out and "passThrough" in out, "so is a port that somebody else has, with its place", out)
configure({**port, "target": new.text}, second)
same(goma.reload()[0], 0, "the second port comes back")
tunnels.append(Tunnel(address(2)))
same(tunnels[-1].name, b"old", "and is served")

master = goma.pid
code, out, err = goma.ctl("upgrade")
same(code, 0, "upgrade") or note(out + err)
goma.started_pids.add(goma.pid)
expect(goma.pid != master and all_move(tunnels), "the old workers carry all on", [t.problem for t in tunnels if t.problem])
same(address(1), first_address, "the new ones have the same sockets")
again = Tunnel(first_address)
expect(again.name == b"new" and all_move([again]), "and serve new connections")
for tunnel in tunnels + [fresh]:
    tunnel.stop()
same([t.problem for t in tunnels + [fresh] if t.problem], [], "no connection failed in all that")
expect(wait_for(lambda: not alive(master), 6 * PATIENCE), "the old master leaves when the last has ended")
goma.baseline = {}
configure({**port, "target": new.text})
goma.hit(signal.SIGTERM)
expect(wait_for(lambda: again.problem, 2 * PATIENCE), "a fast stop ends what is left")
goma.expected_exit = goma.process.poll() or 0
