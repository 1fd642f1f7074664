# SPDX-License-Identifier: Apache-2.0
"""The end-to-end harness: a test is a script that says what it expects.

    from lib.goma import *
    origin = Origin(lambda request: Reply(200, body="hello"))
    goma = Goma([route("/", origin)])
    expect(goma.get("/").text == "hello", "the answer of the backend arrives")

Goma writes a configuration into a fresh directory, starts the gateway there on
port 0 and learns the real address from its status. When the script ends, and
however it ends, everything is stopped and the guards run: descriptors of the
workers are back where they were, exit code 0, no process left, no alert and no
sanitizer report. Output is TAP. GOMA_BIN names another goma (its gomactl lies
beside it); GOMA_KEEP=1 keeps the directory.

Waiting is always for a condition with a deadline, never for time to pass.
"""
import atexit
import ctypes
import faulthandler
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

from .wire import (PATIENCE, SLOW, Client, Closed, Fields, Load, Message, Origin, OriginConnection,  # noqa: F401
                   Reply, Request, Response, Timeout, Wire, encode, refused_port)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GOMA = os.path.abspath(os.environ.get("GOMA_BIN") or os.path.join(ROOT, "build", "goma"))
GOMACTL = os.path.join(os.path.dirname(GOMA), "gomactl")
LONG = os.environ.get("GOMA_LONG") == "1"

at_end = []                     # functions for when every gateway is stopped; each returns the problems it found

_tests = 0
_failed = 0
_ended = False


# --- TAP ------------------------------------------------------------------------------------------------------------

def note(text):
    for line in str(text).splitlines():
        print(f"# {line}", flush=True)


def complain(text):
    """A note of what failed: prove shows it without -v too."""
    sys.stdout.flush()
    for line in str(text).splitlines():
        print(f"# {line}", file=sys.stderr, flush=True)


def expect(condition, name, got=None):
    """One TAP line; `got` is shown when it fails."""
    global _tests, _failed
    _tests += 1
    print(f"{'ok' if condition else 'not ok'} {_tests} - {name.replace('#', '%23')}", flush=True)
    if not condition:
        _failed += 1
        caller = sys._getframe(1)
        while caller.f_code.co_filename == __file__ and caller.f_back is not None:
            caller = caller.f_back
        complain(f"{os.path.basename(sys.argv[0])} {_tests}, at {os.path.basename(caller.f_code.co_filename)}:{caller.f_lineno}: {name}")
        if got is not None:
            complain(f"got {got!r}" if not isinstance(got, str) else f"got {got}")
    return bool(condition)


def same(got, want, name):
    """expect got == want, showing both."""
    return expect(got == want, name, f"{got!r}, wanted {want!r}")


def attempt(name, function, *arguments):
    """Runs function; an exception in it is one failed test instead of the end of the script."""
    try:
        return function(*arguments)
    except Exception as error:
        expect(False, name, f"{type(error).__name__}: {error}")
        complain(traceback.format_exc(limit=-3))
        return None


def skip(name, reason):
    global _tests
    _tests += 1
    print(f"ok {_tests} - {name} # SKIP {reason}", flush=True)


def skip_all(reason):
    global _ended
    _ended = True
    print(f"1..0 # SKIP {reason}", flush=True)
    sys.exit(0)


def wait_for(condition, timeout=PATIENCE):
    """Polls condition() until it is true; returns its last value."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value or time.monotonic() > deadline:
            return value
        time.sleep(0.01)


# --- processes ------------------------------------------------------------------------------------------------------

def read(path):
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def stat_of(pid):
    """Fields of /proc/PID/stat after the name: state, ppid, pgrp, session, ...; None when it is gone."""
    text = read(f"/proc/{pid}/stat")
    return text.rpartition(")")[2].split() if text else None


def alive(pid):
    stat = stat_of(pid)
    return bool(stat) and stat[0] not in "ZX"


def title(pid):
    return read(f"/proc/{pid}/cmdline").replace("\0", " ").strip()


def descriptors(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def resident(pid):
    """Resident anonymous memory in KiB: shared and file pages are not the worker's own."""
    match = re.search(r"RssAnon:\s+(\d+)", read(f"/proc/{pid}/status"))
    return int(match.group(1)) if match else 0


def as_nobody():
    """For preexec: give up root for good."""
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)


def free_port():
    """A port of 127.0.0.1 reserved for this script: bound, not listening, so that only SO_REUSEPORT may share it."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", 0))
    free_port.kept.append(sock)
    return sock.getsockname()[1]


free_port.kept = []


def send_signal(pid, number):
    try:
        os.kill(pid, number)
        return True
    except ProcessLookupError:
        return False


def be_reaper():
    """Orphans of the processes started here become children of this script, so that they are seen and reaped."""
    ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0)


# --- configuration --------------------------------------------------------------------------------------------------

def route(path, target=None, name=None, **more):
    """A route as a dictionary; target is an Origin, a URL or a list of them (with weights as pairs)."""
    entry = {"name": name or "r" + re.sub(r"[^a-z0-9]+", "-", path.lower()), "path": path}
    if isinstance(target, list):
        pairs = [t if isinstance(t, tuple) else (t, None) for t in target]
        entry["backends"] = [{"endpoint": url_of(t), **({"weight": w} if w is not None else {})} for t, w in pairs]
    elif target is not None:
        entry["target"] = url_of(target)
    else:
        entry["target"] = "http://127.0.0.1:1"
    entry.update(more)
    return entry


def url_of(target):
    return target.url if isinstance(target, Origin) else target


def middleware(name, kind, rule, **more):
    return {"name": name, "type": kind, "rule": rule, **more}


def config_text(routes, middlewares=(), **gateway):
    """A configuration as text. JSON is YAML; keys in Goma's spelling."""
    base = {"entryPoints": {"web": {"address": "127.0.0.1:0"}}, "log": {"level": "info"}}
    base.update(gateway)
    base["routes"] = list(routes)
    return json.dumps({"version": 2, "gateway": base, "middlewares": list(middlewares)}, indent=1)


# --- the gateway ----------------------------------------------------------------------------------------------------

class Goma:
    """One running gateway in its own directory.

    Goma(routes, middlewares, workers=2, **gateway) or Goma(text=YAML). start=False only prepares the directory.
    args and env are added to the command line and the environment; preexec runs in the child before exec.
    """
    instances = []

    def __init__(self, routes=(), middlewares=(), text=None, workers=2, args=(), env=None, start=True, preexec=None,
                 directory=None, guards=True, binary=GOMA, **gateway):
        self.directory = directory or tempfile.mkdtemp(prefix="goma-t-")
        os.chmod(self.directory, 0o755)
        self.workers, self.args, self.extra_env, self.preexec = workers, list(args), dict(env or {}), preexec
        self.process = None
        self.notify = None
        self.notified = []
        self.address = None
        self.baseline = {}
        self.guards, self.binary = guards, binary
        self.output_to = None           # an open file in place of goma.out
        self.started_pids = set()
        self.expected_exit = 0
        self.write(text if text is not None else config_text(routes, middlewares, **gateway))
        Goma.instances.append(self)
        if start:
            self.start()

    # -- files

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, text, name="goma.yml"):
        with open(self.path(name) + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(self.path(name) + ".new", self.path(name))

    def configure(self, routes, middlewares=(), **gateway):
        self.write(config_text(routes, middlewares, **gateway))

    @property
    def output(self):
        """Standard output and error of the gateway, all of it."""
        return read(self.path("goma.out"))

    def told(self, pattern, after=0):
        """The last line of the output that matches the pattern, once there is one, else "": log lines leave their process
        in batches, so one may come after what it tells of. `after` is an offset in the output."""
        def find():
            return [line for line in self.output[after:].splitlines() if re.search(pattern, line)]
        return (wait_for(find) or [""])[-1]

    # -- life

    def environment(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("GOMA_", "NOTIFY_", "LISTEN_"))}
        env["NOTIFY_SOCKET"] = self.path("notify.sock")
        os.makedirs(self.path("sanitizer"), exist_ok=True)
        os.chmod(self.path("sanitizer"), 0o777)         # workers that gave up root report too
        sanitizer = f"log_path={self.path('sanitizer/report')}:abort_on_error=0"
        env["ASAN_OPTIONS"] = sanitizer + ":detect_leaks=1"
        env["UBSAN_OPTIONS"] = sanitizer + ":print_stacktrace=1"
        env.update(self.extra_env)
        return env

    def command(self):
        return [self.binary, "-p", self.directory, "-c", "goma.yml", "--workers", str(self.workers), *self.args]

    def spawn(self):
        """Starts the gateway without waiting for it to be ready."""
        if self.notify is None:
            self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self.notify.bind(self.path("notify.sock"))
            os.chmod(self.path("notify.sock"), 0o777)
            self.notify.setblocking(False)
        with open(self.path("goma.out"), "ab") as file:
            output = self.output_to or file
            self.process = subprocess.Popen(self.command(), cwd=self.directory, env=self.environment(),
                                            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                            start_new_session=True, preexec_fn=self.preexec)
        self.started_pids.add(self.process.pid)
        return self.process

    def start(self):
        already = len(self.notifications())
        self.spawn()
        ready = wait_for(lambda: self.process.poll() is not None or self.heard("READY=1", already), 3 * PATIENCE)
        if not ready or self.process.poll() is not None:
            raise RuntimeError(f"goma did not start (exit {self.process.poll()}):\n{self.output[-3000:]}")
        self.learn()
        return self

    def learn(self):
        """Reads the real address and the workers' resting descriptor counts."""
        status = self.status()
        self.address = parse_address(status["listeners"][0]["address"])
        self.baseline = {w["pid"]: descriptors(w["pid"]) for w in status["workers"]}
        return status

    def notifications(self):
        """Every message sent to the notify socket so far."""
        if self.notify:
            while True:
                try:
                    self.notified.append(self.notify.recv(4096).decode())
                except OSError:
                    break
        return self.notified

    def heard(self, text, since=0):
        return any(text in message for message in self.notifications()[since:])

    @property
    def pid(self):
        """The master, from the pid file."""
        text = read(self.path("goma.pid")).strip()
        return int(text) if text.isdigit() else self.process.pid

    def hit(self, number):
        send_signal(self.pid, number)

    def family(self):
        """Every live process of this gateway: those of its session and those that hold its output open."""
        reap()
        found = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            stat = stat_of(entry)
            if stat and stat[0] not in "ZX" and int(stat[3]) in self.started_pids:
                found.append(int(entry))
        return found

    def wait_exit(self, timeout=2 * PATIENCE):
        """Waits for the started process to end; its exit code, or None."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, number=signal.SIGQUIT, timeout=2 * PATIENCE):
        """Ends the gateway with a signal and waits until nothing of it is left; True when that happened in time."""
        self.hit(number)
        gone = wait_for(lambda: self.process.poll() is not None and not self.family(), timeout)
        return bool(gone)

    def kill(self):
        """Last resort, by process id."""
        for pid in self.family():
            send_signal(pid, signal.SIGKILL)
        wait_for(lambda: not self.family(), 5)

    # -- traffic

    def client(self, **options):
        return Client(self.address, **options)

    def request(self, method="GET", target="/", headers=None, body=None, **options):
        """One request on a connection of its own."""
        client = self.client(**options)
        try:
            return client.request(method, target, headers, body)
        finally:
            client.close()

    def get(self, target="/", headers=None, **options):
        return self.request("GET", target, headers, **options)

    def metrics(self, path="/metrics"):
        """Series text -> value."""
        found = {}
        for line in self.get(path).text.splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                found[name] = float(value)
        return found

    def canary(self, target="/", status=200):
        """A well-formed request on a fresh connection is served."""
        try:
            return self.get(target).status == status
        except (Closed, Timeout, OSError):
            return False

    # -- control

    def ctl(self, *arguments, timeout=4 * PATIENCE):
        """Runs gomactl; returns (exit code, standard output, standard error)."""
        run = subprocess.run([GOMACTL, "-p", self.directory, *arguments], stdin=subprocess.DEVNULL,
                             capture_output=True, text=True, timeout=timeout, cwd="/", env=self.environment())
        return run.returncode, run.stdout, run.stderr

    def ctl_json(self, *arguments):
        """What gomactl answers with --json."""
        code, out, err = self.ctl("--json", *arguments)
        if code != 0:
            raise RuntimeError(f"gomactl {arguments}: exit {code}: {out}{err}")
        return json.loads(out)

    def status(self):
        code, out, err = self.ctl("status", "--json")
        if code != 0:
            raise RuntimeError(f"gomactl status: exit {code}: {out}{err}")
        return json.loads(out)

    def reload(self, *arguments):
        """(exit code, everything printed)."""
        code, out, err = self.ctl("reload", *arguments)
        return code, out + err

    def worker_pids(self):
        return [w["pid"] for w in self.status()["workers"]]

    def manager_pid(self):
        return next((p for p in self.family() if title(p).startswith("goma: manager")), None)

    def run(self, *arguments, env=None, text=None, timeout=4 * PATIENCE):
        """Runs the goma binary to its end with this directory's environment: (exit code, output)."""
        environment = {**self.environment(), **(env or {})}
        environment.pop("NOTIFY_SOCKET")
        run = subprocess.run([GOMA, *arguments], input=text or "", capture_output=True, text=True,
                             timeout=timeout, cwd=self.directory, env=environment)
        return run.returncode, run.stdout + run.stderr

    # -- the guards at the end

    def finish(self):
        problems = []
        if self.process is not None:
            if self.process.poll() is None or self.family():
                problems += self.descriptor_problems() + self.restart_problems() if self.guards else []
                if not self.stop():
                    problems.append("did not stop on QUIT: " + ", ".join(f"{p} {title(p)}" for p in self.family()))
            code = self.process.poll()
            if self.guards and code != self.expected_exit:
                problems.append(f"exit code {code}, expected {self.expected_exit}")
            if self.guards and self.family():
                problems.append("orphans: " + ", ".join(f"{p} {title(p)}" for p in self.family()))
            self.kill()
        problems += [line for line in self.output.splitlines() if re.search(r"(?i)\balert\b|invariant|sanitizer|runtime error:", line)
                     and self.guards][:5]
        problems += [report[:4000] for report in map(sanitizer_report, glob.glob(self.path("sanitizer/*"))) if report]
        if self.notify:
            self.notify.close()
        return problems

    def restart_problems(self):
        """No worker died, unless the test says so by an empty baseline."""
        if not self.baseline or not os.path.exists(self.path("control.sock")):
            return []
        return [f"worker {w['slot']} was restarted" for w in self.status()["workers"] if w["restarts"]]

    def descriptor_problems(self):
        """Descriptors of workers that lived from the start must be back; a few lazily opened ones are no leak."""
        def grown():
            return {p: (descriptors(p), n) for p, n in self.baseline.items() if alive(p) and descriptors(p) > n + 4}
        wait_for(lambda: not grown(), PATIENCE / 2)
        return [f"worker {pid} holds {now} descriptors, {before} at the start: {links(pid)}"
                for pid, (now, before) in grown().items()]


def sanitizer_report(path):
    """What a sanitizer found. That a child's main thread has another number than its parent's is beyond the leak checker
    of g++ 12; it looks into that thread all the same."""
    return re.sub(r"==\d+==Running thread \d+ was not suspended\. False leaks are possible\.\n*", "", read(path)).strip()


def links(pid):
    found = []
    for entry in glob.glob(f"/proc/{pid}/fd/*"):
        try:
            found.append(re.sub(r"\[?\d{3,}\]?", "", os.readlink(entry)))
        except OSError:
            pass
    return {name: found.count(name) for name in set(found)}


def reap():
    """Collects orphans that became children of this script; children that Popen waits for are left alone."""
    known = {g.process.pid for g in Goma.instances if g.process}
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            children = [int(p) for p in file.read().split()]
    except OSError:
        return
    for pid in children:
        stat = stat_of(pid)
        if pid not in known and stat and stat[0] == "Z":
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass


def parse_address(text):
    if text.startswith("unix:"):
        return text[5:]
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    return ({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), int(port))


# --- the end --------------------------------------------------------------------------------------------------------

def _finish():
    global _ended
    if _ended:
        return
    _ended = True
    signal.alarm(60 * SLOW)
    for client in list(Client.live):
        client.close()
    for origin in list(Origin.live):
        origin.stop()
    for goma in Goma.instances:
        try:
            problems = goma.finish()
        except Exception as error:
            problems = [f"{type(error).__name__}: {error}"]
            goma.kill()
        expect(not problems, "guards: descriptors, exit code, no orphan, no alert, no sanitizer report",
               "\n".join(problems))
        if _failed and goma.output:
            note("--- the end of the gateway's output")
            note(goma.output[-2500:])
        if os.environ.get("GOMA_KEEP"):
            note(f"kept {goma.directory}")
        else:
            shutil.rmtree(goma.directory, ignore_errors=True)
    for function in at_end:
        problems = function()
        expect(not problems, "guards: what the test started besides the gateway has ended", "\n".join(problems))
    print(f"1..{_tests}", flush=True)
    if _failed:
        note(f"{_failed} of {_tests} failed")
        sys.stdout.flush()
        os._exit(1)


def _died(kind, value, trace):
    if kind is SystemExit:
        return
    expect(False, "the script runs to its end", f"{kind.__name__}: {value}")
    complain("".join(traceback.format_exception(kind, value, trace)))


def _overdue(*_):
    expect(False, "the script ends in time")
    faulthandler.dump_traceback(all_threads=True)
    if _ended:
        for goma in Goma.instances:
            goma.kill()
        os._exit(1)
    sys.exit(1)


def time_limit(seconds):
    signal.alarm(seconds * SLOW)


sys.excepthook = _died
signal.signal(signal.SIGALRM, _overdue)
signal.signal(signal.SIGPIPE, signal.SIG_IGN)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
time_limit(90)
be_reaper()
atexit.register(_finish)
if not os.access(GOMA, os.X_OK):
    print(f"Bail out! {GOMA} is not built", flush=True)
    os._exit(1)
