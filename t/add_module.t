#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""./configure --add-module=contrib/skeleton: the module is compiled in, configured by its table and serves."""
import atexit
import glob
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILT = os.environ.get("GOMA_BUILD") or os.path.join(ROOT, "build")
HERE = tempfile.mkdtemp(prefix="goma-add-module-")
atexit.register(shutil.rmtree, HERE, ignore_errors=True)  # first in, so it runs after the harness has stopped goma
SKELETON = os.path.join(ROOT, "contrib", "skeleton")


def run(*command):
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


def must(*command):
    code, output = run(*command)
    if code != 0:
        print("\n".join("# " + line for line in output.splitlines()[-40:]))
        print(f"Bail out! {command[0]} ended with {code}")
        sys.exit(1)


def borrow_objects():
    """Objects of the tree that is being tested: only what knows the inventory is compiled again."""
    target = os.path.join(HERE, "build")
    for path in glob.glob(os.path.join(BUILT, "src/**/*.o"), recursive=True) + [os.path.join(BUILT, "config.h")]:
        copy = os.path.join(target, os.path.relpath(path, BUILT))
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        if os.path.exists(path):
            shutil.copy2(path, copy)


must("autoconf", "-o", "configure", os.path.join(ROOT, "configure.ac"))
refused, why = run("./configure", "-q", f"--srcdir={ROOT}", "--add-module=nowhere")
must("./configure", "-q", f"--srcdir={ROOT}", f"--add-module={SKELETON}")
must("./config.status", "--recheck")
must("./config.status")
borrow_objects()
must("make", "-s", "-j2", "-C", ROOT, f"B={HERE}/build", f"CONFIG_MK={HERE}/build/config.mk", "all")

os.environ["GOMA_BIN"] = os.path.join(HERE, "build", "goma")
sys.path.insert(0, os.path.join(ROOT, "t"))
from lib.goma import *  # noqa: E402,F403

expect(refused != 0 and "no goma.module" in why, "a path without goma.module is refused", why)
_, version = run(os.environ["GOMA_BIN"], "-V")
expect(f"--add-module={SKELETON}" in version, "-V shows how it was configured, after a recheck too", version)

origin = Origin(lambda request: Reply(200, body=request["x-greeting"] or "none"))
goma = Goma([route("/", origin, middlewares=["greet"])],
            middlewares=[{"name": "greet", "type": "skeleton", "rule": {"greeting": "moin", "answerOn": "/hello"}}])
reply = goma.get("/anything")
same(reply.text, "moin", "the backend is greeted")
expect((reply["x-lasted"] or "").endswith("ms"), "the response says how long it lasted", reply["x-lasted"])
same(goma.get("/hello").text, "moin", "a path is answered by the module")
