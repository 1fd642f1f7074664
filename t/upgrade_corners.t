#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""New binaries that are none, hang, ignore TERM, crash or have another slab; masters that die at the worst moment; what waits meanwhile."""
from lib.goma import *

time_limit(240)
port = free_port()
origin = Origin()
directory = tempfile.mkdtemp(prefix="goma-t-")
binary = os.path.join(directory, "goma")
shutil.copy(GOMA, binary)
CONFIG = {"entryPoints": {"web": {"address": f"127.0.0.1:{port}"}}, "timeouts": {"drain": 2}}
goma = Goma([route("/", origin)], directory=directory, binary=binary, guards=False, **CONFIG)
STUBBORN = "#!/bin/sh\ntrap '' TERM QUIT HUP\nsleep 1000 &\nwait\nsleep 1000\n"
OTHER_SLAB = f"""#!/usr/bin/env python3
import os, re, sys
os.dup2(os.open("/dev/null", os.O_RDWR), 900)
os.environ["GOMA_UPGRADE"] = re.sub("slab=[0-9]+", "slab=900", os.environ["GOMA_UPGRADE"])
os.execv("{GOMA}", sys.argv)
"""


def install(text):
    if text is None:
        shutil.copy(GOMA, binary + ".new")
    else:
        with open(binary + ".new", "w", encoding="ascii") as file:
            file.write(text)
    os.chmod(binary + ".new", 0o755)
    os.rename(binary + ".new", binary)


def strangers():
    return [title(p) for p in goma.family() if not title(p).startswith("goma: ")]


def hang(order):
    """A new binary that does nothing, not even on TERM, is started; then the order."""
    install(STUBBORN)
    goma.hit(signal.SIGUSR2)
    expect(wait_for(lambda: any("sleep" in t for t in strangers())), f"{order}: a stubborn binary and its child run", strangers())
    install(None)


def gone(name):
    expect(wait_for(lambda: not goma.family(), 12 * SLOW), f"{name}: nothing of it is left", [title(p) for p in goma.family()])
    expect(wait_for(lambda: not goma.canary()), f"{name}: nobody listens")
    attempt(f"{name}: a new start works", goma.start)
    expect(goma.canary(), f"{name}: and serves")


hang("a reload meanwhile")
goma.configure([route("/", origin), route("/new", origin)], **CONFIG)
waiting = subprocess.Popen([GOMACTL, "-p", directory, "reload"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
code, out, err = goma.ctl("upgrade")
expect(code == 1 and "upgrading" in err, "a second upgrade meanwhile is refused, with the reason", (code, out, err))
same(goma.ctl("reopen")[0], 0, "reopen is done meanwhile")
for pid in [p for p in goma.family() if not title(p).startswith("goma: ")]:
    send_signal(pid, signal.SIGKILL)
out, _ = waiting.communicate(timeout=PATIENCE)
expect(waiting.returncode == 0 and "2 routes" in out, "the reload is done once the upgrade has failed", out)
expect(wait_for(lambda: not strangers()), "nothing of that binary is left", strangers())

hang("TERM meanwhile")
goma.hit(signal.SIGTERM)
gone("TERM meanwhile")
hang("the old master killed")
send_signal(goma.pid, signal.SIGKILL)
gone("the old master killed")

install("#!/bin/sh\nkill -SEGV $$\n")
code, out, err = goma.ctl("upgrade")
expect(code == 1 and "signal 11" in err, "one that crashes: the signal is told", (code, out, err))
install("#!/bin/sh\nsleep 1000 &\nexit 3\n")
code, out, err = goma.ctl("upgrade")
expect(code == 1 and "exit code 3" in err, "one that ends: its code is told", (code, out, err))
expect(wait_for(lambda: not strangers()), "what it left behind is ended", strangers())
install(OTHER_SLAB)
old = goma.pid
code, out, err = goma.ctl("upgrade")
same(code, 0, "one with another slab: done") or note(out + err)
expect(goma.told("another layout"), "the log tells that counters start anew")
expect(goma.pid != old and goma.canary() and wait_for(lambda: not alive(old)), "it serves")

install(None)
for victim in ("worker", "manager"):
    os.kill(next(p for p in goma.family() if title(p).startswith(f"goma: {victim}")), signal.SIGSTOP)
same(goma.ctl("stop")[0], 0, "gomactl stop with a stopped worker and manager: done")
gone("stopped children")

send_signal(goma.pid, signal.SIGKILL)
expect(goma.canary(), "a killed master: its workers serve on for a moment")
gone("a killed master")
if LONG:
    hang("nothing meanwhile")
    expect(wait_for(lambda: not strangers(), 60 * SLOW), "a stubborn binary is killed when it is late", strangers())
    code, out, err = goma.ctl("upgrade")
    same(code, 0, "the next upgrade works") or note(out + err)
    os.kill(goma.worker_pids()[0], signal.SIGSTOP)
    send_signal(goma.pid, signal.SIGKILL)
    attempt("a start beside a stopped orphan works", goma.start)
    expect(wait_for(lambda: len(goma.family()) == 4, 60 * SLOW), "which is killed in the end", [title(p) for p in goma.family()])
