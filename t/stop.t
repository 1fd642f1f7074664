#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Stopping: QUIT lets running requests end, TERM gives them five seconds, a second signal ends at once."""
import threading
from lib.goma import *

gate = threading.Event()
origin = Origin(lambda r: (gate.wait(30 * SLOW) if r.target == "/slow" else None, Reply(200, body="ok"))[1])


def busy(**gateway):
    """A gateway with a slow request running and an idle connection."""
    gate.clear()
    origin.clear()
    goma = Goma([route("/", origin)], workers=2, guards=True, log={"level": "warn"}, **gateway)
    idle = goma.client()
    idle.get("/")
    slow = goma.client()
    slow.request("GET", "/slow", read=False)
    origin.wait(lambda o: any(r.target == "/slow" for r in o.requests))
    return goma, slow, idle


def refused(goma):
    try:
        client = goma.client(timeout=1)
    except OSError:
        return True
    client.close()
    return False


def ended(goma, code, name, timeout=2 * PATIENCE):
    same(goma.wait_exit(timeout), code, name)
    same(goma.family(), [], f"{name}: nothing is left")
    for leftover in ("goma.pid", "control.sock"):
        expect(not os.path.exists(goma.path(leftover)), f"{name}: {leftover} is gone")


goma, slow, idle = busy()
goma.hit(signal.SIGQUIT)
expect(wait_for(lambda: refused(goma)), "QUIT: nobody new is let in")
expect(idle.is_closed(), "QUIT: an idle connection is closed")
expect(goma.process.poll() is None, "QUIT: the running request keeps it up")
gate.set()
reply = slow.response()
same((reply.status, reply["connection"]), (200, "close"), "QUIT: it ends well, with Connection: close")
ended(goma, 0, "QUIT: exit 0")

goma, slow, idle = busy()
began = time.monotonic()
goma.hit(signal.SIGTERM)
got = slow.outcome()
took = time.monotonic() - began
expect(3.5 < took < 8 * SLOW, "TERM: a running request gets five seconds", (got, took))
ended(goma, 0, "TERM: exit 0")
gate.set()

goma, slow, idle = busy()
goma.hit(signal.SIGINT)
wait_for(lambda: refused(goma))
began = time.monotonic()
goma.hit(signal.SIGINT)
ended(goma, 0, "a second INT: at once")
expect(time.monotonic() - began < 2.5 * SLOW, "a second INT does not wait", time.monotonic() - began)
gate.set()

for signal_number, orders in ((signal.SIGQUIT, []), (None, ["quit"])):
    goma, slow, idle = busy(timeouts={"drain": 0})
    began = time.monotonic()
    goma.hit(signal_number) if signal_number else goma.ctl(*orders)
    ended(goma, 0, "drain 0: exit 0")
    expect(time.monotonic() - began < 2.5 * SLOW, "drain 0: at once", time.monotonic() - began)
    gate.set()

goma, slow, idle = busy(timeouts={"drain": "never"})
expect("drain: never" in goma.ctl("config", "show")[1], "drain never: config show says it")
goma.hit(signal.SIGQUIT)
expect(wait_for(lambda: refused(goma)), "drain never: nobody new is let in")
expect(goma.process.poll() is None, "drain never: the running request keeps it up")
gate.set()
same(slow.response().status, 200, "drain never: until it ends")
ended(goma, 0, "drain never: exit 0")

goma, slow, idle = busy(timeouts={"drain": 1})
began = time.monotonic()
code, out, err = goma.ctl("quit")
expect(code == 0 and time.monotonic() - began < 6 * SLOW, "gomactl quit waits for the end; timeouts.drain bounds it", (code, out, err))
ended(goma, 0, "gomactl quit: exit 0")
gate.set()
code, out, err = goma.ctl("status")
expect(code == 3 and "not running" in out + err, "afterwards gomactl says that it is not running", (code, out, err))
goma = Goma([route("/", origin)])
code, out, err = goma.ctl("stop")
same(code, 0, "gomactl stop") or note(out + err)
ended(goma, 0, "gomactl stop: exit 0")
