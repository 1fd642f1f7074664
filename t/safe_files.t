#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Started as root in places where the workers' user may write: no link leads root astray (CVE-2016-1247's kind)."""
import pwd
from lib.goma import *

if os.geteuid() != 0:
    skip_all("needs root")
origin = Origin()
worker = pwd.getpwnam("nobody")
secret_owner = (0, 0, 0o600)


def state(path):
    about = os.lstat(path)
    return about.st_uid, about.st_gid, about.st_mode & 0o7777


def victim(goma, content="root's own\n"):
    path = goma.path("victim")
    with open(path, "w", encoding="ascii") as file:
        file.write(content)
    os.chmod(path, 0o600)
    return path


def prepared(file_path="logs/goma.log"):
    """A directory of root's with one inside that belongs to the workers' user."""
    goma = Goma([route("/", origin)], log={"level": "info", "filePath": file_path}, start=False, args=["-g", "user nobody"])
    os.mkdir(goma.path("logs"))
    os.chown(goma.path("logs"), worker.pw_uid, worker.pw_gid)
    return goma


def refused(goma, words, name, code=78):
    """Neither -t nor a start accepts it, both say why, and the victim is as it was."""
    for arguments in (["-t"], []):
        got, out = goma.run(*arguments, *goma.command()[1:])
        expect(got == code and all(word in out for word in words), f"{name}: {' '.join(arguments) or 'start'} refuses with {words}", f"exit {got}: {out}")
    same((state(goma.path("victim")), read(goma.path("victim"))), (secret_owner, "root's own\n"), f"{name}: the file behind it is as it was")


goma = prepared()
os.symlink(victim(goma), goma.path("logs/goma.log"))
refused(goma, ["goma.yml:", "logs/goma.log", "symbolic link"], "a link for the log")
os.unlink(goma.path("logs/goma.log"))
os.link(goma.path("victim"), goma.path("logs/goma.log"))
refused(goma, ["goma.yml:", "2 names (hard links)"], "a hard link for the log")
os.unlink(goma.path("logs/goma.log"))
with open(goma.path("logs/goma.log"), "w", encoding="ascii"):
    os.chown(goma.path("logs/goma.log"), 12345, 12345)
refused(goma, ["user 12345"], "a stranger's file for the log")
os.unlink(goma.path("logs/goma.log"))
os.symlink(goma.directory, goma.path("logs/deep"))
goma.configure([route("/", origin)], log={"level": "info", "filePath": "logs/deep/victim"})
refused(goma, ["logs/deep", "symbolic link", "user 65534 may write"], "a link on the way to the log")
os.mkdir(goma.path("logs/folder"))
goma.configure([route("/", origin)], log={"level": "info", "filePath": "logs/folder"})
refused(goma, ["goma.yml:", "is a directory"], "a directory for the log")

# Root's own links are believed: /var/log may lie on another disk.
goma = prepared("root/goma.log")
goma.guards = False     # that the log cannot be opened is an alert
os.symlink(goma.path("logs"), goma.path("root"))
victim(goma)
goma.start()
expect(goma.canary(), "a link in root's directory is followed")
same(state(goma.path("logs/goma.log"))[0], worker.pw_uid, "the log belongs to the workers' user")

# While it runs: the log is replaced by a link, then opened again.
for act, name in ((lambda: goma.ctl("reopen")[:2], "reopen"), (lambda: goma.reload(), "reload")):
    os.unlink(goma.path("logs/goma.log"))
    os.symlink(goma.path("victim"), goma.path("logs/goma.log"))
    code, out = act()
    expect(code == 1 and not os.path.samefile("/etc/passwd", goma.path("victim")), f"{name}: a link in the place of the log is refused", out)
    same((state(goma.path("victim")), read(goma.path("victim"))), (secret_owner, "root's own\n"), f"{name}: and what it leads to is untouched")
    expect(goma.canary(), f"{name}: it serves on")
    os.unlink(goma.path("logs/goma.log"))
    same(goma.ctl("reopen")[0], 0, f"{name}: without the link all is well again")

# Pid file, control socket, state: the prefix itself belongs to the workers' user.
for name in ("goma.pid", "goma.state.new", "control.sock.new", "goma.pid.new"):
    goma = prepared()
    os.chown(goma.directory, worker.pw_uid, worker.pw_gid)
    os.symlink(victim(goma), goma.path(name))
    if name == "goma.pid":
        refused(goma, ["goma.pid", "symbolic link"], "a link for the pid file", code=1)
        continue
    goma.start()
    same((state(goma.path("victim")), read(goma.path("victim"))), (secret_owner, "root's own\n"), f"a link at {name} changes nothing of root's")
    same(goma.ctl("ping")[0], 0, f"a link at {name}: it works")
    goma.stop()
goma = prepared()
os.chown(goma.directory, worker.pw_uid, worker.pw_gid)
sleeper = subprocess.Popen(["sleep", "100"])
with open(goma.path("goma.state"), "w", encoding="ascii") as file:
    file.write(f"{sleeper.pid} {stat_of(sleeper.pid)[19]}\n")
os.chown(goma.path("goma.state"), 12345, 12345)
goma.start()
expect(goma.canary() and sleeper.poll() is None, "a stranger's state file makes root signal nobody")
sleeper.kill()
sleeper.wait()
