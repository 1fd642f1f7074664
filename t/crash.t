#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of workers, manager and master: only exchanges in flight are lost, nobody is refused, counters never step back."""
from lib.goma import *

origin = Origin()
port = free_port()
WEB = {"web": {"address": f"127.0.0.1:{port}"}}
goma = Goma([route("/", origin, "main")], entryPoints=WEB, monitoring={"enableMetrics": True}, log={"level": "warn"})
SERIES = 'gateway_requests_total{name="main",method="GET"}'


def children():
    text = read(f"/proc/{goma.pid}/task/{goma.pid}/children")
    return {int(p) for p in text.split() if alive(int(p))}


def served():
    return goma.metrics().get(SERIES, 0)


keep = Load(goma.address, threads=3)
short = Load(goma.address, threads=2, keepalive=False)
expect(wait_for(lambda: keep.total > 200), "load is running")
kills, back, counters, respawn = 6, [], [served()], []
for number in range(kills):
    pids = goma.worker_pids()
    victim = pids[number % len(pids)]
    before = children()
    send_signal(victim, signal.SIGKILL)
    began = time.monotonic()
    wait_for(lambda: children() - before, 5 * SLOW)
    respawn.append(time.monotonic() - began)
    expect(wait_for(lambda: len([w for w in goma.status()["workers"] if w["state"] == "running" or alive(w["pid"])]) == 2 and
                    victim not in goma.worker_pids()), f"kill {number + 1}: two workers again")
    counters.append(served())
    mark = keep.total
    wait_for(lambda: keep.total > mark + 200)
keep.stop()
short.stop()
same(counters, sorted(counters), "counters never step back")
expect(sorted(respawn)[kills // 2] < 0.05 * SLOW, "a worker is back within 50 ms (median)", respawn)
lost = keep.failures + short.failures
expect(len(lost) <= kills * 5, "at most the exchanges in flight are lost", (len(lost), lost[:6]))
expect(not [f for f in lost if "refused" in f.lower()], "no connection was refused", lost[:6])
expect(goma.told(r"(?i)worker.*(signal 9|SIGKILL|killed)"), "the log tells the signal", goma.output[-800:])
expect(sum(w["restarts"] for w in goma.status()["workers"]) >= kills, "status counts the restarts", goma.status()["workers"])
goma.baseline = {}

load = Load(goma.address, threads=2)
manager = goma.manager_pid()
expect(manager, "there is a manager")
send_signal(manager, signal.SIGKILL)
expect(wait_for(lambda: goma.manager_pid() not in (None, manager)), "a killed manager is started again")
load.stop()
same(load.failures[:3], [], "and traffic never noticed")
same(goma.reload()[0], 0, "a reload works after it")

old_workers = set(goma.worker_pids())
load = Load(goma.address, threads=2, keepalive=False)
goma.process.kill()
goma.process.wait()
mark = load.total
expect(wait_for(lambda: load.total > mark + 300), "kill -9 of the master: its workers go on serving")
goma.start()
expect(wait_for(lambda: not any(alive(p) for p in old_workers), 6 * PATIENCE), "a new start ends the orphans")
mark = load.total
expect(wait_for(lambda: load.total > mark + 100), "and serves")
load.stop()
# The orphans' own sockets are closed when they leave: a connection that the kernel completes in that instant is reset. With a living
# master this cannot happen, because the sockets stay.
expect(len(load.failures) <= 2, "no request failed on the way, but for the instant in which the orphans' sockets close", load.failures[:5])
same(len(goma.status()["workers"]), 2, "two workers of the new master")
code, out, err = goma.ctl("ping")
same(code, 0, "which answers gomactl")
goma.baseline = {}
