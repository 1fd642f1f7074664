#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A table of machines that lack something: what goma -t accepts, starts; what a start would refuse, -t refuses with the same
exit code, at the key that asks for it."""
from lib.goma import *

origin = Origin()
root = os.geteuid() == 0
web = {"address": "127.0.0.1:0"}


def busy(kind=socket.SOCK_STREAM):
    """A port that somebody else has."""
    sock = socket.socket(socket.AF_INET, kind)
    sock.bind(("127.0.0.1", 0))
    if kind == socket.SOCK_STREAM:
        sock.listen()
    busy.kept.append(sock)
    return sock.getsockname()[1]


busy.kept = []


def unix(goma, name, listens):
    server = socket.socket(socket.AF_UNIX)
    server.bind(goma.path(name))
    if listens:
        server.listen()
        busy.kept.append(server)
    else:
        server.close()


def log(path):
    return {"log": {"level": "info", "filePath": path}}


def listen(address):
    return {"entryPoints": {"web": {"address": address}}}


def passing(protocol, port):
    rule = {"protocol": protocol, "address": "127.0.0.1", "port": port, "target": "127.0.0.1:9"}
    return {"entryPoints": {"web": web, "passThrough": {"forwards": [rule]}}}


def closed(goma):
    os.mkdir(goma.path("closed"), 0o700)


def as_user(goma):
    goma.preexec = as_nobody if root else None


def shut(goma):
    os.mkdir(goma.path("shut"), 0o555)
    as_user(goma)


def read_only(goma):
    as_user(goma)
    os.chmod(goma.directory, 0o555)


stream, datagram = busy(), busy(socket.SOCK_DGRAM)
place = r"goma\.yml:\d+:\d+: error: "
# name, gateway, what is done to the place, exit code of both, words of both, words of -t alone; root: only as root
table = [
    ("nothing wrong", {}, None, 0, "", ""),
    ("the log's directory is missing", log("none/goma.log"), None, 78, place + ".*none/goma.log.*No such file", "make the directory"),
    ("the log is a directory", log("dir"), lambda g: os.mkdir(g.path("dir")), 78, place + ".*is a directory", ""),
    ("the log is a socket", log("sock"), lambda g: unix(g, "sock", True), 78, place + ".*is a socket", ""),
    ("the log's directory is a file", log("goma.yml/goma.log"), None, 78, place + ".*Not a directory", ""),
    ("the log is a FIFO", log("fifo"), lambda g: os.mkfifo(g.path("fifo")), 0, "", ""),
    ("the log is standard error", log("/dev/stderr"), None, 0, "", ""),
    ("the workers' user cannot enter the log's directory", log("closed/goma.log"), closed, 0, "", "warning: workers cannot write.*cannot enter" if root else ""),
    ("the log may not be written", log("shut/goma.log"), shut, 78, place + ".*shut/goma.log: Permission denied", ""),
    ("a port in use", listen(f"127.0.0.1:{stream}"), None, 1, "in use(.|\n)*held by python", place),
    ("a port in use on every address", listen(f":{stream}"), None, 1, "in use", place),
    ("a UDP port in use", passing("udp", datagram), None, 1, "in use", place),
    ("a TCP port in use for UDP", passing("udp", stream), None, 0, "", ""),
    ("an address of another machine", listen("203.0.113.9:8080"), None, 1, "Cannot assign", place),
    ("a port of root's for a user", listen("127.0.0.1:81"), as_user, 1, "CAP_NET_BIND_SERVICE", place),
    ("a socket in a directory that is missing", listen("unix:none/web.sock"), None, 1, "No such file", place),
    ("a socket that somebody listens on", listen("unix:web.sock"), lambda g: unix(g, "web.sock", True), 1, "in use", place),
    ("a socket that was left behind", listen("unix:web.sock"), lambda g: unix(g, "web.sock", False), 0, "", ""),
    ("a file in the place of a socket", listen("unix:goma.yml"), None, 1, "in use", place),
    ("a path too long for a socket", listen("unix:" + "x" * 110), None, 1, "too long", place),
    ("a pid file that is a directory", {}, lambda g: os.mkdir(g.path("goma.pid")), 1, "goma.pid is a directory", ""),
    ("a prefix that may not be written", {}, read_only, 1, "goma.pid.*Permission denied", ""),
]
for name, gateway, prepare, code, words, t_words in table:
    if prepare is read_only and not root:
        continue        # the play itself could not write there
    goma = Goma([route("/", origin)], start=False, guards=False, **gateway)
    if root and prepare in (as_user, shut):
        os.chown(goma.directory, 65534, 65534)
    if prepare:
        prepare(goma)
    before = sorted(os.listdir(goma.directory))
    environment = goma.environment()
    tried = subprocess.run([*goma.command(), "-t"], capture_output=True, text=True, env=environment, preexec_fn=goma.preexec, cwd=goma.directory, timeout=60)
    out = tried.stdout + tried.stderr
    expect(tried.returncode == code and re.search(words, out) and re.search(t_words, out), f"{name}: -t exits with {code}", f"{tried.returncode}: {out}")
    same(sorted({*os.listdir(goma.directory)} - {"sanitizer"}), [n for n in before if n != "sanitizer"], f"{name}: -t makes nothing")
    if code == 0:
        goma.start()
        same(goma.ctl("test")[0], 0, f"{name}: it starts, and gomactl test says so too")
        same(goma.run("-t", *goma.command()[1:])[0], 0, f"{name}: -t beside the running one")
        goma.stop()
        continue
    goma.spawn()
    goma.wait_exit()
    expect(goma.process.poll() == code and re.search(words, goma.output), f"{name}: so does a start", f"{goma.process.poll()}: {goma.output}")

# Beside a running instance: what it holds itself is well, what a stranger holds is not.
port = free_port()
goma = Goma([route("/", origin)], **listen(f"127.0.0.1:{port}"))
same([goma.run("-t", *goma.command()[1:])[0], goma.ctl("test")[0]], [0, 0], "its own port")
goma.write(read(goma.path("goma.yml")).replace(f"127.0.0.1:{port}", f"127.0.0.1:{stream}"))
code, out, err = goma.ctl("test")
expect(code == 1 and re.search(place + "(.|\n)*in use", err), "gomactl test: a stranger's port", out + err)
same(goma.reload()[0], 1, "which a reload refuses")
same(goma.run("config", "check", "-c", goma.path("goma.yml"))[0], 0, "config check looks at the file alone")
code, out = goma.run("-t", "-p", goma.path("nowhere"), "-c", goma.path("goma.yml"))
expect(code == 1 and "no directory" in out, "a prefix that is missing", out)
if root:
    for words in ("user nosuchuser", "user nobody; group nosuchgroup"):
        codes = [goma.run(*extra, "-g", words, "-p", goma.path("sanitizer"), "-c", goma.path("goma.yml")) for extra in ([], ["-t"])]
        expect(all(code == 1 and "nosuch" in out for code, out in codes), f"{words}: both refuse", codes)
