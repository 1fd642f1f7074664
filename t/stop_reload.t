#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A stop while a configuration is loaded, prepared or committed: nobody is started any more, whoever waits is told, all is over at once."""
import random
import threading

from lib.goma import *

seed = int(os.environ.get("GOMA_SEED") or random.SystemRandom().randrange(10**9))
note(f"GOMA_SEED={seed}")
dice = random.Random(seed)
origin = Origin()
for number in range(12):
    goma = Goma([route("/", origin)], timeouts={"drain": 20})
    answers = []
    reload = threading.Thread(target=lambda: answers.append(goma.ctl("reload")))
    reload.start()
    time.sleep(dice.uniform(0, 0.03))
    begun = time.monotonic()
    goma.hit(dice.choice([signal.SIGQUIT, signal.SIGTERM]))
    same(goma.wait_exit(), 0, f"{number + 1}: exit 0")
    took = time.monotonic() - begun
    expect(took < 3 * SLOW, f"{number + 1}: at once", took)
    reload.join()
    code, out, err = answers[0]
    expect(code in (0, 1, 3) and out + err, f"{number + 1}: gomactl says what became of the reload", answers)
    same(goma.family(), [], f"{number + 1}: nothing is left")
    expect("a process died" not in goma.output, f"{number + 1}: nobody was killed", goma.output[-1500:])
