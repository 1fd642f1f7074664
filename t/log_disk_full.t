#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""H90: a full disk or a blocked pipe under the log fails no request, is counted, and is no flood of alerts."""
import fcntl
from lib.goma import *

origin = Origin()


def run(what, output, **log):
    goma = Goma([route("/", origin)], start=False, workers=1, guards=False, monitoring={"enableMetrics": True},
                log={"level": "info", **log})
    goma.output_to = output
    goma.start()
    client = goma.client()
    got = set()
    for _ in range(6):          # more lines than any bounded queue of the log holds
        client.send(("GET / HTTP/1.1\r\nHost: a.test\r\nUser-Agent: " + "u" * 200 + "\r\n\r\n") * 2000)
        got |= {client.response().status for _ in range(2000)}
    same(got, {200}, f"{what}: no request fails")
    load = Load(goma.address, threads=2)
    expect(wait_for(lambda: load.total > 500), f"{what}: nor later")
    load.stop()
    same(load.failures[:3], [], f"{what}: not one")
    dropped = wait_for(lambda: {k: v for k, v in goma.metrics().items() if re.search("log.*(drop|fail|lost|error)", k) and v > 0})
    expect(dropped, f"{what}: lines lost are counted", [k for k in goma.metrics() if "log" in k])
    same(goma.reload()[0], 0, f"{what}: reload works")
    expect(goma.stop(signal.SIGTERM), f"{what}: stopping works")
    return goma


full = open("/dev/full", "ab", buffering=0)
run("a full disk", full)
reader, writer = os.pipe()
fcntl.fcntl(writer, 1031, 4096)
run("a blocked pipe", os.fdopen(writer, "ab", buffering=0))
os.close(reader)

if os.geteuid() == 0 and subprocess.run(["mount", "--version"], capture_output=True).returncode == 0:
    directory = tempfile.mkdtemp(prefix="goma-t-")
    os.chmod(directory, 0o755)
    os.mkdir(directory + "/small")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", directory + "/small"], capture_output=True).returncode == 0:
        try:
            os.chmod(directory + "/small", 0o777)
            goma = Goma([route("/", origin)], directory=directory, workers=1, guards=False, monitoring={"enableMetrics": True},
                        log={"level": "info", "filePath": "small/goma.log"})
            load = Load(goma.address, threads=2)
            expect(wait_for(lambda: load.total > 1500), "a small tmpfs: it serves on")
            load.stop()
            same(load.failures[:3], [], "a small tmpfs: no request fails")
            log = directory + "/small/goma.log"

            def room():
                """What waited to be written may fill it once more."""
                if os.path.getsize(log) > 32 << 10:
                    os.truncate(log, 0)
                return goma.canary("/again") and "/again" in read(log)
            expect(wait_for(room), "a small tmpfs: with space again, lines come again",
                   (os.path.getsize(log), read(log)[-300:], goma.canary("/again"), os.statvfs(directory + "/small").f_bavail, goma.output[-600:]))
            goma.stop()
        finally:
            subprocess.run(["umount", directory + "/small"], check=False)
    else:
        skip("a small tmpfs", "cannot mount")
else:
    skip("a small tmpfs", "not root")
