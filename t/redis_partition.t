#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Three hosts in network namespaces of their own, and one of them loses the network without a word: no request of it fails
or waits, it keeps to its share of the limits, and when the network is back it counts with the others and has forgotten
what was purged meanwhile."""
import ctypes
import json
import os
import subprocess
import sys
import time
from lib import pace
from lib.goma import *
from lib.redis import RedisServer

INSIDE = "GOMA_TEST_NAMESPACE"
if not os.environ.get(INSIDE):
    if os.geteuid() != 0 or subprocess.run(["unshare", "-n", "ip", "link", "add", "type", "veth"], capture_output=True).returncode != 0:
        skip_all("network namespaces need root, and a kernel that has them")
    os.environ[INSIDE] = "1"
    os.execvp("unshare", ["unshare", "-n", sys.executable, *sys.argv])

PHASE = 10 if LONG else 4           # seconds before, in and after the partition
RATE = 300
time_limit(6 * PHASE + 120)
libc = ctypes.CDLL(None, use_errno=True)


def ip(*words):
    subprocess.run(["ip", *words], check=True)


class Place:
    """A namespace with one wire to ours: 10.203.N.2 here, 10.203.N.1 with us."""

    def __init__(self, number):
        self.wire, self.gateway = f"wire{number}", f"10.203.{number}.1"
        self.holder = subprocess.Popen(["unshare", "-n", "sh", "-c", "ip link set lo up && echo && exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.holder.stdout.readline()
        self.file = os.open(f"/proc/{self.holder.pid}/ns/net", os.O_RDONLY)
        ip("link", "add", self.wire, "type", "veth", "peer", "name", "eth0", "netns", str(self.holder.pid))
        ip("addr", "add", f"{self.gateway}/24", "dev", self.wire)
        ip("link", "set", self.wire, "up")
        self.run("ip", "addr", "add", f"10.203.{number}.2/24", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")

    def enter(self):
        if libc.setns(self.file, 0) != 0:
            raise OSError(ctypes.get_errno(), "setns")

    def run(self, *command):
        return subprocess.run(command, preexec_fn=self.enter, stdout=subprocess.PIPE, text=True, check=True).stdout

    def start(self, *command):
        return subprocess.Popen(command, preexec_fn=self.enter, stdout=subprocess.PIPE, text=True)

    def get(self, goma, target):
        """Status and body, asked from within."""
        port = goma.address[1]
        answer = self.run("curl", "-s", "-m", "5", "-H", "Host: a.test", "-w", "\n%{http_code}", f"http://127.0.0.1:{port}{target}")
        body, _, status = answer.rpartition("\n")
        return int(status), body

    def close(self):
        self.holder.stdin.close()
        self.holder.wait()
        os.close(self.file)


ip("link", "set", "lo", "up")
asked = []


def answer(request):
    asked.append(request.target)
    return Reply(200, headers={"Cache-Control": "max-age=300"}, body=f"{request.target} {asked.count(request.target)}")


places = [Place(n) for n in range(3)]
redis = RedisServer(args=["bind 0.0.0.0"])
origin = Origin(answer, host="0.0.0.0")


def host(place):
    return Goma([route("/limited", "http://127.0.0.1:9", "limited", middlewares=["limit", "ok"]), route("/", f"http://{place.gateway}:{origin.port}", "main", middlewares=["cache"])],
                [middleware("limit", "rateLimit", {"requestsPerUnit": RATE, "keyStrategy": {"source": "header", "name": "X-Pace"}}), middleware("ok", "respond", {"status": 200, "body": "ok"}),
                 {**middleware("cache", "httpCache", {"memoryLimit": "8Mi"}), "paths": ["/"]}],
                workers=1, preexec=place.enter, redis={"addr": f"{place.gateway}:{redis.port}"}, monitoring={"enableMetrics": True}, log={"level": "warn", "access": "off"})


hosts = [host(place) for place in places]


def usable(goma):
    return goma.ctl_json("redis")["usable"]


def all_three():
    return all(usable(goma) and goma.ctl_json("redis")["hosts"] == 3 for goma in hosts)


def pages():
    return [place.get(goma, "/page") for place, goma in zip(places, hosts)]


expect(wait_for(all_three), "the hosts know of each other") or note(hosts[0].ctl("redis"))
same(pages(), [(200, "/page 1")] * 3, "and share a response")
loads = [place.start(pace.PACE, "-p", "/limited", str(3 * PHASE), f"{goma.address[1]}=400") for place, goma in zip(places, hosts)]
begun = time.monotonic()


def until(phase):
    wait_for(lambda: time.monotonic() - begun > phase * PHASE, 4 * PHASE)


# --- cut

until(1)
ip("link", "set", places[1].wire, "down")
expect(wait_for(lambda: not usable(hosts[1])), "who is cut off says that Redis is not usable")
same([usable(hosts[0]), usable(hosts[2])], [True, True], "the others go on")
same(hosts[0].ctl("cache", "purge", "url", "a.test/page")[0], 0, "a URL is purged while one cannot hear it")
expect(wait_for(lambda: places[2].get(hosts[2], "/page")[1] != "/page 1"), "it is gone where the network is")
same(places[1].get(hosts[1], "/page"), (200, "/page 1"), "who is cut off serves what it has")

# --- back

until(2)
ip("link", "set", places[1].wire, "up")
expect(wait_for(all_three), "the hosts know of each other again")
expect(wait_for(lambda: (200, "/page 1") not in pages()), "what was purged is gone there too") or note(pages())
targets = [json.loads(load.communicate(timeout=3 * PHASE + 60)[0])["targets"][0] for load in loads]
let_in = [t["status"]["200"] for t in targets]
by_second = [sum(counts) for counts in zip(*let_in)]
bad = [pace.faults([t]) for t in targets]
apart = sum(let_in[1][PHASE + 1:2 * PHASE - 1]) / (PHASE - 2)
note(f"let in by second {by_second}, who was cut off {let_in[1]}; slowest {[t['maxus'] for t in targets]} us")
same(bad, [0, 0, 0], "no request failed")
others = max(targets[0]["maxus"], targets[2]["maxus"])      # who is not cut off: a machine that stands still does so for all
expect(all(t["p50us"] < 10_000 for t in targets) and targets[1]["maxus"] < 500_000 + others, "or waited for Redis", targets)
expect(0.5 * RATE / 3 <= apart <= 1.6 * RATE / 3, "who is cut off lets in its share", apart)     # a pause moves what a bucket holds
allowed = RATE + RATE * 3 * PHASE
expect(0.95 * min(allowed, pace.asked(targets, RATE)) <= sum(by_second) <= 1.05 * (allowed + RATE / 3 * PHASE), "all together what is allowed, and at most that share more", (sum(by_second), allowed))
expect(max(by_second[-(PHASE - 2):]) <= 1.1 * RATE, "afterwards it is one limit again", by_second)
for goma in hosts:
    goma.stop()
for place in places:
    place.close()
