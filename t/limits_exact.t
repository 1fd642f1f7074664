#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ten times more is asked than a limit allows, over four workers: what is let in is what the arithmetic of the bucket
allows, also when the configuration is loaded anew, a worker is killed and the binary is replaced meanwhile."""
import json
from lib.goma import *

PACE = os.path.join(os.path.dirname(GOMA), "bench", "pace")
RATE, BURST, SECONDS = 1000, 100, 30 if LONG else 6
time_limit(SECONDS + 60)
directory = tempfile.mkdtemp(prefix="goma-t-")
binary = os.path.join(directory, "goma")
shutil.copy(GOMA, binary)
goma = Goma([route("/", "http://127.0.0.1:9", "main", middlewares=["limit", "ok"])],
            [middleware("limit", "rateLimit", {"requestsPerUnit": RATE, "burst": BURST}), middleware("ok", "respond", {"status": 200, "body": "ok"})],
            directory=directory, binary=binary, workers=4, log={"level": "warn"})


def pace(seconds, rate, connections=64):
    command = [PACE, "-c", str(connections), str(seconds), f"{goma.address[1]}={rate}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def outcome(process):
    target = json.loads(process.communicate(timeout=SECONDS + 30)[0])["targets"][0]
    return {status: sum(counts) for status, counts in target["status"].items()}, target


def judge(status, target, seconds, what):
    """The bucket was full at the first request, and the last one came within a tick of the end."""
    allowed = RATE + BURST + RATE * seconds
    note(f"{what}: {status['200']} of {target['sent']} let in, {allowed} allowed; {target['lost']} lost with their connections, {target['skipped']} not sent")
    expect(allowed - target["lost"] - RATE // 50 <= status["200"] <= allowed, f"{what}: what is let in is what is allowed", (status, allowed))
    same(status["502"] + status["503"] + status["403"] + status["0"], 0, f"{what}: nothing else is answered")


status, target = outcome(pace(SECONDS, 10 * RATE))
judge(status, target, SECONDS, "in peace")
same(target["lost"], 0, "nothing is lost in peace")

wait_for(lambda: goma.get("/")["X-RateLimit-Remaining"] == str(RATE + BURST - 1))
wait_for(lambda: goma.get("/")["RateLimit"].endswith("t=1"))  # the bucket is full but for this one
load = pace(SECONDS, 10 * RATE)
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
status, target = outcome(load)
judge(status, target, SECONDS, "in trouble")
expect(wait_for(lambda: not alive(old), 6 * PATIENCE), "the old master leaves")
