#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Binary upgrade: new master, same sockets and counters, no failed request; rolled back when the new binary is no good."""
from lib.goma import *

origin = Origin()
directory = tempfile.mkdtemp(prefix="goma-t-")
binary = os.path.join(directory, "goma")
shutil.copy(GOMA, binary)
goma = Goma([route("/", origin, "main")], directory=directory, binary=binary, monitoring={"enableMetrics": True}, log={"level": "warn"})
SERIES = 'gateway_requests_total{name="main",method="GET"}'
address = goma.address
keep = Load(address, threads=2)
short = Load(address, threads=2, keepalive=False)
pids, counters = [goma.pid], []
turns = 4
for turn in range(turns):
    code, out, err = goma.ctl("upgrade")
    if not same(code, 0, f"upgrade {turn + 1}: exit 0"):
        note(out + err)
    goma.started_pids.add(goma.pid)
    pids.append(goma.pid)
    counters.append(goma.metrics().get(SERIES, 0))
    expect(wait_for(lambda: not alive(pids[-2]), 6 * PATIENCE), f"upgrade {turn + 1}: the old master leaves")
    mark = keep.total
    wait_for(lambda: keep.total > mark + 100)
keep.stop()
short.stop()
same(len(set(pids)), turns + 1, "each upgrade is a new master")
same((keep.failures[:3], short.failures[:3]), ([], []), "no request failed")
same(counters, sorted(counters), "counters go on") or note(counters)
expect(counters[0] > 0, "from where they were", counters)
same(parse_address(goma.status()["listeners"][0]["address"]), address, "the address is the same")

master = goma.pid
load = Load(address, threads=2)
for what, script in [("one that fails", "#!/bin/sh\nexit 1\n"), ("a file that is no program", "junk")]:
    with open(binary + ".new", "w", encoding="ascii") as file:
        file.write(script)
    os.chmod(binary + ".new", 0o755)
    os.rename(binary + ".new", binary)
    code, out, err = goma.ctl("upgrade")
    expect(code == 1 and (out + err).strip(), f"{what}: refused, exit 1, with a reason", (code, out, err))
    same((goma.pid, alive(master)), (master, True), f"{what}: the old master goes on")
shutil.copy(GOMA, binary + ".new")
os.rename(binary + ".new", binary)
goma.write("broken: [")
code, out, err = goma.ctl("upgrade")
same(code, 1, "a broken configuration: refused")
load.stop()
same(load.failures[:3], [], "no request failed in the refused ones")
goma.configure([route("/", origin, "main")])
os.kill(goma.pid, signal.SIGUSR2)
expect(wait_for(lambda: goma.pid != master and not alive(master), 6 * PATIENCE), "SIGUSR2 upgrades as well")
goma.started_pids.add(goma.pid)
expect(goma.canary(), "a canary passes")
goma.baseline = {}
