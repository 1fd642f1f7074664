#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A small keep-alive exchange costs four data calls: one receive and one send on each side."""
from lib.goma import *

if not shutil.which("strace"):
    skip_all("no strace")
if SLOW > 1:
    skip_all("the sanitizers make calls of their own")
origin = Origin(lambda r: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
goma = Goma([route("/", origin)], workers=1, log={"level": "error"})
worker = goma.worker_pids()[0]
client = goma.client()
client.send(request := "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
client.response()
trace = subprocess.Popen(["strace", "-f", "-c", "-o", goma.path("strace"), "-p", str(worker)], stderr=subprocess.PIPE, text=True)
attached = trace.stderr.readline()
if "attached" not in attached:
    trace.wait()
    skip_all(f"strace cannot attach: {attached.strip()}")
count = 2000
for _ in range(count):
    client.send(request)
    client.response()
trace.send_signal(signal.SIGINT)
trace.communicate()
calls = {}
for line in read(goma.path("strace")).splitlines():
    parts = line.split()
    if len(parts) >= 5 and parts[3].isdigit() and parts[-1] != "total":
        calls[parts[-1]] = (int(parts[3]), int(parts[4]) if len(parts) > 5 else 0)
note(calls)
data = sum(n for name, (n, _) in calls.items() if name in ("read", "readv", "recvfrom", "recvmsg", "write", "writev", "sendto", "sendmsg"))
other = {name: n for name, (n, _) in calls.items() if n > count / 50 and name not in ("epoll_wait", "epoll_pwait", "recvfrom", "recvmsg", "sendto",
                                                                             "sendmsg", "read", "write", "readv", "writev")}
expect(3.98 * count <= data <= 4.02 * count + 20, "exactly four data calls per exchange", data / count)
failed = sum(errors for name, (_, errors) in calls.items() if name not in ("epoll_wait", "restart_syscall", "futex"))
expect(failed < count / 50, "none of them in vain", calls)
same(other, {}, "and nothing else but waiting")
waits = sum(n for name, (n, _) in calls.items() if name.startswith("epoll"))
expect(waits <= 2.1 * count + 20, "at most two waits per exchange of a lone client", waits / count)
