#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A Redis that is misconfigured, absent, slow, full, frozen or mad: what is said names the place and the cause, requests
are served as the limit says, and Redis is used again as soon as it can be."""
import json
import os
import shutil
from lib.goma import *
from lib.redis import GARBAGE, HUGE_BULK, FakeRedis, RedisCluster, RedisSentinels, RedisServer, free_server_port
from lib.tls import Authority

time_limit(240)
NOWHERE = "http://127.0.0.1:9"


def setting(redis, sync="settle", **more):
    return [route("/", NOWHERE, "main", middlewares=["limit", "ok"])], \
        [middleware("limit", "rateLimit", {"unit": "hour", "requestsPerUnit": 100_000, "sync": sync}), middleware("ok", "respond", {"status": 200, "body": "ok"})], \
        {"redis": redis, "monitoring": {"enableMetrics": True}, "log": {"level": "error"}, **more}


def host(redis, sync="settle", **more):
    routes, middlewares, gateway = setting(redis, sync, **more)
    return Goma(routes, middlewares, workers=1, **gateway)


def state(goma):
    return goma.ctl_json("redis")


def served(goma, what, n=20):
    """Requests are answered, and none waits much longer than a command may take."""
    begun = time.monotonic()
    statuses = [goma.get("/").status for _ in range(n)]
    took = time.monotonic() - begun
    same(statuses, [200] * n, f"{what}: requests are served")
    expect(took < n * 0.06 * SLOW + 1, f"{what}: none waits for Redis longer than its deadline", took)


# --- what is wrong is said, with the place

goma = Goma(start=False)
plain = RedisServer(password="secret")
sealed = RedisServer(tls=True)
wrong = Authority(goma.path("wrong"), "wrong")
for what, block, pattern in [
        ("no password", {"addr": plain.address}, r"it demands a password, and none is configured"),
        ("wrong password", {"addr": plain.address, "password": "guess"}, r"it does not accept the user name or password"),
        ("wrong authority", {"addr": sealed.address, "tls": {"clientCa": wrong.certificate}}, r"TLS: .*certificate"),
        ("wrong name", {"addr": sealed.address, "tls": {"clientCa": sealed.authority.certificate, "serverName": "other.test"}}, r"TLS: .*(name|host)"),
        ("no TLS there", {"addr": plain.address, "tls": {"clientCa": sealed.authority.certificate}}, r"speaks no TLS"),
        ("nobody there", {"addr": f"127.0.0.1:{free_server_port()}"}, r"[Rr]efused"),
        ("no such name", {"addr": "nowhere.invalid:6379"}, r"name has no address")]:
    goma = host(block)
    line = goma.told(r'level=ERROR msg="Redis is not usable"')
    expect(re.search(pattern, line) and re.search(r"goma.yml:\d+:\d+", line), f"{what}: the log names cause and place", line)
    expect(wait_for(lambda: re.search(pattern, state(goma)["problem"])), f"{what}: and so does gomactl redis", state(goma))
    expect("guess" not in goma.output, f"{what}: without the password")
    served(goma, what)
    goma.stop()
goma = host({"addr": sealed.address, "tls": {"clientCa": sealed.authority.certificate, "serverName": "localhost"}})
expect(wait_for(lambda: state(goma)["usable"]), "the right authority and name: used", state(goma))
goma.stop()

# --- files are renewed on the disk

bundle = os.path.join(wrong.directory, "bundle.crt")
shutil.copy(wrong.certificate, bundle)
goma = host({"addr": sealed.address, "tls": {"clientCa": bundle, "serverName": "localhost"}})
expect(goma.told(r"TLS: .*certificate"), "an authority of yesterday is not believed")
shutil.copy(sealed.authority.certificate, bundle + ".new")
os.rename(bundle + ".new", bundle)
expect(wait_for(lambda: state(goma)["usable"]), "today's file is used without a reload", state(goma))
with open(bundle, "w", encoding="ascii") as file:
    file.write("no certificate")
expect(goma.told(r"reload.*refused|goma.yml.*clientCa"), "a file that is none changes nothing, and the log says why") or note(goma.output[-500:])
expect(state(goma)["usable"], "the connection stays")
served(goma, "after a wrong file")
goma.stop()
sealed.stop()

# --- away at start, then there; away again

port = free_server_port()
goma = host({"addr": f"127.0.0.1:{port}"})
served(goma, "away at start")
same((goma.get("/readyz").status, json.loads(goma.get("/readyz").text)["redis"]), (200, {"usable": False, "hosts": 1}), "readiness tells of it, and is there")
server = RedisServer(port=port)
expect(wait_for(lambda: state(goma)["usable"]), "used as soon as it appears")
goma.get("/")
expect(wait_for(lambda: server.cli("EXISTS", "rate:main:limit:ip:127.0.0.1") == 1), "and what was let in is posted")
server.kill()
expect(wait_for(lambda: not state(goma)["usable"]), "a killed one is noticed")
served(goma, "killed")
server.start()
expect(wait_for(lambda: state(goma)["usable"]), "and used again when it is back")

# --- frozen, slow, full

server.pause()
served(goma, "frozen")
goma.stop()
goma = host({"addr": server.address}, sync="exact")
served(goma, "frozen at start, exact")
server.go_on()
expect(wait_for(lambda: state(goma)["usable"]), "exact: used when it goes on")
server.pause()
served(goma, "frozen, exact", 30)
metrics = goma.metrics()
expect(metrics['goma_redis_commands_total{outcome="late"}'] > 0 and metrics["goma_limit_apart_decisions_total"] > 0, "late answers and decisions without Redis are counted")
server.go_on()
expect(wait_for(lambda: state(goma)["usable"] and goma.get("/")["RateLimit"]), "exact: used again")
server.cli("CLIENT", "PAUSE", "1000", "WRITE")
served(goma, "CLIENT PAUSE")
expect(wait_for(lambda: server.cli("PING") == "PONG"), "the pause ends")
server.cli("CONFIG", "SET", "maxmemory", "1")
served(goma, "full")
expect(wait_for(lambda: goma.get("/").status == 200 and goma.metrics()['goma_redis_commands_total{outcome="refused"}'] > 0), "a full Redis refuses, which is counted")
server.cli("CONFIG", "SET", "maxmemory", "0")
server.cli("SET", "rate:main:limit:ip:127.0.0.1", "no number")
served(goma, "a key that is somebody else's")
goma.stop()
server.stop()

# --- one that is no Redis, or a mad one

for what, script in [("garbage", [GARBAGE]), ("half a reply", [b"$100\r\nhalf"]), ("512 MB", [HUGE_BULK]), ("an error for everything", [b"-ERR no\r\n"]), ("two thousand million elements", [b"*2000000000\r\n"]),
                     ("answers to nothing", [b"+PONG\r\n+PONG\r\n+PONG\r\n+PONG\r\n"])]:
    fake = FakeRedis(script)
    goma = host({"addr": f"127.0.0.1:{fake.port}"})
    served(goma, what)
    expect(wait_for(lambda: state(goma)["problem"] or what == "answers to nothing"), f"{what}: is told", state(goma))
    expect(goma.output.count("Redis is not usable") < 8 and fake.connections < 60, f"{what}: it is neither told nor tried without end", (goma.output.count("Redis is not usable"), fake.connections))
    goma.stop()
    fake.stop()

# --- who may not listen

quiet = RedisServer()
quiet.cli("ACL", "SETUSER", "goma", "on", ">pass", "~*", "+@all", "resetchannels")
goma = host({"addr": quiet.address, "username": "goma", "password": "pass"})
expect(goma.told("Redis refuses to be listened to"), "a refused SUBSCRIBE is told")
expect(wait_for(lambda: "SUBSCRIBE is refused" in state(goma)["problem"]) and state(goma)["usable"], "also by gomactl redis", state(goma))
goma.stop()
quiet.stop()

# --- taken out of the configuration, while it is asked

sentinels = RedisSentinels()
goma = host({"addrs": [s.address for s in sentinels.sentinels], "masterName": sentinels.name})
expect(wait_for(lambda: state(goma)["usable"]), "Sentinels are asked")
pids = goma.worker_pids() + [goma.manager_pid()]
routes, middlewares, gateway = setting(None)
del gateway["redis"]
goma.configure(routes, middlewares, **gateway)
same(goma.reload()[0], 0, "a reload without Redis")
time.sleep(2.5)             # retired connections go after two seconds
same((goma.worker_pids() + [goma.manager_pid()], state(goma)["configured"], goma.get("/").status), (pids, False, 200), "harms nobody")
goma.stop()
sentinels.stop()

server = RedisServer()
goma = host({"addr": server.address})
expect(wait_for(lambda: state(goma)["usable"]), "one server is used")
server.pause()
served(goma, "frozen, before it is taken out")
goma.configure(routes, middlewares, **gateway)
same(goma.reload()[0], 0, "a reload without it")
expect(wait_for(lambda: goma.metrics()["goma_limit_apart"] == 0), "nobody is apart from nobody")
server.go_on()

# --- flushOnStartup: at the start of the first host, never at a reload

goma.configure(*setting(None)[:2], **{**gateway, "redis": {"addr": server.address, "flushOnStartup": True}})
server.cli("SET", "kept", "1")
same(goma.reload()[0], 0, "a reload that asks for an empty database")
expect(wait_for(lambda: state(goma)["usable"] and server.cli("ZCARD", "goma:{hosts}") == 1), "lives with Redis again")
same(server.cli("EXISTS", "kept"), 1, "and empties nothing")
goma.stop(signal.SIGQUIT)
same(server.cli("ZCARD", "goma:{hosts}"), 0, "a host that stops in order strikes itself off")
goma = host({"addr": server.address, "flushOnStartup": True})
expect(wait_for(lambda: server.cli("EXISTS", "kept") == 0), "the first host that starts does")
expect(wait_for(lambda: server.cli("ZCARD", "goma:{hosts}") == 1), "and signs afterwards")
server.cli("SET", "kept", "1")
second = host({"addr": server.address, "flushOnStartup": True})
expect(wait_for(lambda: server.cli("ZCARD", "goma:{hosts}") == 2), "a second host")
same(server.cli("EXISTS", "kept"), 1, "empties nothing")
goma.stop()
second.stop()
server.stop()

# --- a cluster with a hole

cluster = RedisCluster(unassigned=(0, 1000))
goma = host({"addrs": [cluster.servers[0].address], "mode": "cluster"})
expect(wait_for(lambda: "0-1000" in state(goma)["problem"]), "a slot range that nobody serves is named", state(goma))
expect(goma.told("slots are not served").find("0-1000") > 0, "in the log too")
served(goma, "a cluster with a hole")
goma.stop()
cluster.stop()
