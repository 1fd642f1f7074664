#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every order at a random moment of an upgrade, either master killed in a third of them: at the end the right configuration serves
or goma is stopped, and nothing of it is left behind. GOMA_SEED=N repeats one trial; GOMA_LONG=1 runs 200."""
import random
import threading

from lib.goma import *

TRIALS = 200 if LONG else 40
time_limit(1800 if LONG else 300)
SIGNALS = {"HUP": signal.SIGHUP, "QUIT": signal.SIGQUIT, "TERM": signal.SIGTERM, "USR1": signal.SIGUSR1, "USR2": signal.SIGUSR2}
VERBS = ["reload", "stop", "quit", "reopen", "upgrade"]
STOPS, RELOADS = {"QUIT", "TERM", "stop", "quit"}, {"HUP", "reload", "touch"}
port = free_port()


def write(version):
    """The whole of it in a watched directory's file, or in the main one: both say the version."""
    goma.configure([route("/", middlewares=["v"])], [middleware("v", "respond", {"body": str(version)})],
                   entryPoints={"web": {"address": f"127.0.0.1:{port}"}}, timeouts={"drain": 2},
                   extraConfig={"directory": "extra", "watch": True}, log={"level": "info", "access": "off"})


def served():
    try:
        return goma.get("/", timeout=1).text
    except (Closed, Timeout, OSError):
        return None


def titles():
    return sorted(re.sub(r" \d+$", "", title(p)) for p in goma.family())


def masters():
    return [p for p in goma.family() if not re.match("goma: (worker|manager|loader|lookout)", title(p))]


def serving():
    return titles() == ["goma: manager", "goma: master", "goma: worker", "goma: worker"] and served() is not None


def new_master():
    return next((p for p in masters() if stat_of(p) and p != goma.pid and int(stat_of(p)[1]) == goma.pid), None)


class Trial:
    def __init__(self, seed, window):
        dice = random.Random(seed)
        self.upgrade = dice.choice(["USR2", "upgrade"])
        self.order = dice.choice([*SIGNALS, *VERBS, "touch", "nothing"])
        self.victim = dice.choice(["old", "new", None, None, None, None])
        self.order_at, self.kill_at = dice.uniform(0, window), dice.uniform(0, window)
        self.results, self.told, self.killed, self.killed_owner = {}, None, None, False

    def __str__(self):
        return f"{self.upgrade}, {self.order} after {self.order_at:.3f} s" + (f", {self.victim} killed after {self.kill_at:.3f} s" if self.victim else "")

    def say(self, order):
        if order in SIGNALS:
            self.told = goma.pid
            self.results[order] = 0 if send_signal(self.told, SIGNALS[order]) else 1
        elif order == "touch":
            goma.write(json.dumps({"routes": []}), "extra/more.yml")
        elif order != "nothing":
            self.results[order] = goma.ctl(order)[0]

    def give_order(self):
        time.sleep(self.order_at)
        if self.order in RELOADS:
            write(self.version + 1)
        self.say(self.order)

    def kill(self):
        time.sleep(self.kill_at)
        pid = self.old if self.victim == "old" else new_master()
        before = goma.pid
        if pid and send_signal(pid, signal.SIGKILL):
            self.killed = pid
            wait_for(lambda: not alive(pid))
            self.killed_owner = pid in (before, goma.pid)

    def run(self, version):
        self.version, self.old = version, goma.pid
        threads = [threading.Thread(target=self.say, args=(self.upgrade,)), threading.Thread(target=self.give_order)]
        threads += [threading.Thread(target=self.kill)] if self.victim else []
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def problem(self):
        """Waits for the end of it; says what is wrong with that."""
        died_with_it = self.killed is not None and self.told == self.killed and self.order in SIGNALS
        stopped = self.order in STOPS and self.results.get(self.order) == 0 and not died_with_it
        end = {"gone"} if stopped else {"gone", "serving"} if self.killed_owner or self.order in STOPS else {"serving"}
        wanted = {str(self.version + 1)} if self.order in RELOADS else {str(self.version)}
        if self.order == "reload" and self.results[self.order] != 0 or self.order == "HUP" and died_with_it:
            wanted.add(str(self.version))

        def came():
            if not goma.family():
                return "gone" in end
            return "serving" in end and serving() and served() in wanted and alive(goma.pid)
        if not wait_for(came, 60 * SLOW):
            return f"wanted {end} with {wanted}: there are {titles()}, served {served()}, results {self.results}, killed {self.killed}"
        if "a process died" in goma.output[mark:]:
            return "a child died"
        if self.killed is None and self.order in RELOADS and self.results.get(self.order, 0) != 0:
            return f"a reload was refused: {self.results}"
        return None


goma = Goma(start=False, guards=False)
os.mkdir(goma.path("extra"))
write(0)
goma.start()
begun = time.monotonic()
same(goma.ctl("upgrade")[0], 0, "an upgrade")
window = 1.5 * (time.monotonic() - begun)
note(f"orders and kills come within {window:.3f} s")
first = int(os.environ.get("GOMA_SEED") or random.SystemRandom().randrange(10**9))
version = 0
for number in range(1 if "GOMA_SEED" in os.environ else TRIALS):
    if not goma.family():
        write(version)
        attempt("a start after the end works", goma.start)
    mark = len(goma.output)
    trial = Trial(first + number, window)
    trial.run(version)
    problem = trial.problem()
    if not expect(problem is None, f"{number + 1}: {trial}, seed {first + number}", f"{problem}\n{goma.output[mark:][:6000]}"):
        goma.kill()
    if not goma.family():
        leftovers = [] if trial.killed else [f for f in ("goma.pid", "control.sock", "goma.state", "goma.state.next") if os.path.exists(goma.path(f))]
        same(leftovers, [], f"{number + 1}: nothing is left behind")
    version = version + 1 if trial.order in RELOADS else version
    if goma.family() and served() != str(version):      # the order died with its master
        same(goma.reload()[0], 0, f"{number + 1}: a reload after it")
