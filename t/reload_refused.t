#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A refused reload changes nothing and says why: broken file, unknown key, port in use, missing file, bombs (H86)."""
from lib.goma import *

origin = Origin()
goma = Goma([route("/", origin, "main")], log={"level": "warn"})
good = read(goma.path("goma.yml"))
generation = goma.status()["generation"]
busy = socket.create_server(("127.0.0.1", 0))
bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(f"{c}: &{c} [{','.join(['*' + p] * 10)}]\n" for p, c in zip("abcdefghi", "bcdefghij"))
BROKEN = [
    ("an unclosed bracket", "gateway: [", "goma.yml:", None),
    ("an unknown key", good.replace('"target"', '"targt"'), 'did you mean "target"', None),
    ("an unknown middleware", good.replace('"middlewares": []', '"middlewares": [], "x-a": 1').replace(
        '"path": "/"', '"path": "/", "middlewares": ["nope"]'), "nope", None),
    ("a port in use", good.replace("127.0.0.1:0", f"127.0.0.1:{busy.getsockname()[1]}"), "in use", None),
    ("a wrong type", good.replace('"path": "/"', '"path": "/", "priority": "high"'), "priority", None),
    ("an alias bomb", bomb + good, "goma.yml", 2),
    ("a duplicate key", good.replace('"version": 2,', '"version": 2, "version": 2,'), "version", None),
    ("a NUL", good.replace('"main"', '"ma\0in"'), "goma.yml", None),
    ("a file of 100 MB", "# " + "x" * 100_000_000 + "\n" + good, "goma.yml", 2),
    ("500 levels", "a: " + "[" * 500 + "]" * 500 + "\n", "goma.yml", 2),
    ("nothing at all", "", "goma.yml", None),
    ("a template as text", good.replace("version", "\tversion"), "goma.yml", None),
]
load = Load(goma.address, threads=2)
for what, text, hint, seconds in BROKEN:
    if what == "a template as text":
        text = "version: 2\ngateway:\n\troutes: []\n"
    goma.write(text)
    began = time.monotonic()
    code, out = goma.reload()
    took = time.monotonic() - began
    expect(code == 1 and hint in out and "refused" in out, f"{what}: refused, exit 1, with the cause", f"exit {code}: {out[-600:]}")
    expect(took < (seconds or 5) * SLOW, f"{what}: at once", took)
    same(goma.status()["generation"], generation, f"{what}: the generation stays")
os.unlink(goma.path("goma.yml"))
code, out = goma.reload()
expect(code == 1 and "goma.yml" in out, "a missing file: refused", out)
goma.write(good)
same(goma.ctl("test")[0], 0, "gomactl test finds the good file good")
code, out = goma.reload()
same(code, 0, "the good file reloads") or note(out)
expect(goma.status()["generation"] > generation, "as a new generation")
load.stop()
same(load.failures[:3], [], "no request failed meanwhile")
last = goma.status()["last_reload"]
same(last["ok"], True, "status tells the last reload")

# --- no route left

bare = config_text([])
told = len(goma.output)
goma.write(bare)
code, out = goma.reload()
expect(code == 1 and "no route would be left, where 1 serves" in out and "gomactl reload --force" in out, "no route left: refused, with the way out", out)
os.kill(goma.pid, signal.SIGHUP)
expect(goma.told("reload refused.*gomactl reload --force", told), "after HUP the log tells it")
expect(goma.ctl("test")[0] == 78, "and gomactl test says so beforehand")
same(goma.get("/").status, 200, "the route stays")
same((goma.reload("--force")[0], goma.get("/").status), (0, 404), "--force: no route at all")
same(goma.reload()[0], 0, "from none to none is no loss")
goma.write(good)
same((goma.reload()[0], goma.get("/").status), (0, 200), "and back")

os.mkdir(goma.path("extra"))
watched = Goma([route("/", origin, "main")], extraConfig={"directory": "extra", "watch": True}, directory=goma.directory + "-w",
               start=False) if os.makedirs(goma.directory + "-w/extra") is None else None
watched.start()
same(watched.get("/added").text, "origin", "extraConfig: before")
other = Origin(name="other")
watched.write(json.dumps({"routes": [route("/added", other)]}), "extra/more.yml")
expect(wait_for(lambda: watched.get("/added").text == "other"), "extraConfig: a new file is noticed and served")
watched.write("routes: [", "extra/more.yml")
expect(wait_for(lambda: "refused" in watched.output or "more.yml" in watched.output), "extraConfig: a broken one is reported")
same(watched.get("/added").text, "other", "and changes nothing")
os.unlink(watched.path("extra/more.yml"))
expect(wait_for(lambda: watched.get("/added").text == "origin"), "extraConfig: its removal is noticed")
