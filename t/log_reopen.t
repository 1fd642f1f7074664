#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Logs moved away under load are opened again on USR1 and gomactl reopen; no line is lost, none written twice."""
import threading
from lib.goma import *

origin = Origin()
goma = Goma([route("/", origin)], log={"level": "info", "filePath": "goma.log", "format": "json"})
sent = []
done = threading.Event()


def traffic(name):
    client, number = goma.client(), 0
    while not done.is_set():
        number += 1
        identity = f"{name}-{number}"
        if client.get("/", {"X-Request-ID": identity}).status == 200:
            sent.append(identity)
    client.close()


threads = [threading.Thread(target=traffic, args=(name,), daemon=True) for name in "abc"]
for thread in threads:
    thread.start()
for turn in range(4):
    mark = len(sent)
    wait_for(lambda: len(sent) > mark + 300)
    os.rename(goma.path("goma.log"), goma.path(f"goma.log.{turn}"))
    if turn % 2:
        goma.hit(signal.SIGUSR1)
    else:
        code, out, err = goma.ctl("reopen")
        same(code, 0, "gomactl reopen") or note(out + err)
    expect(wait_for(lambda: read(goma.path("goma.log"))), f"turn {turn}: there is a new file with lines")
mark = len(sent)
wait_for(lambda: len(sent) > mark + 100)
done.set()
for thread in threads:
    thread.join(10)


def logged():
    text = "".join(read(path) for path in glob.glob(goma.path("goma.log*")))
    return re.findall(r'"request_id":"([abc]-\d+)"', text)


wait_for(lambda: len(logged()) >= len(sent), 5 * SLOW)
got = logged()
same(len(got), len(set(got)), "no line is there twice")
same(sorted(set(sent) - set(got))[:5], [], f"none of {len(sent)} lines is lost")
