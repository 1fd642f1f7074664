#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Started as root, workers and manager give up root for good; started without privileges, everything works as well."""
from lib.goma import *

origin = Origin()
if os.geteuid() != 0:
    skip_all("needs root")


def ids(pid):
    text = read(f"/proc/{pid}/status")
    uid = re.search(r"Uid:\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)", text).groups()
    gid = re.search(r"Gid:\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)", text).groups()
    capabilities = int(re.search(r"CapEff:\s+([0-9a-f]+)", text).group(1), 16)
    groups = re.search(r"Groups:\s*(.*)", text).group(1).split()
    return set(uid), set(gid), capabilities, groups


goma = Goma([route("/", origin)], log={"level": "info", "filePath": "logs/goma.log"}, start=False)
os.mkdir(goma.path("logs"))
goma.start()
for pid in goma.family():
    if title(pid).startswith("goma: master"):
        continue
    uid, gid, capabilities, groups = ids(pid)
    expect("0" not in uid and "0" not in gid, f"{title(pid)} is not root", (uid, gid))
    expect(capabilities == 0 and "0" not in groups, f"{title(pid)} keeps no capability and no group of root", (hex(capabilities), groups))
expect(goma.canary(), "it serves")
same(goma.reload()[0], 0, "it reloads")
code, out, err = goma.ctl("reopen")
same(code, 0, "it reopens its logs") or note(out + err)
goma.get("/after")
expect(wait_for(lambda: "/after" in read(goma.path("logs/goma.log"))), "its workers still write them")
victim = goma.worker_pids()[0]
send_signal(victim, signal.SIGKILL)
expect(wait_for(lambda: victim not in goma.worker_pids()), "a killed worker is replaced")
new = goma.worker_pids()
expect(all("0" not in ids(p)[0] for p in new), "by one that is not root either")
goma.baseline = {}
expect(os.stat(goma.path("control.sock")).st_mode & 0o007 == 0, "the control socket is closed to others")

plain = Goma([route("/", origin)], start=False, preexec=as_nobody)
os.chown(plain.directory, 65534, 65534)
plain.start()
same({pid: ids(pid)[0] for pid in plain.family()}, {pid: {"65534"} for pid in plain.family()}, "without privileges: every process is the user")
expect(plain.canary(), "it serves")
same(plain.reload()[0], 0, "it reloads")
