# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share: gateways with one worker on processor 0, the origin and the load on processor 1, and the
processor time of a whole gateway between two moments.

The idea: CPU time per request holds when other work takes the processors away, throughput does not. It is read from the
kernel's per-process clocks (nanoseconds, all threads), summed over every process of the gateway.
"""
import http.client
import json
import os
import platform
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
BUILD = os.environ.get("GOMA_BUILD") or os.path.join(ROOT, "build")
GOMA = os.environ.get("GOMA_BIN") or os.path.join(BUILD, "goma")
ORIGIN = os.path.join(BUILD, "bench", "origin")
HANDSHAKE = os.path.join(BUILD, "bench", "handshake")
PROGRAMS = {"goma": GOMA, "nginx": "/usr/sbin/nginx", "haproxy": "/usr/sbin/haproxy"}
ROUTES = 500
FIXED_BODY = "goma bench " * 9 + "!"  # 100 bytes
INSIDE = "GOMA_BENCH_INSIDE"

_processors = sorted(os.sched_getaffinity(0))
GATEWAY_CPU, LOAD_CPU = _processors[0], _processors[1 % len(_processors)]


# --- the room ---------------------------------------------------------------------------------------------------------

def enter_own_network():
    """Starts the script again in a network namespace of its own, where there is one to be had. The namespace uses TCP
    reno: BBR, a common default, paces through timers and disturbs the loopback."""
    if os.environ.get(INSIDE):
        return
    os.environ[INSIDE] = "plain"
    flags = ["-n"] if os.geteuid() == 0 else ["-rn"]
    if os.environ.get("GOMA_BENCH_NO_NETNS") or not shutil.which("unshare") or not shutil.which("ip") or \
            subprocess.run(["unshare", *flags, "true"], capture_output=True).returncode != 0:
        return
    os.environ[INSIDE] = "namespace"
    script = """ip link set lo up
        sysctl -qw net.ipv4.tcp_congestion_control=reno net.ipv4.ip_local_port_range="16000 65000" 2>/dev/null
        sysctl -qw net.core.somaxconn=65535 net.ipv4.tcp_tw_reuse=1 2>/dev/null
        exec %s "$@" """
    # Who is not root was so only to make the network: the gateways run as who called.
    back = "" if os.geteuid() == 0 else f"unshare -U --map-user={os.getuid()} --map-group={os.getgid()} --"
    os.execvp("unshare", ["unshare", *flags, "sh", "-c", script % back, "sh", sys.executable, *sys.argv])


def raise_descriptor_limit():
    import resource
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def need(*programs):
    missing = [p for p in programs if not (shutil.which(p) or os.access(p, os.X_OK))]
    if missing:
        sys.exit(f"bench: not found: {', '.join(missing)} (apt-get install wrk nginx haproxy; make bench builds the origin)")


def free_ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


def pinned(cpu):
    return lambda: os.sched_setaffinity(0, {cpu})


def wait_until(what, seconds=15.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if what():
            return True
        time.sleep(0.02)
    return False


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


# --- processes --------------------------------------------------------------------------------------------------------

def family(pid):
    """A process and all its descendants."""
    children = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as stat:
                parent = int(stat.read().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(entry))
    found, open_ends = [], [pid]
    while open_ends:
        found.append(open_ends.pop())
        open_ends += children.get(found[-1], [])
    return found


def cpu_seconds(pids):
    """What the kernel has charged to these processes; clock ids of other processes are made as clock_getcpuclockid(3)
    makes them."""
    total = 0.0
    for pid in pids:
        try:
            total += time.clock_gettime((~pid << 3) | 2)
        except OSError:
            pass
    return total


def memory_bytes(pids):
    """Proportional resident memory: shared pages are counted once."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
                total += sum(int(line.split()[1]) * 1024 for line in rollup if line.startswith("Pss:"))
        except OSError:
            pass
    return total


class Origin:
    def __init__(self):
        self.port = free_ports(1)[0]
        self.process = subprocess.Popen([ORIGIN, str(self.port)], preexec_fn=pinned(LOAD_CPU))
        if not wait_until(lambda: answers(self.port)):
            sys.exit("bench: the origin does not answer")

    def stop(self):
        self.process.kill()
        self.process.wait()


FEATURES = ("plain", "log", "fixed", "limit", "limitkeys", "refuse", "cache", "routes", "tls")
KEYS = 1_000_000


class Gateway:
    """A running gateway. `features` maps what is measured (one of FEATURES) to the port that serves it."""

    def __init__(self, name, scratch, origin, routes=ROUTES, features=FEATURES):
        self.name, self.origin, self.routes = name, origin, routes
        self.dir = os.path.join(scratch, name)
        os.makedirs(self.dir, mode=0o755)
        self.features = dict(zip(features, free_ports(len(features))))
        if "tls" in self.features:
            self.make_certificate()
        self.processes = []
        self.store = tempfile.mkdtemp(prefix="goma-bench-", dir="/dev/shm")  # nginx's cache, in memory as those of the others
        os.chmod(self.store, 0o777)
        getattr(self, f"start_{name}")()
        for feature, port in self.features.items():
            if not wait_until(lambda p=port: answers(p), 30):
                self.stop()
                sys.exit(f"bench: {name} does not answer for {feature}; see {self.dir} (-k keeps it)\n{self.output()}")

    def spawn(self, command):
        with open(os.path.join(self.dir, "output"), "ab") as output:
            self.processes.append(subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, cwd=self.dir,
                                                   preexec_fn=pinned(GATEWAY_CPU), start_new_session=True))

    def make_certificate(self):
        """ECDSA P-256, the certificate, the key, and both in one file for HAProxy."""
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
                        "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"],
                       cwd=self.dir, check=True, capture_output=True)
        with open(os.path.join(self.dir, "both.pem"), "wb") as both:
            for name in ("cert.pem", "key.pem"):
                with open(os.path.join(self.dir, name), "rb") as part:
                    both.write(part.read())

    def output(self):
        with open(os.path.join(self.dir, "output"), encoding="utf-8", errors="replace") as output:
            return output.read()[-2000:]

    def render(self, template, target, **values):
        """Puts values in for @NAME@; a line whose value is empty disappears."""
        with open(os.path.join(HERE, template), encoding="utf-8") as source:
            text = source.read()
        values = {"DIR": self.dir, "STORE": self.store, "ORIGIN": f"127.0.0.1:{self.origin}", "BODY": FIXED_BODY,
                  **{f.upper(): f"127.0.0.1:{p}" for f, p in self.features.items()}, **values}
        for feature in FEATURES:
            if feature not in self.features:  # a block between two marks is left out as a whole
                text = re.sub(rf"# \[{feature}\n.*?# {feature}\]\n", "", text, flags=re.S)
        text = re.sub(r"@([A-Z]+)@", lambda m: values[m.group(1)], text)
        path = os.path.join(self.dir, target)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return path

    def start_goma(self):
        for feature in self.features:  # one instance per listening address
            self.render_goma(feature)
            home = os.path.join(self.dir, feature)
            self.spawn([GOMA, "-p", home, "-c", os.path.join(home, "goma.yml"), "--workers", "1"])

    def goma_listens(self, feature):
        """The TLS instance has a plain address too; nobody asks there."""
        address = f"127.0.0.1:{self.features[feature]}"
        if feature != "tls":
            return f"web: {{address: \"{address}\"}}", ""
        pair = f"{{cert: \"{self.dir}/cert.pem\", key: \"{self.dir}/key.pem\"}}"
        return (f"web: {{address: \"127.0.0.1:{free_ports(1)[0]}\"}}\n    webSecure: {{address: \"{address}\"}}",
                f"  tls: {{minVersion: \"1.3\", default: {pair}}}")

    def render_goma(self, feature, extra=0):
        os.makedirs(os.path.join(self.dir, feature), exist_ok=True)
        route = "    - {name: \"%s\", path: \"%s\", target: \"http://%s\"%s}"
        backend = f"127.0.0.1:{self.origin}"
        if feature == "routes":
            lines = [route % (f"svc-{i}", f"/api/v1/svc-{i}", backend, "") for i in range(self.routes + extra)]
        else:
            lines = [route % ("all", "/", backend, f", middlewares: [{feature}]" if feature in ("fixed", "limit", "limitkeys", "refuse", "cache") else "")]
        listens, tls = self.goma_listens(feature)
        return self.render("goma.yml", os.path.join(feature, "goma.yml"), LISTENS=listens, TLS=tls,
                           ACCESS="\"on\"" if feature == "log" else "\"off\"", LIST="\n".join(lines))

    def start_nginx(self):
        self.render_nginx()
        self.spawn([PROGRAMS["nginx"], "-p", self.dir, "-e", f"{self.dir}/error.log", "-c", f"{self.dir}/nginx.conf"])

    def render_nginx(self, extra=0):
        routes = "\n".join(f"    location /api/v1/svc-{i}/ {{ proxy_pass http://origin; }}" for i in range(self.routes + extra))
        return self.render("nginx.conf", "nginx.conf", LIST=routes, USER="user root;" if os.geteuid() == 0 else "")

    def start_haproxy(self):
        with open(os.path.join(self.dir, "routes.map"), "w", encoding="ascii") as out:
            out.writelines(f"/api/v1/svc-{i}/ origin\n" for i in range(self.routes))
        self.render("haproxy.cfg", "haproxy.cfg")
        self.spawn([PROGRAMS["haproxy"], "-W", "-f", f"{self.dir}/haproxy.cfg", "-p", f"{self.dir}/haproxy.pid"])

    def pids(self):
        return [pid for process in self.processes for pid in family(process.pid)]

    def signal(self, number):
        for process in self.processes:
            process.send_signal(number)

    def stop(self):
        pids = self.pids()
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.store, ignore_errors=True)
        for pid in pids:  # a worker that its master has left behind
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass


# --- load -------------------------------------------------------------------------------------------------------------

def load(port, path="/", script="report.lua", arguments=(), seconds=1.0, connections=64, scheme="http"):
    """One run of wrk, h2load or handshake. Returns its summary: requests, seconds, errors, bad (answers outside 2xx and
    3xx), p50, p99 (ms; 0 where the program does not tell)."""
    if script == "h2load":
        return load_h2(port, path, arguments, seconds, connections)
    if script == "handshake":
        command = [HANDSHAKE, str(port), path, str(seconds), *arguments]
    else:
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", script,
                   f"{scheme}://127.0.0.1:{port}{path}", *(["--", *map(str, arguments)] if arguments else [])]
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE, preexec_fn=pinned(LOAD_CPU), timeout=seconds + 60)
    found = re.search(r"^REPORT (.*)$", done.stdout, re.M)
    if done.returncode != 0 or not found:
        sys.exit(f"bench: {command[0]} failed: {done.stdout}{done.stderr}")
    return json.loads(found.group(1))


def load_h2(port, path, arguments, seconds, connections):
    command = ["h2load", "-t1", f"-c{connections}", f"-m{arguments[0]}", "-D", str(max(1, round(seconds))), f"https://127.0.0.1:{port}{path}"]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=pinned(LOAD_CPU), timeout=seconds + 60)
    rate = re.search(r"finished in ([\d.]+)(m?s), ", done.stdout)
    totals = re.search(r"requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", done.stdout)
    if done.returncode != 0 or not rate or not totals:
        sys.exit(f"bench: h2load failed: {done.stdout}{done.stderr}")
    succeeded = int(totals.group(3))
    return {"requests": succeeded, "seconds": float(rate.group(1)) / (1000 if rate.group(2) == "ms" else 1),
            "bad": int(totals.group(2)) - succeeded, "errors": int(totals.group(5)), "p50": 0, "p99": 0, "max": 0}


def get(port, path, body=None, scheme="http"):
    """(status, body) of one request, through a new connection."""
    if scheme == "https":
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=ssl._create_unverified_context())
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST" if body else "GET", path, body=body)
    reply = connection.getresponse()
    content = reply.read()
    connection.close()
    return reply.status, content


# --- tables -----------------------------------------------------------------------------------------------------------

def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def version(name):
    done = subprocess.run([PROGRAMS[name], "-v"], capture_output=True, text=True)
    found = re.search(r"\d+\.\d+[\w.+~-]*", done.stdout + done.stderr)
    return f"{name} {found.group(0) if found else '?'}"


def machine():
    """One line about where this ran."""
    model, distribution = "unknown processor", "Linux"
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    if os.path.exists("/etc/os-release"):
        with open("/etc/os-release", encoding="utf-8") as release:
            names = dict(line.rstrip().split("=", 1) for line in release if "=" in line)
        distribution = names.get("PRETTY_NAME", "Linux").strip('"')
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    room = "own network namespace, TCP reno" if os.environ.get(INSIDE) == "namespace" else "the machine's loopback"
    return f"{os.cpu_count()} processors ({model}), {gib:.0f} GiB, {distribution}, Linux {platform.release()}; {room}"


class Lab:
    """A scratch directory, the origin and the gateways of one run; everything ends with it."""

    def __init__(self, keep=False):
        self.keep, self.gateways = keep, []
        self.scratch = tempfile.mkdtemp(prefix="goma-bench-")
        os.chmod(self.scratch, 0o755)  # unprivileged workers open files below it
        self.origin = Origin()

    def __enter__(self):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # who is ended ends what it started
        return self

    def start(self, name, label=None, **options):
        gateway = Gateway(name, os.path.join(self.scratch, label) if label else self.scratch, self.origin.port, **options)
        self.gateways.append(gateway)
        return gateway

    def __exit__(self, *_):
        for gateway in self.gateways:
            gateway.stop()
        self.origin.stop()
        if self.keep:
            print(f"kept: {self.scratch}", file=sys.stderr)
        else:
            shutil.rmtree(self.scratch, ignore_errors=True)
