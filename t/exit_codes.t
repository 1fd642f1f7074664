#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Exit codes (ecosystem table 2.3): each with the sentence that explains it."""
from lib.goma import *

origin = Origin()
idle = Goma([route("/", origin)], start=False)
where = ["-p", idle.directory, "-c", "goma.yml"]


def check(code, hint, name, *arguments, **options):
    got, out = idle.run(*arguments, **options)
    expect(got == code and re.search(hint, out), f"{name}: exit {code}", f"exit {got}: {out[-500:]}")


check(0, "", "a valid file", "-t", *where)
idle.write("gateway:\n  routes:\n    - {name: a, path: /, targt: 'http://127.0.0.1:1'}\n", "bad.yml")
bad = ["-p", idle.directory, "-c", "bad.yml"]
check(78, r'bad\.yml:3:.*unknown key "targt"(.|\n)*did you mean "target"', "an invalid file with -t", "-t", *bad)
check(78, "targt", "an invalid file at start", *bad)
check(78, "targt", "config check", "config", "check", "-c", idle.path("bad.yml"))
check(78, r"nowhere\.yml.*\n.*a relative path begins at the prefix", "a missing file at start", "-p", idle.directory, "-c", "nowhere.yml")
check(78, "nowhere.yml", "a missing file with -t", "-t", "-p", idle.directory, "-c", "nowhere.yml")
check(2, "--wrkers", "an unknown flag", "--wrkers", "2", *where)
check(2, "--workers", "and its suggestion", "--wrkers", "2", *where)
check(2, "servr(.|\n)*server", "an unknown verb", "servr")
check(2, "", "a flag without its value", "-c")
check(2, "", "a wrong number of workers", "--workers", "many", *where)
busy = socket.create_server(("127.0.0.1", 0))
idle.write(read(idle.path("goma.yml")).replace("127.0.0.1:0", "127.0.0.1:%d" % busy.getsockname()[1]), "busy.yml")
check(1, "in use", "a port in use", "-p", idle.directory, "-c", "busy.yml")
check(1, "busy.yml:[0-9]+:.*in use(.|\n)*held by", "and with -t, at its key, with who has it", "-t", "-p", idle.directory, "-c", "busy.yml")
check(0, "ok", "which is nothing to the file itself", "config", "check", "-p", idle.directory, "-c", "busy.yml")


def control(code, hint, name, *arguments, **options):
    run = subprocess.run([GOMACTL, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, **options)
    expect(run.returncode == code and re.search(hint, run.stdout + run.stderr), f"{name}: exit {code}",
           f"exit {run.returncode}: {run.stdout}{run.stderr}")


for verb in ("status", "ping", "reload", "stop"):
    control(3, "not running", f"gomactl {verb} without goma", "-p", idle.directory, verb)
control(2, 'did you mean "reload"', "gomactl relaod", "-p", idle.directory, "relaod")
control(2, "", "gomactl without a verb", "-p", idle.directory)
goma = Goma([route("/", origin)])
control(0, "", "gomactl ping", "-p", goma.directory, "ping")
got, out = idle.run("-p", goma.directory, "-c", "goma.yml")
expect(got == 1 and f"pid {goma.pid}" in out, "a second start: exit 1, already running", f"exit {got}: {out}")
expect(goma.canary(), "and the first is untouched")
if os.geteuid() == 0:
    control(4, "permission", "gomactl without permission", "-p", goma.directory, "status", preexec_fn=as_nobody)
else:
    skip("gomactl without permission", "not root")
goma.write("broken: [")
control(1, "refused", "a refused reload", "-p", goma.directory, "reload")
control(78, "goma.yml", "gomactl test", "-p", goma.directory, "test")
