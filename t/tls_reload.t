#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Certificates that change on the disk are served within two seconds, without a failed handshake and without a reload
of anything else."""
import os
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.goma import *
from lib.tls import *

ROUNDS = 100 if LONG else 6
time_limit(300)

goma = Goma(start=False)
ca = Authority(goma.path("ca"))
os.mkdir(goma.path("live"))
os.mkdir(goma.path("certs"))
versions = [ca.issue(f"v{i}", ["site.test"], subject=f"/CN=v{i}") for i in range(4)]


def put(version, how="rename", name="site", where="live"):
    """The pair becomes that of a version, the certificate first, as renewers do it."""
    for source, ending in zip(versions[version], (".crt", ".key")):
        path = goma.path(f"{where}/{name}{ending}")
        if how == "link":
            os.symlink(source, path + ".new")
            os.rename(path + ".new", path)
            continue
        target = path if how == "write" else path + ".new"
        with open(source, encoding="utf-8") as old, open(target, "w", encoding="utf-8") as new:
            new.write(old.read())
        if how == "rename":
            os.rename(target, path)


put(0)
origin = Origin(lambda request: Reply(200, body="hello"))
config = dict(entryPoints={"web": {"address": "127.0.0.1:0"}, "webSecure": {"address": "127.0.0.2:0"}},
              tls={"certsDir": "certs", "certificates": [{"cert": "live/site.crt", "key": "live/site.key"}]})
goma.configure([route("/", origin)], **config)
goma.start()
address = parse_address(goma.status()["listeners"][1]["address"])


def shown(name="site.test"):
    client = TlsClient(address, name)
    try:
        return client.common_name()
    finally:
        client.close()


def serves(want, name="site.test"):
    began = time.monotonic()
    found = wait_for(lambda: shown(name) == want, 5)
    return found and time.monotonic() - began


same(shown(), "v0", "the first certificate is served")

# --- replaced under load

stop, failures, done = threading.Event(), [], [0]


def load():
    context = client_context(ca.certificate)
    while not stop.is_set():
        try:
            client = TlsClient(address, "site.test", context)
            if client.get("/").status != 200:
                failures.append("status")
            client.close()
            done[0] += 1
        except Exception as error:
            failures.append(repr(error))


goma.write(config_text([route("/other", origin)], **config))      # edited, and nobody has asked for a reload
threads = [threading.Thread(target=load) for _ in range(2)]
for thread in threads:
    thread.start()
slowest = 0
for i in range(ROUNDS):
    version = (i + 1) % len(versions)
    put(version, ("rename", "write", "link")[i % 3])
    took = serves(f"v{version}")
    if not took:
        expect(False, f"replacement {i} is served", shown())
        break
    slowest = max(slowest, took)
stop.set()
for thread in threads:
    thread.join()
expect(slowest < 2 * SLOW, f"{ROUNDS} replacements are each served within two seconds", slowest)
same(failures[:3], [], "not a handshake and not a request fails meanwhile")
expect(done[0] > 20, "and there were some", done[0])
status = goma.status()
same([w["restarts"] for w in status["workers"]], [0, 0], "by the same workers")
client = TlsClient(address, "site.test")
same(client.get("/").status, 200, "the edited file was not picked up")
client.close()

# --- a link further up

os.rename(goma.path("live"), goma.path("first"))
os.symlink("first", goma.path("live"))
put(3)
expect(serves("v3"), "the directory becomes a link")
os.mkdir(goma.path("second"))
put(0, where="second")
os.symlink("second", goma.path("live.new"))
os.rename(goma.path("live.new"), goma.path("live"))
took = serves("v0")
expect(took and took < 2 * SLOW, "and one that is turned is served as soon", took)

# --- what is wrong changes nothing

before = shown()
with open(goma.path("live/site.crt") + ".new", "w", encoding="utf-8") as file:
    file.write("no certificate at all\n")
os.rename(goma.path("live/site.crt") + ".new", goma.path("live/site.crt"))
expect(wait_for(lambda: "reload refused" in goma.output and "site.crt holds no certificate" in goma.output), "a wrong certificate is told")
same(shown(), before, "and the old one is served on")
put(1)
expect(serves("v1"), "until a good one comes")

# --- a directory

same(shown("dir.test"), "GOMA DEFAULT CERT", "a name without a certificate of its own")
made = ca.issue("dir", ["dir.test"])
for path, ending in zip(made, (".crt", ".key")):
    os.rename(path, goma.path("certs/new" + ending))
expect(serves("dir", "dir.test"), "a pair that appears in certsDir is served")
generation = goma.status()["generation"]
with open(goma.path("live/notes.txt"), "w", encoding="utf-8") as file:
    file.write("nothing of ours\n")
put(2)
expect(serves("v2"), "the next replacement")
same(goma.status()["generation"], generation + 1, "a file beside them means nothing")
code, said = goma.reload()
client = TlsClient(address, "site.test")
same((code, client.get("/").status, client.get("/other").status), (0, 404, 200), "a reload reads everything")
client.close()
