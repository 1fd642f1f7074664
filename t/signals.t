#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Signals have nginx's meaning (ecosystem table 2.2); what stops is in stop.t, USR2 in upgrade.t, USR1 in log_reopen.t."""
from lib.goma import *

first, second = Origin(name="first"), Origin(name="second")
goma = Goma([route("/", first)])
master, workers = goma.pid, set(goma.worker_pids())
goma.configure([route("/", second)])
goma.hit(signal.SIGHUP)
expect(wait_for(lambda: goma.get("/").text == "second"), "HUP reloads")
goma.write("broken: [")
generation = goma.status()["generation"]
goma.hit(signal.SIGHUP)
expect(wait_for(lambda: "refused" in goma.output), "HUP with a broken file is refused in the log")
same((goma.get("/").text, goma.status()["generation"]), ("second", generation), "and changes nothing")
expect(alive(master) and set(goma.worker_pids()) == workers, "the processes are the same")
for number in (signal.SIGUSR1, signal.SIGPIPE, signal.SIGCHLD, signal.SIGURG):
    goma.hit(number)
expect(goma.canary() and goma.ctl("ping")[0] == 0, "harmless signals do no harm")
goma.configure([route("/", first)])
code, out = goma.run("-p", goma.directory, "-c", "goma.yml", "-s", "reload")
same(code, 0, "goma -s reload") or note(out)
expect(wait_for(lambda: goma.get("/").text == "first"), "reloads")
for pid in goma.worker_pids():
    send_signal(pid, signal.SIGHUP)
    send_signal(pid, signal.SIGINT)
expect(goma.canary(), "a terminal's HUP or INT to workers does no harm")
same(set(goma.worker_pids()), workers, "they are the same")
goma.hit(signal.SIGWINCH)
expect(wait_for(lambda: not any(alive(p) for p in workers)), "WINCH drains the workers")
expect(alive(master), "and the master stays")
goma.baseline = {}
goma.hit(signal.SIGHUP)
expect(wait_for(lambda: any(alive(w["pid"]) for w in goma.status()["workers"])), "HUP brings workers back")
expect(wait_for(goma.canary), "which serve")
