# SPDX-License-Identifier: Apache-2.0
"""Load at a fixed pace (bench/pace.c), and what one bucket may let in of it."""
import json
import os
import subprocess

from .goma import GOMA

PACE = os.path.join(os.path.dirname(GOMA), "bench", "pace")


def begin(seconds, targets, *options):
    """Starts the load: (a gateway, its rates by part of the time) for each target."""
    command = [PACE, *options, str(seconds)] + [f"{goma.address[1]}={','.join(map(str, rates))}" for goma, rates in targets]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def outcome(process, seconds):
    """What came back, a target each, when a load of so many seconds is over."""
    return json.loads(process.communicate(timeout=seconds + 60)[0])["targets"]


def by_second(targets, status):
    return [sum(counts) for counts in zip(*[t["status"][status] for t in targets])]


def faults(targets):
    """How many requests got another answer than 200 or 429, or none."""
    return sum(sum(sum(t["status"][s]) for s in ("502", "503", "403", "0")) + t["lost"] for t in targets)


def asked(targets, rate):
    """What a limit of so many per second was given to let in: no more than was asked for in a second."""
    by_status = [by_second(targets, status) for status in targets[0]["status"]]
    return sum(min(rate, sum(counts)) for counts in zip(*by_status))


def allowed(targets, rate, capacity):
    """(least, most) that a bucket which was full at the first request lets in. Most: all that it was given back until the
    last one was answered. Least: it was empty when it refused the last one, so all that it had by then was taken; what was
    lost with a connection may have been taken too."""
    def first(name):
        return min(t[name] for t in targets if t[name])
    span = max(t["last_200"] for t in targets) - first("begun")
    emptied = max(t["last_429_sent"] for t in targets) - first("first_answer")
    return (capacity + rate * emptied // 1_000_000 - 1 - sum(t["lost"] for t in targets), capacity + rate * span // 1_000_000)
