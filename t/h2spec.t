#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""h2spec (github.com/summerwind/h2spec) where it is installed, all of it, over TLS and without. What it finds is named
below, with the reason why it is no fault; docs/security.md says the same."""
import subprocess

from lib.goma import *

H2SPEC = shutil.which("h2spec") or skip_all("h2spec is not installed")
BORNE = {
    # RFC 9113 has no such rule any more: priorities of RFC 7540 are ignored, which our SETTINGS say (RFC 9218 2.1).
    "Sends PRIORITY frame that depend on itself",
    # The port speaks HTTP/1.1 too: what is not the preface is a bad HTTP/1.1 request, is told so, and the connection ends.
    "Sends invalid connection preface",
}
time_limit(120)
goma = Goma([route("/", Origin())], log={"level": "error"},
            entryPoints={"web": {"address": "127.0.0.1:0", "h2c": True}, "webSecure": {"address": "127.0.0.2:0"}})
for listener in goma.status()["listeners"]:
    host, port = parse_address(listener["address"])
    over = ["--tls", "--insecure"] if host == "127.0.0.2" else []
    run = subprocess.run([H2SPEC, "--strict", "--host", host, "--port", str(port), *over], capture_output=True, text=True)
    failed = set(re.findall(r"× \d+: (.*)", run.stdout))
    total = re.search(r"(\d+) tests, (\d+) passed", run.stdout)
    name = "TLS" if over else "h2c"
    expect(total and int(total[1]) >= 146, f"{name}: every case is run", run.stdout[-300:])
    same(sorted(failed - BORNE), [], f"{name}: h2spec finds nothing but what is named")
