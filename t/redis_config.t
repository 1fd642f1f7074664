#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""gateway.redis in a running gateway: certificates are read from files, a wrong one refuses, secrets are not shown."""
from lib.goma import *
from lib.tls import Authority

origin = Origin(lambda request: Reply(200, body="hello"))
SECRET = "hunter2"


def block(**more):
    return {"addr": "redis.test:6380", "password": SECRET, "tls": {"clientCa": "ca.crt", "clientCert": "client.crt", "clientKey": "client.key"}, **more}


goma = Goma([route("/", origin)], start=False, redis=block())
authority = Authority(goma.directory)
authority.issue("client")
other = Authority(goma.path("other"), "other")
check = ["-p", goma.directory, "-c", "goma.yml"]

code, output = goma.run("-t", *check)
same((code, "ok" in output), (0, True), "certificates of files are accepted")
code, output = goma.run("-T", *check)
expect(code == 0 and SECRET not in output and "clientCa: ca.crt" in output, "goma -T shows files, and no password", output)

goma.start()
expect(goma.canary(), "the workers build the same from what was read")
expect(not any(SECRET in title(pid) for pid in goma.family()), "ps does not show the password")

goma.configure([route("/", origin)], redis=block(tls={"clientCa": "ca.crt", "clientCert": "client.crt", "clientKey": "other/other.key"}))
code, output = goma.reload()
expect(code != 0 and "the key does not belong to the certificate" in output and SECRET not in output, "a key of another certificate refuses the reload", output)
goma.configure([route("/", origin)], redis=block(tls={"clientCa": "none.crt"}))
code, output = goma.reload()
expect(code != 0 and "gateway.redis.tls.clientCa: cannot read none.crt: no such file" in output, "a missing file refuses the reload", output)
expect(goma.canary(), "the old configuration serves on")

goma.configure([route("/", origin)], redis={"redis_host": "redis.test", "redis_use_ssl": True, "redis_ca_file": "ca.crt", "redis_max_active": 500})
code, output = goma.reload()
expect(code == 0, "Tyk's spellings are taken by a reload", output)
expect("gateway.redis.redis_max_active has no effect" in output or goma.told("redis_max_active has no effect"), "what has no effect is told", output)

goma.configure([route("/", origin)])
code, output = goma.run("-T", *check, env={"GOMA_REDIS_ADDR": f"redis://u:{SECRET}@redis.test:7", "GOMA_REDIS_DB": "4"})
expect(code == 0 and SECRET not in output and "addr: redis://redis.test:7" in output and "db: 4" in output, "an address in the environment is enough", output)
code, output = goma.run("-t", *check, env={"GOMA_REDIS_ADDR": f"redis://u:{SECRET}@redis.test:none"})
expect(code == 78 and "the environment variable GOMA_REDIS_ADDR has no port" in output and SECRET not in output, "a bad one is told by the variable's name", output)
