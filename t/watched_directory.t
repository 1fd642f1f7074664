#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A watched directory: what cannot be read changes nothing, and what comes back, by whatever way, is loaded."""
import atexit
import shutil
import subprocess
import tempfile
from lib.goma import *

origin = Origin(lambda request: Reply(200, body=request["x-seen"] or "?"))


def extra(seen):
    """A file with one route whose answer tells which file it was."""
    return json.dumps({"routes": [route("/one", origin, "one", middlewares=["seen"])],
                       "middlewares": [middleware("seen", "requestHeaders", {"setHeaders": {"X-Seen": seen}})]})


def fill(directory, seen, name="k.yml"):
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
        file.write(extra(seen))


def link(target, path):
    """Turns a link in one step, as deployments do."""
    os.symlink(target, path + ".new")
    os.rename(path + ".new", path)


def gateway(prepare, directory="extra", **more):
    goma = Goma([route("/main", origin, "main")], extraConfig={"directory": directory, "watch": True}, log={"level": "info"}, start=False, **more)
    prepare(goma)
    return goma.start()


def serves(goma, seen):
    return bool(wait_for(lambda: goma.get("/one").text == seen))


def refused(goma, why, after):
    """The reload was refused for this reason, and what served still does."""
    return goma.told("reload refused.*" + why, after)


def away_and_back(what, goma, go, why, come_back, last="later"):
    before, at = goma.get("/one").text, len(goma.output)
    go()
    expect(refused(goma, why, at), f"{what}: the log says so", goma.output[at:])
    same((goma.get("/one").text, goma.get("/main").status), (before, 200), f"{what}: the routes stay")
    code, said = goma.reload()
    expect(code == 1 and re.search(why, said) and goma.get("/one").text == before, f"{what}: so after a reload by hand", said)
    come_back()
    expect(serves(goma, last), f"{what}: what came back is loaded", goma.output[at:][-1500:])


# --- the directory goes and comes

goma = gateway(lambda g: fill(g.path("extra"), "first"))
same(goma.get("/one").text, "first", "what is in the directory is served")
at = len(goma.output)
os.rename(goma.path("extra"), goma.path("away"))
expect(refused(goma, "no such directory", at), "moved away: the log says so", goma.output[at:])
same(goma.get("/one").text, "first", "moved away: the routes stay")
os.rename(goma.path("away"), goma.path("extra"))
expect(goma.told("msg=reloaded|reloaded", at), "moved back: it is loaded")
fill(goma.path("extra"), "edited")
expect(serves(goma, "edited"), "and it is watched on")
away_and_back("deleted and made anew", goma, lambda: shutil.rmtree(goma.path("extra")), "no such directory", lambda: fill(goma.path("extra"), "later"))


def exchanged():
    fill(goma.path("other"), "exchanged")
    os.rename(goma.path("extra"), goma.path("old"))
    os.rename(goma.path("other"), goma.path("extra"))


exchanged()
expect(serves(goma, "exchanged"), "exchanged for another directory: that is loaded")
fill(goma.path("extra/sub/deep"), "below")
os.unlink(goma.path("extra/k.yml"))
expect(serves(goma, "below"), "a file in a new directory below is seen")

# --- links

goma = gateway(lambda g: (fill(g.path("releases/42"), "42"), fill(g.path("releases/43"), "43"), os.symlink("releases/42", g.path("current"))), "current")
link("releases/43", goma.path("current"))
expect(serves(goma, "43"), "current -> releases/N: a link that is turned is seen")
away_and_back("a dangling link", goma, lambda: link("releases/44", goma.path("current")), "releases/44 is not there", lambda: fill(goma.path("releases/44"), "later"))


def config_map(goma, data):
    """As a kubelet writes a volume: files are links to ..data/, which is turned."""
    fill(goma.path(f"extra/..{data}"), data)
    link(f"..{data}", goma.path("extra/..data"))
    if not os.path.lexists(goma.path("extra/k.yml")):
        os.symlink("..data/k.yml", goma.path("extra/k.yml"))


goma = gateway(lambda g: config_map(g, "2026_01"))
same(goma.get("/one").text, "2026_01", "a ConfigMap is served")
config_map(goma, "2026_02")
expect(serves(goma, "2026_02"), "its ..data is turned: that is seen")

# --- what is not there at the first start

goma = gateway(lambda g: None, "far/away/extra")
expect(goma.told("directory-missing") and goma.get("/main").status == 200, "missing at the first start: a warning", goma.output)
same(goma.reload()[0], 0, "and no reason to refuse a reload")
fill(goma.path("far/away/extra"), "came")
expect(serves(goma, "came"), "what comes later is loaded")

# --- a volume

goma = gateway(lambda g: fill(g.path("extra"), "first"))


def unmounted():
    os.rename(goma.path("extra"), tempfile.mkdtemp(dir=goma.directory))
    os.mkdir(goma.path("extra"))


away_and_back("an empty directory in its place", goma, unmounted, "a volume that is not mounted", lambda: fill(goma.path("extra"), "later"))
unmounted()
same((goma.reload("--force")[0], goma.get("/one").status, goma.get("/main").status), (0, 404, 200), "--force: it is meant to be empty")
if os.geteuid() == 0 and subprocess.run(["mount", "-t", "tmpfs", "goma", goma.path("extra")], capture_output=True).returncode == 0:
    atexit.register(subprocess.run, ["umount", "-l", goma.path("extra")], capture_output=True)
    fill(goma.path("extra"), "mounted")
    expect(serves(goma, "mounted"), "a volume that is mounted is seen")
    at = len(goma.output)
    subprocess.run(["umount", goma.path("extra")], check=True)
    expect(refused(goma, "a volume that is not mounted", at) and goma.get("/one").text == "mounted", "and one that is unmounted takes nothing away")
else:
    skip("a volume that is mounted", "nothing can be mounted here")

# --- permissions

if os.geteuid() == 0:
    goma = gateway(lambda g: (fill(g.path("extra"), "first"), os.chmod(g.directory, 0o777)), preexec=as_nobody)
    away_and_back("permission lost", goma, lambda: os.chmod(goma.path("extra"), 0o700), "permission denied",
                  lambda: (fill(goma.path("extra"), "later"), os.chmod(goma.path("extra"), 0o755)))
else:
    skip("permission lost", "needs root")
