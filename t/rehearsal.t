#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""goma -t holds a configuration against the machine: what it accepts, starts, and what cannot start it refuses, with the
place and without doing anything of it."""
from lib.goma import *

stranger = socket.socket()
stranger.bind(("127.0.0.1", 0))
stranger.listen()
taken = stranger.getsockname()[1]
NOWHERE = "http://127.0.0.1:9"


def setting(address="127.0.0.1:0", **log):
    return config_text([route("/", NOWHERE)], entryPoints={"web": {"address": address}}, log={"level": "error", **log})


def started(goma):
    """The exit code of a start that fails, or 0 when it serves."""
    goma.spawn()
    wait_for(lambda: goma.process.poll() is not None or goma.heard("READY=1"), 3 * PATIENCE)
    return goma.process.poll() or 0


CASES = [  # what, configuration, what goma -t says
    ("nothing is wrong", setting(), ""),
    ("a log in a directory that is there", setting(filePath="here/goma.log"), ""),
    ("a log in a directory that is not", setting(filePath="gone/goma.log"), r"goma.yml:\d+:\d+: error: .*gone/goma.log.*\[log-file\]"),
    ("a log that is a directory", setting(filePath="here"), r"goma.yml:\d+:\d+: error: .*here is a directory.*\[log-file\]"),
    ("an address that another program has", setting(f"127.0.0.1:{taken}"), r"goma.yml:\d+:\d+: error: .*address is in use.*\[port-in-use\]"),
    ("an address that is no address of this machine", setting("192.0.2.1:8080"), r"goma.yml:\d+:\d+: error: cannot listen on 192.0.2.1:8080.*\[cannot-listen\]"),
]
for what, text, wanted in CASES:
    goma = Goma(start=False, text=text, workers=1)
    os.mkdir(goma.path("here"))
    before = sorted(os.listdir(goma.directory))
    told, output = goma.run("-t", "-p", goma.directory, "-c", "goma.yml")
    expect(told == 0 if not wanted else told != 0 and re.search(wanted, output, re.S), f"{what}: goma -t {'refuses' if wanted else 'accepts'} it", (told, output))
    left = sorted(set(os.listdir(goma.directory) + os.listdir(goma.path("here"))) - set(before) - {"sanitizer", "here"})
    same(left, [], f"{what}: and leaves nothing behind")
    code = started(goma)
    same(code, told, f"{what}: the start ends with the same code") or note(goma.output[-500:])
    if wanted:
        goma.expected_exit = code
    else:
        goma.learn()
        code, output = goma.run("-t", "-p", goma.directory, "-c", "goma.yml")
        same(code, 0, f"{what}: beside the one that serves it is accepted too") or note(output)
        same(goma.ctl("test")[0], 0, f"{what}: gomactl test agrees")

long = Goma(start=False, text=setting(), workers=1)
deep = long.path("d" * 60 + "/" + "e" * 60)
os.makedirs(deep)
with open(deep + "/goma.yml", "w", encoding="utf-8") as file:
    file.write(setting())
code, output = long.run("-t", "-p", deep, "-c", "goma.yml")
expect(code == 1 and "[cannot-start]" in output, "a path too long for the control socket is told", (code, output))
