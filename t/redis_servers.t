#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Redis servers that other plays use: each shape starts, serves, fails over and ends."""
import shutil
import subprocess
import sys
import time

from lib.goma import *
from lib.redis import *
from lib.redis import PROGRAM, _servers

if PROGRAM is None:
    skip_all("redis-server is not installed")

# --- one server
plain = RedisServer(unix=True)
plain.cli("SET", "k", "v")
same([plain.cli("GET", "k"), plain.cli("GET", "none"), plain.cli("INCR", "n")], ["v", None, 1], "a server serves")
same(plain.cli("EVAL", "return {1,'a',false}", 0), [1, "a", None], "lists are read")
same(RespConnection(plain.unix_path).command("GET", "k"), "v", "also on its unix socket")
same(plain.cli("GET", "k", raw=True), b"v", "texts as bytes")
port = plain.port
plain.pause()
try:
    plain.cli("PING", timeout=0.2)
    expect(False, "a paused server says nothing")
except OSError:
    expect(True, "a paused server says nothing")
plain.go_on()
same(plain.cli("PING"), "PONG", "and goes on")
plain.kill()
expect(not alive(plain.pid), "a killed server is gone")
plain.start()
same((plain.port, plain.cli("GET", "k")), (port, None), "it is back on its port, and forgot everything")
plain.stop()
expect(not alive(plain.pid), "a stopped server is gone")

named = RedisServer(password="secret", user="goma", tls="demand")
same(named.cli("ACL", "WHOAMI"), "goma", "a user of its own, over TLS with client certificates")
try:
    with RespConnection((named.host, named.port)) as connection:
        connection.command("PING")
    expect(False, "it does not speak without TLS")
except (OSError, ValueError):
    expect(True, "it does not speak without TLS")
guarded = RedisServer(password="secret")
try:
    with RespConnection((guarded.host, guarded.port)) as connection:
        connection.command("PING")
    expect(False, "a password is asked for")
except RedisError as error:
    expect(str(error).startswith("NOAUTH"), "a password is asked for", str(error))

# --- behind sentinels
began = time.monotonic()
sentinels = RedisSentinels(password="secret", sentinel_password="watch")
note(f"sentinels: {time.monotonic() - began:.1f} s")
first = sentinels.primary()
first.cli("SET", "k", "v")
expect(wait_for(lambda: all(s.cli("GET", "k") == "v" for s in sentinels.replicas())), "replicas follow the primary")
sentinels.kill_primary()
began = time.monotonic()
second = sentinels.wait_failover()
note(f"failover: {time.monotonic() - began:.1f} s")
expect(second is not first and second.cli("GET", "k") == "v", "another primary has the data")
first.start()
expect(wait_for(first.is_synced_replica), "the old one is back as a replica")
sentinels.stop()

# --- a cluster
began = time.monotonic()
cluster = RedisCluster(password="secret", tls=True)
note(f"cluster: {time.monotonic() - began:.1f} s")
same([slot_of("foo"), slot_of("{foo}.bar"), slot_of("123456789")], [12182, 12182, 12739], "slots of keys")
owner, target = cluster.node_of("foo"), cluster.others("foo")[0]
owner.cli("SET", "foo", "bar")
migration = cluster.migration(slot_of("foo"), target)
migration.begin()
same(migration.move_keys(), 1, "a key of a slot moves")


def refusal(server, *words):
    try:
        return server.cli(*words)
    except RedisError as error:
        return str(error)


same(refusal(owner, "GET", "foo"), f"ASK 12182 {target.address}", "while it moves, the old owner says ASK")
migration.finish()
same(refusal(owner, "GET", "foo"), f"MOVED 12182 {target.address}", "then it says MOVED")
expect(cluster.node_of("foo") is target and target.cli("GET", "foo") == "bar", "the new owner serves the key")
began = time.monotonic()
killed = cluster.kill_primary_of("foo")
cluster.wait_ok()
note(f"failover: {time.monotonic() - began:.1f} s")
expect(killed is target and cluster.node_of("foo").cli("GET", "foo") == "bar", "its replica takes over")
cluster.stop()
gap = RedisCluster(nodes=2, unassigned=(12000, 12999))
expect(gap.node_of("foo") is None, "slots may be left to nobody")
same(refusal(gap.servers[0], "GET", "foo"), "CLUSTERDOWN Hash slot not served", "and are refused")
same(refusal(gap.node_of("bar"), "SET", "bar", "1"), "OK", "while the others are served")

# --- a scripted server
fake = FakeRedis([b"+OK\r\n", Held(b"+LATE\r\n"), Last(b"$5\r\nhal")])
with RespConnection((fake.host, fake.port)) as connection:
    same(connection.command("SET", "a", "1"), "OK", "a scripted server answers")
    connection.send("GET", "a")
    connection.sock.settimeout(0.1)
    try:
        connection.sock.recv(1)
        expect(False, "an answer is held")
    except OSError:
        expect(True, "an answer is held")
    fake.release()
    connection.sock.settimeout(PATIENCE)
    same(connection.sock.recv(64), b"+LATE\r\n", "until it is released")
with RespConnection((fake.host, fake.port)) as connection:
    try:
        connection.command("GET", "b")
        expect(False, "half an answer")
    except ConnectionError:
        expect(True, "half an answer")
same((fake.connections, fake.commands[0]), (2, ["SET", "a", "1"]), "it remembers what it was asked")

# --- orphans: a script that is killed takes its servers with it
script = "from lib.redis import *\nserver = RedisServer()\nprint('pid', server.pid, server.directory, flush=True)\nimport time\ntime.sleep(60)\n"
child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=os.path.dirname(os.path.abspath(__file__)))
orphan, left = next(line for line in child.stdout if line.startswith("pid")).split()[1:]
orphan = int(orphan)
expect(alive(orphan), "a script's server runs")
child.kill()
child.wait()
expect(wait_for(lambda: not alive(orphan)), "and ends with its script, even when that is killed")
shutil.rmtree(left)
same([server.pid for server in _servers if server.running() and server not in (*gap.servers, named, guarded)], [], "what was stopped is gone")
