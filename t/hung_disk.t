#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Directories on a disk that does not answer: the master says which, and does all else meanwhile."""
from lib.goma import *
from lib.hung import Hung, own_mounts

if not own_mounts():
    skip_all("needs root and /dev/fuse")
origin = Origin(lambda request: Reply(200, body=request["x-seen"] or "?"))
watched = {"extraConfig": {"directory": "extra", "watch": True}, "log": {"level": "info", "filePath": "goma.log"}}


def fill(goma, seen):
    os.makedirs(goma.path("extra"), exist_ok=True)
    goma.write(json.dumps({"routes": [route("/one", origin, "one", middlewares=["seen"])],
                           "middlewares": [middleware("seen", "requestHeaders", {"setHeaders": {"X-Seen": seen}})]}), "extra/k.yml")


def logged(goma, pattern):
    return bool(wait_for(lambda: re.search(pattern, read(goma.path("goma.log"))), 3 * PATIENCE))


def works(goma, when):
    """What does not need the directory."""
    same((goma.ctl("ping")[0], goma.ctl("status")[0], goma.ctl("reopen")[0]), (0, 0, 0), f"{when}: ping, status, reopen")
    same(goma.get("/one").text, "first", f"{when}: it serves")


for holds in (False, True):
    kind = "whose requests cannot even be given up" if holds else "that takes no requests"
    goma = Goma([route("/main", origin, "main")], start=False, **watched)
    fill(goma, "first")
    goma.start()
    disk = Hung(goma.path("extra"), holds)
    expect(logged(goma, r'msg="a directory that is watched does not answer".*/extra'), f"a disk {kind}: the log names the directory", read(goma.path("goma.log")))
    works(goma, kind)
    goma.hit(signal.SIGUSR1)
    expect(wait_for(lambda: read(goma.path("goma.log")).count("logs reopened") >= 2), f"{kind}: USR1")
    children = [title(pid) for pid in goma.family() if title(pid).startswith("goma: file watch")]
    expect(len(children) <= 1, f"{kind}: looks that wait for it do not pile up", str(children))
    goma.configure([route("/main", origin, "main"), route("/two", origin, "two")], log=watched["log"])
    same(goma.reload("--force")[0], 0, f"{kind}: a reload without the directory")
    same((goma.get("/two").status, goma.get("/one").status), (200, 404), f"{kind}: is what serves")
    disk.end()
    goma.configure([route("/main", origin, "main")], **watched)
    same(goma.reload()[0], 0, f"{kind}: with the directory again, which is back")
    disk = Hung(goma.path("extra"), holds)
    expect(wait_for(lambda: any(title(pid).startswith("goma: file watch") for pid in goma.family())), f"{kind}: it is looked at")
    works(goma, kind)
    disk.end()
    fill(goma, "second")
    expect(wait_for(lambda: goma.get("/one").text == "second", 3 * PATIENCE), f"{kind}: once it is back changes are seen", read(goma.path("goma.log"))[-2000:])
    disk = Hung(goma.path("extra"), holds)
    expect(wait_for(lambda: any(title(pid).startswith("goma: file watch") for pid in goma.family())), f"{kind}: it is looked at again")
    began = time.monotonic()
    goma.hit(signal.SIGTERM)
    expect(wait_for(lambda: goma.process.poll() is not None, PATIENCE), f"{kind}: it stops meanwhile")
    disk.end()
