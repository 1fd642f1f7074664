#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Command lines: nginx's flags and Goma's verbs both work (ecosystem table 2.1), and gomactl answers every verb, also in JSON."""
from lib.goma import *

origin = Origin()
idle = Goma([route("/", origin, "main"), route("/b", [origin, "http://127.0.0.1:1"], "second")], start=False)
where = ["-p", idle.directory, "-c", "goma.yml"]
for arguments in (["-v"], ["--version"], ["version"]):
    code, out = idle.run(*arguments)
    expect(code == 0 and re.search(r"goma\S*.*\d+\.\d+", out), f"goma {' '.join(arguments)}", (code, out))
code, out = idle.run("-V")
expect(code == 0 and "respond" in out, "-V lists the modules", (code, out))
code, out = idle.run("--help")
expect(code == 0 and "--workers" in out, "--help", (code, out))
code, out = idle.run("-t", *where)
expect(code == 0 and "goma.yml" in out, "-t says that the file is good", (code, out))
same(idle.run("-t", "-q", *where), (0, ""), "-t -q says nothing")
for spelling in (["config", "check", "-c", "goma.yml"], ["config", "check", "--config", idle.path("goma.yml")],
                 ["config", "check", f"--config={idle.path('goma.yml')}"]):
    code, out = idle.run(*spelling)
    same(code, 0, " ".join(spelling[:3])) or note(out)
code, out = idle.run("-T", *where)
expect(code == 0 and "main" in out and "goma.yml:" in out, "-T shows the effective configuration with its origins", (code, out[:300]))
code, out = idle.run("-t", "--format", "json", *where)
expect(code == 0, "--format json", (code, out))
idle.write("routs: [", "bad.yml")
code, out = idle.run("-t", "--format", "json", "-p", idle.directory, "-c", "bad.yml")
found = attempt("problems as JSON parse", json.loads, out[out.index("["):out.rindex("]") + 1] if "[" in out and "{" in out else out)
expect(code == 78 and found, "problems as JSON", (code, out))
code, out = idle.run("config", "init", "-o", "init.yml")
same(code, 0, "config init") or note(out)
same(idle.run("config", "check", "-c", "init.yml")[0], 0, "writes a file that works")
code, out = idle.run("config", "init", "-o", "init.yml")
expect(code != 0, "and does not overwrite it", (code, out))
same(idle.run("config", "init", "--output", "init.yml", "--force")[0], 0, "unless forced")
same(idle.run("-t", "-p", idle.directory, env={"GOMA_CONFIG_FILE": idle.path("goma.yml")})[0], 0, "GOMA_CONFIG_FILE names the file")

goma = Goma([route("/", origin, "main"), route("/b", [origin, "http://127.0.0.1:1"], "second")])
for verb, want in [(["status"], "generation"), (["ping"], ""), (["workers"], str(goma.worker_pids()[0])), (["routes"], "second"),
                   (["backends"], str(origin.port)), (["config", "show"], "second"), (["test"], ""), (["reload"], "reloaded: generation"),
                   (["reopen"], "")]:
    code, out, err = goma.ctl(*verb)
    expect(code == 0 and want in out + err, f"gomactl {' '.join(verb)}", (code, out, err))
    code, out, err = goma.ctl("--json", *verb)
    expect(code == 0 and attempt("is JSON", json.loads, out) is not None, f"gomactl --json {' '.join(verb)}", (code, out, err))
status = goma.status()
missing = {"version", "pid", "generation", "loaded_at", "uptime_seconds", "workers", "listeners", "routes", "state", "last_reload"} - set(status)
same(missing, set(), "status has its fields")
titles = sorted({re.sub(r"\d+", "N", title(p)).strip() for p in goma.family()})
same(titles, ["goma: manager", "goma: master", "goma: worker N"], "process titles")
code, out, err = goma.ctl("--help")
expect(code == 0 and "reload" in out + err, "gomactl --help", (code, out, err))
code, out = goma.run("-p", goma.directory, "-c", "goma.yml", "-s", "quit")
same(code, 0, "goma -s quit") or note(out)
same(goma.wait_exit(), 0, "stops it")

daemon = Goma([route("/", origin)], start=False)
code, out = daemon.run("-p", daemon.directory, "-c", "goma.yml", "--daemon", "--workers", "1")
same(code, 0, "--daemon returns when it serves") or note(out)
pid = int(read(daemon.path("goma.pid")) or 0)
expect(pid and alive(pid), "and leaves a master with a pid file")
if pid:
    daemon.learn()
    expect(daemon.canary(), "that serves")
    code, out, err = daemon.ctl("stop")
    same(code, 0, "gomactl stop ends it") or note(out + err)
    expect(wait_for(lambda: not alive(pid)), "the daemon is gone")
