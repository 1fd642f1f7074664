#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ten times more is asked than a limit allows, over four workers: what is let in is what the arithmetic of the bucket
allows, also when the configuration is loaded anew, a worker is killed and the binary is replaced meanwhile."""
from lib.goma import *
from lib import pace

RATE, BURST, SECONDS = 1000, 100, 30 if LONG else 6
time_limit(SECONDS + 60)
directory = tempfile.mkdtemp(prefix="goma-t-")
binary = os.path.join(directory, "goma")
shutil.copy(GOMA, binary)
goma = Goma([route("/", "http://127.0.0.1:9", "main", middlewares=["limit", "ok"])],
            [middleware("limit", "rateLimit", {"requestsPerUnit": RATE, "burst": BURST}), middleware("ok", "respond", {"status": 200, "body": "ok"})],
            directory=directory, binary=binary, workers=4, log={"level": "warn"})


def load():
    return pace.begin(SECONDS, [(goma, [10 * RATE])], "-c", "64")


def judge(process, what):
    targets = pace.outcome(process, SECONDS)
    admitted, (least, most) = sum(pace.by_second(targets, "200")), pace.allowed(targets, RATE, RATE + BURST)
    target = targets[0]
    note(f"{what}: {admitted} of {target['sent']} let in, {least} to {most} allowed; {target['lost']} lost with their connections, {target['skipped']} not sent")
    expect(least <= admitted <= most, f"{what}: what is let in is what is allowed", (least, admitted, most))
    same(pace.faults(targets) - target["lost"], 0, f"{what}: nothing else is answered")
    return target


same(judge(load(), "in peace")["lost"], 0, "nothing is lost in peace")

wait_for(lambda: goma.get("/")["X-RateLimit-Remaining"] == str(RATE + BURST - 1))
wait_for(lambda: goma.get("/")["RateLimit"].endswith("t=1"))  # the bucket is full but for this one
busy = load()
begun = time.monotonic()
wait_for(lambda: time.monotonic() - begun > SECONDS * 0.2)
same(goma.ctl("reload")[0], 0, "a reload in the middle")
victim = next(w["pid"] for w in goma.status()["workers"])
goma.baseline = {}
send_signal(victim, signal.SIGKILL)
wait_for(lambda: victim not in [w["pid"] for w in goma.status()["workers"]] and len(goma.status()["workers"]) == 4)
old = goma.pid
same(goma.ctl("upgrade")[0], 0, "and an upgrade")
goma.started_pids.add(goma.pid)
judge(busy, "in trouble")
expect(wait_for(lambda: not alive(old), 6 * PATIENCE), "the old master leaves")
