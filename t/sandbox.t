#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Workers and manager have no way back to rights: no new privileges, no capability in any set, and a system call filter
that refuses without ending anything; also when they were started with a capability."""
import pwd
from lib.goma import *

origin = Origin()
has_filter = "libseccomp" in subprocess.run([GOMA, "-V"], capture_output=True, text=True).stdout.split("sandbox:")[1]
sets = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


def held(pid):
    found = dict(re.findall(r"^(\w+):\s*(\S+)", read(f"/proc/{pid}/status"), re.M))
    return {key: int(found[key], 16) for key in sets}, int(found["NoNewPrivs"]), int(found["Seccomp"])


def children(goma):
    return [pid for pid in goma.family() if re.match("goma: (worker|manager)", title(pid))]


def check(goma, name, bounding=0, seccomp=2 if has_filter else 0):
    expect(len(children(goma)) == 3, f"{name}: two workers and a manager")
    for pid in children(goma):
        capabilities, no_new, filtered = held(pid)
        capabilities["CapBnd"] &= ~bounding
        same((capabilities, no_new, filtered), (dict.fromkeys(sets, 0), 1, seccomp), f"{name}: {title(pid)}")
    expect(goma.canary(), f"{name}: it serves")
    same(goma.reload()[0], 0, f"{name}: it reloads")
    shown = goma.ctl("workers")[1].splitlines()
    word = "no new privileges, no capabilities, %ssystem call filter, " % ("" if seccomp else "no ")
    expect(len(shown) == 3 and all(word in line for line in shown), f"{name}: gomactl workers shows it", shown)
    told = goma.status()["workers"][0]["sandbox"]
    same(told, {"no_new_privileges": True, "capabilities": False, "filter": seccomp == 2}, f"{name}: so does status")


everything = int(read("/proc/self/status").split("CapBnd:")[1].split()[0], 16)
goma = Goma([route("/", "http://localhost:%d" % origin.port)], args=["-g", "user nobody"])
check(goma, "as root" if os.geteuid() == 0 else "as a user", 0 if os.geteuid() == 0 else everything)
send_signal(victim := goma.worker_pids()[0], signal.SIGKILL)
goma.baseline = {}
expect(wait_for(lambda: victim not in goma.worker_pids() and len(children(goma)) == 3), "a worker that died is replaced")
check(goma, "after that", 0 if os.geteuid() == 0 else everything)
goma = Goma([route("/", origin)], args=["-g", "user nobody; sandbox off"])
check(goma, "sandbox off", 0 if os.geteuid() == 0 else everything, seccomp=0)
code, out = goma.run("-g", "sandbox perhaps")
expect(code == 2 and "sandbox" in out, "a wrong word is refused", out)

if os.geteuid() == 0:
    # As under systemd: another user with the one capability, which no worker keeps.
    def one_capability():
        os.execvpe("setpriv", ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps", "+net_bind_service",
                              "--ambient-caps", "+net_bind_service", "--bounding-set", "-all,+net_bind_service", *goma.command()], goma.environment())
    goma = Goma([route("/", origin)], start=False, preexec=one_capability)
    os.chown(goma.directory, 65534, 65534)
    goma.start()
    same(held(goma.pid)[0]["CapEff"], 1 << 10, "the master has the one capability")
    check(goma, "with one capability", bounding=1 << 10)
    expect(not [m for m in (goma.output,) if "no user" in m], "and there is no word about a user")
    try:
        pwd.getpwnam("goma")
        skip("without a user goma", "there is one")
    except KeyError:
        goma = Goma([route("/", origin)])
        expect('no user "goma"' in goma.output and "useradd --system" in goma.output, "without a user goma a warning says what is used, and how to make one")
        expect(goma.told('level=WARN.*no user .*goma'), "in the log too")
