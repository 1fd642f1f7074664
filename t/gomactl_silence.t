#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""gomactl waits for nobody who gives no sign of life: exit code 5, and what to do; what takes long is waited for."""
import threading
from lib.goma import *

origin = Origin()
goma = Goma([route("/", origin)])
master = goma.pid


def silent(words, name, *arguments):
    """gomactl gives up within the time that it was given, and says why."""
    begun = time.monotonic()
    code, out, err = goma.ctl(*arguments)
    took = time.monotonic() - begun
    expect(code == 5 and all(word in err for word in words) and took < 1 + PATIENCE, f"{name}: exit 5 with {words}", f"exit {code} after {took:.1f} s: {out}{err}")


send_signal(master, signal.SIGSTOP)
wait_for(lambda: stat_of(master)[0] == "T")
for verb in ("ping", "status", "reload", "upgrade", "quit", "test", "routes"):
    silent(["no answer within 500ms", f"process {master}", "it is stopped", f"kill -CONT {master}"], f"a stopped master, {verb}", "--timeout", "500ms", verb)
silent(["no answer within 10s", f"kill -CONT {master}"], "a stopped master without --timeout, a long verb", "reload")
# The queue of the socket is full: not even a connection is to be had.
waiting = []
try:
    while True:
        waiting.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
        waiting[-1].connect(goma.path("control.sock"))
except BlockingIOError:
    pass
silent(["no answer within 1s", f"process {master}", f"kill -CONT {master}"], "a full queue", "--timeout", "1", "ping")
expect(goma.canary(), "workers serve on")
for client in waiting:
    client.close()
send_signal(master, signal.SIGCONT)
expect(wait_for(lambda: goma.ctl("ping")[0] == 0), "and it goes on")
same((goma.status()["generation"], goma.pid, goma.canary()), (1, master, True), "nothing is done for who has not waited for it")

# What takes longer than the patience is waited for, because the master says that it is at it.
held, entered = threading.Event(), threading.Event()


def slow(request):
    entered.set()
    held.wait(PATIENCE)
    return Reply(200)


goma.configure([route("/", Origin(slow))])
same(goma.reload()[0], 0, "a backend that takes its time")
client = goma.client()
client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
entered.wait(PATIENCE)
quitting = subprocess.Popen([GOMACTL, "-p", goma.directory, "--timeout", "1s", "quit"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
same(wait_for(lambda: quitting.poll() is not None, 2.5), False, "quit is waited for beyond the timeout while the master gives signs of life")
held.set()
same(client.response().status, 200, "the exchange ends")
same((quitting.wait(PATIENCE), "stopped" in quitting.stdout.read()), (0, True), "and quit with it")

# What is no goma.
idle = Goma([route("/", origin)], start=False)


def at_socket(answer):
    server = socket.socket(socket.AF_UNIX)
    server.bind(idle.path("control.sock"))
    server.listen()

    def serve():
        connection = server.accept()[0]
        connection.recv(100)
        if answer:
            connection.sendall(answer)
        connection.recv(100)
    threading.Thread(target=serve, daemon=True).start()
    got = idle.ctl("--timeout", "500ms", "ping")
    server.close()
    return got[0], got[1] + got[2]


code, out = at_socket(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
expect(code == 1 and "is no goma" in out and "400" not in out, "another program at the socket", out)
code, out = idle.ctl("ping")[::2]
expect(code == 3 and "nobody listens" in out, "a socket that was left behind", out)
os.unlink(idle.path("control.sock"))
code, out = at_socket(b"")
expect(code == 5 and f"process {os.getpid()}" in out, "a program that says nothing", out)
code, out = idle.ctl("--timeout", "soon", "ping")[::2]
expect(code == 2 and "--timeout wants a time" in out, "a timeout that is none", out)
