#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""sd_notify: READY once all workers listen, RELOADING with its clock and READY again, MAINPID on upgrade, STOPPING."""
from lib.goma import *

origin = Origin()
goma = Goma([route("/", origin)])
messages = goma.notifications()


def fields(message):
    return dict(line.split("=", 1) for line in message.splitlines() if "=" in line)


first = next((fields(m) for m in messages if "READY=1" in m), {})
expect("READY" in first, "READY=1 at start", messages)
expect(any("STATUS" in fields(m) for m in messages), "with a STATUS", messages)
same(any("RELOADING" in m for m in messages), False, "and no RELOADING before it")
mark = len(messages)
before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
same(goma.reload()[0], 0, "a reload")
after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
expect(wait_for(lambda: goma.heard("READY=1", mark)), "ends with READY=1")
sent = goma.notifications()[mark:]
reloading = [fields(m) for m in sent if "RELOADING=1" in m]
same(len(reloading), 1, "begins with RELOADING=1")
expect(before <= int(reloading[0].get("MONOTONIC_USEC", 0)) <= after, "that carries MONOTONIC_USEC of the moment", reloading)
order = [k for m in sent for k in fields(m) if k in ("RELOADING", "READY")]
same(order, ["RELOADING", "READY"], "in this order")
expect(any(str(goma.status()["generation"]) in fields(m).get("STATUS", "") for m in sent), "STATUS tells the generation", sent)
mark = len(goma.notifications())
goma.write("broken: [")
same(goma.reload()[0], 1, "a refused reload")
expect(wait_for(lambda: goma.heard("READY=1", mark)), "ends with READY=1 too: the service is up")
goma.configure([route("/", origin)])
mark = len(goma.notifications())
code, out, err = goma.ctl("upgrade")
same(code, 0, "an upgrade") or note(out + err)
goma.started_pids.add(goma.pid)
expect(wait_for(lambda: goma.heard(f"MAINPID={goma.pid}", mark)), "sends MAINPID of the new master", goma.notifications()[mark:])
mark = len(goma.notifications())
goma.hit(signal.SIGTERM)
expect(wait_for(lambda: goma.heard("STOPPING=1", mark)), "STOPPING=1 at the end")
goma.baseline = {}

abstract = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
abstract.bind("\0goma-test-%d" % os.getpid())
abstract.settimeout(PATIENCE)
other = Goma([route("/", origin)], start=False, env={"NOTIFY_SOCKET": "@goma-test-%d" % os.getpid()})
other.spawn()
heard = ""
while "READY=1" not in heard:
    heard += abstract.recv(4096).decode() + "\n"
expect(True, "abstract sockets work")
same(other.ctl("ping")[0], 0, "ready means ready")
