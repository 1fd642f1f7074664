#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A backend that keeps failing is left out: what all workers of the host saw counts together, and outlives each of them."""
from lib.goma import *

MAX_FAILS = 4
directory = tempfile.mkdtemp(prefix="goma-t-")
binary = os.path.join(directory, "goma")
shutil.copy(GOMA, binary)
broken = True
good, bad = Origin(name="good"), Origin(lambda request: None if broken else Reply(200, body="bad"))
goma = Goma([route("/", [good, bad], "main"), route("/other", [good, bad], "other")], workers=2, directory=directory, binary=binary,
            networking={"passiveHealthCheck": {"maxFails": MAX_FAILS, "ejectFor": "2m"}}, monitoring={"enableMetrics": True}, log={"level": "warn"})
EJECTIONS = f'gateway_backend_ejections_total{{backend="127.0.0.1:{bad.port}"}}'


def ask(n, target="/"):
    """Each on a connection of its own, so that any worker may have it."""
    return {goma.get(target).text for _ in range(n)}


def health():
    return [(b["route"], b["endpoint"], b["failures"], b["leftOutMs"] > 0) for b in goma.ctl_json("backends")]


def states(failures, left_out):
    return [(r, o.url, failures * (o is bad), left_out and o is bad) for r in ("main", "other") for o in (good, bad)]


same(ask(3), {"good"}, "a failure is made good by another backend")
seen = len(bad.requests)
expect(0 < seen < MAX_FAILS and not goma.metrics().get(EJECTIONS), "fewer failures than maxFails leave nobody out", seen)
same(health(), states(seen, False), "gomactl backends counts them")
same(ask(60), {"good"}, "no request fails")
same(len(bad.requests), MAX_FAILS, "after maxFails in a row, of all workers together, it is left out")
same(goma.metrics().get(EJECTIONS), 1, "once")
same(goma.output.count("backend keeps failing"), 1, "the log says so once")
same(health(), states(MAX_FAILS - 1, True), "gomactl backends says so")
expect(re.search(rf"{bad.port} +1  left out for 1[0-9.]+ s\n", goma.ctl("backends")[1]), "also to people", goma.ctl("backends")[1])
ask(20, "/other")
same(len(bad.requests), MAX_FAILS, "on every route that has it")

goma.reload()
ask(20)
same(len(bad.requests), MAX_FAILS, "a reload does not forget it")
for victim in goma.worker_pids():
    send_signal(victim, signal.SIGKILL)
    wait_for(lambda: victim not in goma.worker_pids() and len([w for w in goma.status()["workers"] if w["state"] == "running"]) == 2)
ask(20)
same(len(bad.requests), MAX_FAILS, "nor does a killed worker")
old = goma.pid
same(goma.ctl("upgrade")[0], 0, "upgrade: exit 0")
goma.started_pids.add(goma.pid)
wait_for(lambda: not alive(old), 6 * PATIENCE)
ask(20)
same(len(bad.requests), MAX_FAILS, "nor does an upgrade")
goma.stop()

bad.requests.clear()
goma = Goma([route("/", [good, bad], "main")], workers=2, networking={"passiveHealthCheck": {"maxFails": MAX_FAILS, "ejectFor": "500ms"}}, log={"level": "error"})
wait_for(lambda: ask(1) and len(bad.requests) == MAX_FAILS)
expect(wait_for(lambda: ask(1) == {"good"} and len(bad.requests) > MAX_FAILS), "when the time is over it is tried again")
same(len(bad.requests), MAX_FAILS + 1, "one failure on probation leaves it out again")
broken = False
expect(wait_for(lambda: ask(1) == {"bad"}), "when it answers it has its turn")
same(health()[1][2:], (0, False), "and is as good as any")
