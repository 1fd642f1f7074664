# SPDX-License-Identifier: Apache-2.0
"""Real Redis for a test: one server, a set behind Sentinels, a Cluster. Needs redis-server 7.

    redis = RedisServer(password="secret")
    redis.cli("SET", "k", "v")
    redis.kill(); redis.start()                     # the same port
    sentinels = RedisSentinels()                    # a primary, two replicas, three sentinels
    sentinels.kill_primary(); sentinels.wait_failover()
    cluster = RedisCluster()                        # three primaries, three replicas
    cluster.migrate_slot(slot_of("k"), cluster.others("k")[0])

Every server runs in a directory of its own on free ports of the loopback, keeps nothing on disk unless asked, and ends
with the test, by pid, however the test ends: the kernel kills it when the thread that started it dies. So start servers
in the main thread. The machine's own Redis is neither needed nor touched.
"""
import ctypes
import fcntl
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time

from . import goma
from .goma import alive, wait_for
from .resp import GARBAGE, HUGE_BULK, FakeRedis, Held, Last, RedisError, RespConnection  # noqa: F401
from .tls import Authority
from .wire import PATIENCE

PROGRAM = shutil.which("redis-server")
_servers = []
_directories = []


def free_server_port():
    """A port nobody listens on, below the kernel's range for outgoing connections so that nothing takes it by chance
    while its server is away; the port of the cluster's bus (1000 above) is free too."""
    while True:
        port = random.randrange(15000, 31000)
        if _reserve(port) and all(_bindable(p) for p in (port, port + 1000)):
            return port


def _reserve(port):
    """Whether no other play has this port; it is this one's until it ends. Ports go in steps of 2000, so that the one of a
    bus is nobody else's."""
    if port // 1000 % 2 == 0:
        return False
    os.makedirs(_reserve.directory, exist_ok=True)
    file = os.open(os.path.join(_reserve.directory, str(port)), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        return False
    _reserve.held.append(file)
    return True


_reserve.directory = os.path.join(tempfile.gettempdir(), "goma-ports")
_reserve.held = []


def _bindable(port):
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def slot_of(key):
    """The slot of a key in a cluster: CRC16 (XMODEM) of the key, or of its hash tag, modulo 16384."""
    data = key.encode() if isinstance(key, str) else key
    opened = data.find(b"{")
    closed = data.find(b"}", opened + 1)
    if opened >= 0 and closed > opened + 1:
        data = data[opened + 1:closed]
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc % 16384


def _new_directory():
    directory = tempfile.mkdtemp(prefix="goma-redis-")
    _directories.append(directory)
    return directory


def _end_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


class RedisServer:
    """One redis-server.

    user: an ACL user with the password; then `default` is off. tls: True, or "demand" for a server that wants client
    certificates; `authority.certificate` and `client_pair` are what a client needs. unix: also a socket, `unix_path`.
    args: more lines of its configuration file. sentinel: it is one. start=False only prepares it.
    """

    def __init__(self, password=None, user=None, tls=False, unix=False, port=None, args=(), authority=None, sentinel=False,
                 start=True):
        if PROGRAM is None:
            raise RuntimeError("no redis-server: ./bootstrap packages installs it")
        self.password, self.user, self.tls, self.sentinel = password, user, tls, sentinel
        self.directory = _new_directory()
        self.host, self.port, self.port_is_given = "127.0.0.1", port or free_server_port(), port is not None
        self.unix_path = os.path.join(self.directory, "redis.sock") if unix else None
        self.args = list(args)
        self.authority = authority or (Authority(self.directory, "redis-ca") if tls else None)
        if tls:
            names = "subjectAltName=DNS:localhost,DNS:redis.test,IP:127.0.0.1\n"
            self.server_pair = self.authority.issue("redis-server", extensions=names)
            self.client_pair = self.authority.issue("redis-client")
        self.process, self.paused, self.written = None, False, False
        _servers.append(self)
        if start:
            self.start()

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    @property
    def pid(self):
        return self.process.pid

    @property
    def output(self):
        return goma.read(os.path.join(self.directory, "redis.log"))

    def lines(self):
        """The configuration file."""
        lines = [f"dir {self.directory}", "bind 127.0.0.1", "protected-mode no", "daemonize no", "databases 16", 'save ""',
                 "appendonly no", "repl-diskless-sync yes", "repl-diskless-sync-delay 0", "repl-ping-replica-period 1"]
        if self.sentinel:
            lines = [f"dir {self.directory}", "bind 127.0.0.1", "protected-mode no", "daemonize no"]
        lines += [f"port {0 if self.tls else self.port}"]
        if self.tls:
            lines += [f"tls-port {self.port}", f"tls-ca-cert-file {self.authority.certificate}", f"tls-cert-file {self.server_pair[0]}",
                      f"tls-key-file {self.server_pair[1]}", f"tls-auth-clients {'yes' if self.tls == 'demand' else 'optional'}", "tls-replication yes"]
        if self.unix_path:
            lines += [f"unixsocket {self.unix_path}"]
        if self.user:
            lines += ["user default off", f"user {self.user} on >{self.password} ~* &* +@all", f"masteruser {self.user}"]
        elif self.password:
            lines += [f"requirepass {self.password}"]
        if self.password and not self.sentinel:
            lines += [f"masterauth {self.password}"]
        return lines + self.args

    # -- life

    def start(self, wait=True):
        """Starts it, again on the same port when it ran before."""
        for _ in range(5):
            self._spawn()
            if not wait or self.wait_ready():
                return self
            if self.port_is_given or self.written != "new" or "bind" not in self.output:
                break
            self.port, self.written = free_server_port(), False     # somebody was faster: another port
        raise RuntimeError(f"redis-server did not start on {self.port}:\n{self.output[-2000:]}")

    def _spawn(self):
        path = os.path.join(self.directory, "redis.conf")
        if not self.written:                                        # a sentinel writes its file itself, later
            with open(path, "w", encoding="utf-8") as file:
                file.write("\n".join(self.lines()) + "\n")
        self.written = "kept" if self.written else "new"
        with open(os.path.join(self.directory, "redis.log"), "ab") as log:
            self.process = subprocess.Popen([PROGRAM, path] + (["--sentinel"] if self.sentinel else []), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, preexec_fn=_end_with_parent, start_new_session=True)

    def running(self):
        return self.process is not None and self.process.poll() is None and alive(self.pid)

    def wait_ready(self, timeout=PATIENCE):
        """Whether it answers within the time; False at once when it has ended."""
        def answers():
            try:
                return not self.running() or self.cli("PING") == "PONG"
            except (OSError, RedisError, ValueError):
                return False
        return bool(wait_for(answers, timeout)) and self.running()

    def stop(self):
        """Ends it in order; by force when it does not."""
        if self.running():
            self.go_on()
            goma.send_signal(self.pid, signal.SIGTERM)
            if not wait_for(lambda: not self.running(), 2):
                goma.send_signal(self.pid, signal.SIGKILL)
        self._gone()

    def kill(self):
        if self.running():
            goma.send_signal(self.pid, signal.SIGKILL)
        self._gone()

    def _gone(self):
        wait_for(lambda: not self.running())
        self.paused = False

    def restart(self):
        self.stop()
        return self.start()

    def pause(self):
        """It keeps its sockets and says nothing any more."""
        self.paused = True
        goma.send_signal(self.pid, signal.SIGSTOP)
        wait_for(lambda: (goma.stat_of(self.pid) or "T")[0] == "T")

    def go_on(self):
        self.paused = False
        goma.send_signal(self.pid, signal.SIGCONT)

    # -- commands

    def connection(self, raw=False, timeout=PATIENCE):
        """A connection of its own, authenticated: for SUBSCRIBE, MONITOR, many commands."""
        context = None
        if self.tls:
            context = ssl.create_default_context(cafile=self.authority.certificate)
            context.check_hostname = False
            context.load_cert_chain(*self.client_pair)
        made = RespConnection((self.host, self.port), context, timeout, raw)
        if self.password:
            made.command(*(["AUTH", self.user, self.password] if self.user else ["AUTH", self.password]))
        return made

    def cli(self, *words, raw=False, timeout=PATIENCE):
        """One command on a fresh connection: text, number, list or None; an error reply is raised as RedisError."""
        with self.connection(raw, timeout) as connection:
            return connection.command(*words)

    def info(self, section="all"):
        pairs = (line.split(":", 1) for line in self.cli("INFO", section).splitlines() if ":" in line)
        return dict(pairs)

    def role(self):
        """What ROLE says; nothing while it does not answer: Sentinels end the connections of who gets another role."""
        try:
            return self.cli("ROLE")
        except (OSError, RedisError, ValueError):
            return [""]

    def is_primary(self):
        return self.running() and not self.paused and self.role()[0] == "master"

    def is_synced_replica(self):
        role = self.role()
        return role[0] == "slave" and role[3] == "connected"


def _start_all(servers):
    for server in servers:
        server.start(wait=False)
    for server in servers:
        if not server.wait_ready():
            raise RuntimeError(f"redis-server did not start on {server.port}:\n{server.output[-2000:]}")


def _until(condition, what, servers, timeout=2 * PATIENCE):
    if not wait_for(condition, timeout):
        logs = "\n".join(f"--- {server.port}\n{server.output[-600:]}" for server in servers)
        raise RuntimeError(f"{what}: not in time\n{logs}")


class RedisSentinels:
    """A primary and two replicas (`servers`), watched by three `sentinels` under the name `name`."""
    name = "goma"

    def __init__(self, password=None, sentinel_password=None):
        first = RedisServer(password, start=False)
        replicas = [RedisServer(password, args=[f"replicaof 127.0.0.1 {first.port}"], start=False) for _ in range(2)]
        self.servers, self.killed = [first, *replicas], None
        self.sentinels = [RedisServer(sentinel_password, args=self._watch(first, i, password, sentinel_password), sentinel=True, start=False) for i in range(3)]
        _start_all(self.servers)
        _until(lambda: all(s.is_synced_replica() for s in replicas), "replicas follow", self.servers)
        _start_all(self.sentinels)
        for sentinel in self.sentinels:
            # They find each other sooner. Five ping periods are how old news of a replica may be for it to be chosen, and a
            # second passes between such news.
            sentinel.cli("SENTINEL", "DEBUG", "publish-period", "200", "info-period", "500", "ping-period", "250")
        _until(lambda: all(self._knows_all(s) for s in self.sentinels), "sentinels know each other", self.sentinels)

    def _watch(self, first, number, password, sentinel_password):
        """One of them notices first and asks the others for their votes; when all do at once nobody has the most."""
        lines = [f"sentinel monitor {self.name} 127.0.0.1 {first.port} 1", f"sentinel down-after-milliseconds {self.name} {750 + 500 * number}",
                 f"sentinel failover-timeout {self.name} 1000", f"sentinel parallel-syncs {self.name} 2"]
        if password:
            lines.append(f"sentinel auth-pass {self.name} {password}")
        if sentinel_password:
            lines.append(f"sentinel sentinel-pass {sentinel_password}")
        return lines

    @property
    def addresses(self):
        return [sentinel.address for sentinel in self.sentinels]

    def _state(self, sentinel):
        flat = sentinel.cli("SENTINEL", "MASTER", self.name)
        return dict(zip(flat[::2], flat[1::2]))

    def _knows_all(self, sentinel):
        state = self._state(sentinel)
        return state["num-slaves"] == "2" and state["num-other-sentinels"] == "2" and state["flags"] == "master"

    def told_by(self, sentinel):
        """The server that a sentinel names as the primary."""
        port = int(sentinel.cli("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)[1])
        return next(server for server in self.servers if server.port == port)

    def primary(self):
        """The server that most sentinels in reach name as the primary."""
        named = [self.told_by(s) for s in self.sentinels if s.running() and not s.paused]
        return max(named, key=named.count)

    def replicas(self):
        primary = self.primary()
        return [server for server in self.servers if server is not primary]

    def kill_primary(self):
        """Once the last fail-over is over and there are replicas that may take its place."""
        def ready():
            over = all(self._state(s)["flags"] == "master" for s in self.sentinels if s.running() and not s.paused)
            return over and all(s.is_synced_replica() for s in self.replicas() if s.running())
        _until(ready, "replicas follow", self.sentinels, 10 * PATIENCE)
        self.killed = self.primary()
        self.killed.kill()
        return self.killed

    def wait_failover(self, timeout=10 * PATIENCE):
        """The new primary, once every sentinel in reach names it and it says so itself."""
        def done():
            named = {self.told_by(s) for s in self.sentinels if s.running() and not s.paused}
            return len(named) == 1 and self.killed not in named and next(iter(named)).is_primary()
        _until(done, "failover", self.sentinels, timeout)
        return self.primary()

    def start_as_replica(self, server):
        """Starts a server that was killed, as a replica from its first moment on."""
        with open(os.path.join(server.directory, "redis.conf"), "a", encoding="utf-8") as file:
            file.write(f"replicaof 127.0.0.1 {self.primary().port}\n")
        server.start()

    def stop(self):
        for server in self.sentinels + self.servers:
            server.stop()


class RedisCluster:
    """Half of `nodes` are primaries, with a replica each. `unassigned`: (first, last) slot that nobody serves; then
    the cluster serves the others (cluster-require-full-coverage no)."""

    def __init__(self, nodes=6, tls=False, password=None, unassigned=None):
        self.unassigned = set(range(unassigned[0], unassigned[1] + 1)) if unassigned else set()
        authority = Authority(_new_directory(), "redis-ca") if tls else None
        self.servers = [self._node(tls, password, authority) for _ in range(nodes)]
        _start_all(self.servers)
        self._form(nodes // 2)

    def _node(self, tls, password, authority):
        server = RedisServer(password, tls=tls, authority=authority, start=False)
        server.args += ["cluster-enabled yes", "cluster-config-file nodes.conf", "cluster-node-timeout 1000", f"cluster-port {server.port + 1000}",
                        "cluster-replica-validity-factor 0", f"cluster-require-full-coverage {'no' if self.unassigned else 'yes'}"]
        if tls:
            server.args.append("tls-cluster yes")
        return server

    def _form(self, count):
        primaries, replicas = self.servers[:count], self.servers[count:]
        for index, server in enumerate(self.servers):
            server.cli("CLUSTER", "SET-CONFIG-EPOCH", index + 1)        # refused once it knows another
        for index, server in enumerate(self.servers):
            for other in self.servers[index + 1:]:
                server.cli("CLUSTER", "MEET", other.host, other.port, other.port + 1000)
        for index, server in enumerate(primaries):
            slots = set(range(16384 * index // count, 16384 * (index + 1) // count)) - self.unassigned
            server.cli("CLUSTER", "ADDSLOTS", *sorted(slots))
        _until(lambda: all(self._sees_all(s) for s in self.servers), "nodes know each other", self.servers)
        for server, primary in zip(replicas, primaries):
            server.cli("CLUSTER", "REPLICATE", self.id_of(primary))
        self.wait_ok()
        _until(lambda: all(s.is_synced_replica() for s in replicas), "replicas follow", self.servers)

    def _sees_all(self, server):
        nodes = self._nodes(server)
        return len(nodes) == len(self.servers) and all(fields[7] == "connected" and "handshake" not in fields[2] for fields in nodes)

    def _nodes(self, server):
        """CLUSTER NODES: id, address, flags, primary, ping, pong, epoch, link, slots..."""
        return [line.split() for line in server.cli("CLUSTER", "NODES").splitlines()]

    def id_of(self, server):
        return server.cli("CLUSTER", "MYID")

    @property
    def addresses(self):
        return [server.address for server in self.servers]

    def reachable(self):
        return [server for server in self.servers if server.running() and not server.paused]

    def _served(self, server):
        """(first, last, port of the primary) of every range as this node sees it."""
        return [(first, last, primary[1]) for first, last, primary, *_ in server.cli("CLUSTER", "SLOTS")]

    def owner(self, slot):
        """The reachable primary that serves a slot, None when there is none."""
        for server in self.reachable():
            if server.is_primary() and any(first <= slot <= last and port == server.port for first, last, port in self._served(server)):
                return server
        return None

    def node_of(self, key):
        return self.owner(slot_of(key))

    def wait_owner(self, slot):
        """The owner, once there is one: nobody may be for a moment after a slot moved."""
        _until(lambda: self.owner(slot), "somebody serves the slot", self.servers)
        return self.owner(slot)

    def others(self, key):
        """The other primaries."""
        owner = self.wait_owner(slot_of(key))
        return [server for server in self.reachable() if server is not owner and server.is_primary()]

    def replicas_of(self, primary):
        wanted = self.id_of(primary)
        ports = {int(fields[1].split("@")[0].rpartition(":")[2]) for fields in self._nodes(primary) if fields[3] == wanted}
        return [server for server in self.servers if server.port in ports]

    def is_ok(self):
        """Every reachable node sees every slot served by a reachable primary."""
        reachable = self.reachable()
        ports = {server.port for server in reachable}
        for server in reachable:
            served = self._served(server)
            covered = sum(last - first + 1 for first, last, port in served if port in ports)
            if server.info("server").get("redis_mode") != "cluster" or covered != 16384 - len(self.unassigned):
                return False
            if "cluster_state:ok" not in server.cli("CLUSTER", "INFO"):
                return False
        return True

    def wait_ok(self, timeout=3 * PATIENCE):
        _until(self.is_ok, "the cluster is whole", self.servers, timeout)

    def migration(self, slot, target):
        return SlotMigration(self, slot, target)

    def migrate_slot(self, slot, target):
        """All steps of a migration."""
        migration = self.migration(slot, target)
        migration.begin()
        migration.move_keys()
        migration.finish()

    def kill_primary_of(self, key):
        server = self.wait_owner(slot_of(key))
        server.kill()
        return server

    def stop(self):
        for server in self.servers:
            server.stop()


class SlotMigration:
    """A slot on its way to another primary, step by step: between begin() and finish() keys that have gone are asked
    for with ASK, and after it with MOVED."""

    def __init__(self, cluster, slot, target):
        self.cluster, self.slot, self.target, self.source = cluster, slot, target, cluster.wait_owner(slot)

    def begin(self):
        self.target.cli("CLUSTER", "SETSLOT", self.slot, "IMPORTING", self.cluster.id_of(self.source))
        self.source.cli("CLUSTER", "SETSLOT", self.slot, "MIGRATING", self.cluster.id_of(self.target))

    def move_keys(self, limit=10**6):
        """Moves up to `limit` keys; how many it moved."""
        keys = self.source.cli("CLUSTER", "GETKEYSINSLOT", self.slot, limit)
        if keys:
            login = ["AUTH", self.source.password] if self.source.password else []
            self.source.cli("MIGRATE", self.target.host, self.target.port, "", 0, 5000, *login, "KEYS", *keys)
        return len(keys)

    def finish(self):
        wanted = self.cluster.id_of(self.target)
        primaries = [server for server in self.cluster.reachable() if server.is_primary()]
        for server in sorted(primaries, key=lambda s: s is not self.target):       # the new owner first
            server.cli("CLUSTER", "SETSLOT", self.slot, "NODE", wanted)


# --- the end --------------------------------------------------------------------------------------------------------

def _finish():
    """Ends everything that was started here; what could not be ended."""
    for fake in FakeRedis.live:
        fake.stop()
    for server in _servers:
        server.kill()
    if not os.environ.get("GOMA_KEEP"):
        for directory in _directories:
            shutil.rmtree(directory, ignore_errors=True)
    return [f"redis-server {server.pid} still runs" for server in _servers if server.running()]


goma.at_end.append(_finish)
