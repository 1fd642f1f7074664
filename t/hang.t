#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A worker that hangs is replaced, its queue is served, and nobody is refused; one that a debugger has or that the machine
does not let run is left alone."""
from lib.goma import *
from lib import ptrace

origin = Origin()
ROUTES = [route("/", origin, "main")]
OPTIONS = {"monitoring": {"enableMetrics": True}, "log": {"level": "warn"}}
goma = Goma(ROUTES, timeouts={"worker": 1}, **OPTIONS)


def pids():
    status = goma.status()
    return {**{w["slot"]: w["pid"] for w in status["workers"]}, -1: status["manager"]["pid"]}


def serving(slot, other_than):
    """Waits until the slot has another process that serves."""
    def there():
        status = goma.status()
        child = status["manager"] if slot < 0 else status["workers"][slot]
        return child["pid"] not in (0, other_than) and child["state"] == "serving"
    return wait_for(there, 4 * PATIENCE)


def lag(slot):
    return goma.status()["workers"][slot]["lag_ms"]


def stop(pid):
    send_signal(pid, signal.SIGSTOP)
    wait_for(lambda: stat_of(pid)[0] == "T")


# --- stopped, under load

load = Load(goma.address, target="/asked?token=s3cret", threads=6, keepalive=False)
expect(wait_for(lambda: load.total > 100), "load is running")
victim = pids()[0]
stop(victim)
expect(wait_for(lambda: lag(0) > 500), "gomactl status shows that the loop does not turn")
expect(serving(0, victim), "a stopped worker is replaced")
mark = load.total
expect(wait_for(lambda: load.total > mark + 200), "who waited in its queue, and everybody else, is served")
load.stop()
same([f for f in load.failures if "refused" in f.lower()], [], "nobody was refused")
expect(len(load.failures) <= 6, "lost is only what the worker had in hand", load.failures)
line = goma.told("a process is silent")
expect(all(word in line for word in ('child="worker 0"', f"pid={victim}", 'state="T (stopped)"', "last_request=/asked")) and "s3cret" not in line, "the log says who, and what it did, without what a query holds", line)
same(goma.metrics()["goma_worker_hangs_total"], 1, "it is counted")
shown = goma.ctl("workers")[1]
same(len(re.findall(r" lag \d+ ms, at most \d+ ms", shown)), 3, f"gomactl workers shows the lag of each: {shown}")

# --- the manager; all workers; a worker while a reload wants it

victim = pids()[-1]
stop(victim)
expect(serving(-1, victim), "a stopped manager is replaced")
same(goma.ctl("routes")[0], 0, "and answers")
before = pids()
for slot in (0, 1):
    stop(before[slot])
expect(serving(0, before[0]) and serving(1, before[1]), "two stopped workers are replaced, one after the other")
expect(goma.canary(), "and serve")
victim = pids()[1]
stop(victim)
same(goma.reload()[0], 0, "a reload waits for the replacement")
same((alive(victim), {w["generation"] for w in goma.status()["workers"]}), (False, {goma.status()["generation"]}), "and reaches it")

# --- busy, and in a debugger's hands

before = pids()
try:
    ptrace.hold(before[0])
    expect(goma.told("a silent process is left alone"), "a process that a debugger has is left alone")
    same(pids(), before, "and lives")
    ptrace.let_go(before[0])
    expect(wait_for(lambda: lag(0) < 500), "let go, it goes on")
    if ptrace.can_spin:
        ptrace.hold(before[0])
        ptrace.spin(before[0])
        ptrace.let_go(before[0])
        expect(serving(0, before[0]), "a worker that loops for ever is replaced")
        line = goma.told("its stack")
        expect(f"pid={before[0]}" in line and "goma+0x" in line, "its stack is in the log", line)
except OSError as error:
    skip("a debugger", error)

# --- not the process's fault

before = pids()
everybody = [goma.pid, *before.values()]
for pid in everybody:
    stop(pid)
began = time.monotonic()
wait_for(lambda: time.monotonic() - began > 3)      # of the machine's time, in which nobody could do anything
for pid in everybody:
    send_signal(pid, signal.SIGCONT)
expect(wait_for(lambda: max(lag(0), lag(1)) < 500), "a machine that stood still goes on")
same(pids(), before, "and nobody is replaced for it")
goma.configure(ROUTES, timeouts={"worker": 0}, **OPTIONS)
same(goma.reload()[0], 0, "worker: 0")
stop(before[0])
expect(wait_for(lambda: lag(0) > 3000), "a worker may be silent for ever")
same(pids(), before, "and stays")
send_signal(before[0], signal.SIGCONT)

# --- the end

goma.configure(ROUTES, timeouts={"worker": 1}, **OPTIONS)
same(goma.reload()[0], 0, "worker: 1")
stop(pids()[0])
expect(goma.stop(), "a worker that hangs does not keep goma from stopping")
goma.baseline = {}
