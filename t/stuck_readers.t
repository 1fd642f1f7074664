#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who does not read stops nobody: a FIFO without a reader, a full pipe, a control client, the service manager, a stopped
worker. What is lost is counted, and told when it goes on."""
import fcntl
from lib.goma import *

origin = Origin()
monitored = {"monitoring": {"enableMetrics": True}}
goes_on = "were dropped; it goes on here"


def lost(goma):
    return goma.metrics().get("goma_log_lines_dropped_total", 0)


class Reader:
    """Another process that reads a FIFO, or an open pipe, until it is told to go."""
    def __init__(self, goma, source):
        self.file = goma.path(f"read-{time.monotonic_ns()}")
        with open(self.file, "wb") as file:
            self.process = subprocess.Popen(["cat", *([source] if isinstance(source, str) else [])], stdin=subprocess.DEVNULL if isinstance(source, str) else source, stdout=file)

    @property
    def text(self):
        return read(self.file)

    def go(self):
        self.process.kill()
        self.process.wait()


def works(goma, when):
    expect(goma.canary(), f"{when}: it serves")
    same(goma.reload()[0], 0, f"{when}: reload")
    same(goma.ctl("reopen")[0], 0, f"{when}: reopen")
    goma.hit(signal.SIGUSR1)
    same(goma.ctl("ping")[0], 0, f"{when}: ping")


goma = Goma([route("/", origin)], log={"level": "info", "filePath": "fifo"}, start=False, **monitored)
os.mkfifo(goma.path("fifo"))
same(goma.run("-t", *goma.command()[1:])[0], 0, "-t accepts a FIFO for a log, which nobody has to read yet")
goma.start()
works(goma, "a FIFO without a reader")
expect(wait_for(lambda: lost(goma) > 0), "its lines are counted as dropped")
for turn in ("first", "second"):
    reader = Reader(goma, goma.path("fifo"))
    expect(wait_for(lambda: goma.canary("/marked") and "/marked" in reader.text), f"the {turn} reader gets lines")
    expect(wait_for(lambda: goma.canary() and goes_on in reader.text), f"the {turn} reader hears of what it missed")
    mark = lost(goma)
    reader.go()
    expect(wait_for(lambda: goma.canary() and lost(goma) > mark), f"without the {turn} reader lines are dropped again")
    works(goma, f"after the {turn} reader")
expect(goma.stop(), "it stops")

# Standard output and error are one pipe that nobody reads.
reader, writer = os.pipe()
fcntl.fcntl(writer, 1031, 4096)
os.set_blocking(writer, False)
try:
    while os.write(writer, b"-" * 512 + b"\n"):
        pass
except BlockingIOError:
    os.set_blocking(writer, True)
goma = Goma([route("/", origin)], start=False, **monitored)
goma.write(json.dumps({**json.loads(read(goma.path("goma.yml"))), "nonsense": 1}))    # a warning for standard error
goma.output_to = os.fdopen(writer, "ab", buffering=0)
goma.start()
works(goma, "a full pipe")
same(fcntl.fcntl(writer, fcntl.F_GETFL) & os.O_NONBLOCK, 0, "the pipe of others stays as it was")
client = goma.client()
for _ in range(6):          # more lines than any bounded queue of the log holds
    client.send(("GET / HTTP/1.1\r\nHost: a.test\r\nUser-Agent: " + "u" * 200 + "\r\n\r\n") * 2000)
    same({client.response().status for _ in range(2000)}, {200}, "a full pipe: no request fails")
expect(wait_for(lambda: lost(goma) > 0), "a full pipe: lines are counted as dropped")
reading = Reader(goma, reader)
expect(wait_for(lambda: goma.canary("/read") and "/read" in reading.text), "who reads again gets lines again")
expect(wait_for(lambda: goma.canary() and goes_on in reading.text), "and hears of what was lost")
reading.go()

# Clients of the control socket that ask and do not read; a service manager that does not listen.
goma = Goma([route(f"/{number}", origin, name=f"route-{number}-{'x' * 50}") for number in range(500)], start=False, guards=False)
silent = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
silent.bind(goma.path("silent.sock"))
goma.start()
mute = []
for _ in range(20):
    mute.append(socket.socket(socket.AF_UNIX))
    mute[-1].connect(goma.path("control.sock"))
    mute[-1].sendall(b"config\tshow\n")
same(goma.ctl("ping")[0], 0, "control clients that do not read: ping")
same(goma.reload()[0], 0, "control clients that do not read: reload")
other = Goma([route("/", origin)], start=False, guards=False, env={"NOTIFY_SOCKET": goma.path("silent.sock")})
other.spawn()
expect(wait_for(lambda: other.ctl("ping")[0] == 0), "a service manager that does not read: it starts")
same([other.reload()[0] for _ in range(30)], [0] * 30, "and reloads as often as one likes")
other.stop()
victim = goma.worker_pids()[0]
send_signal(victim, signal.SIGSTOP)
same([goma.ctl("status")[0], goma.ctl("reopen")[0], goma.ctl("ping")[0]], [0, 0, 0], "beside a stopped worker the master answers")
send_signal(victim, signal.SIGCONT)
expect(goma.canary("/1"), "and serves on with it")
