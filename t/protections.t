#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A file that asks for protection is refused when goma does not give it, wherever the key stands and however it is
spelt, with what to write instead; switched off it asks for nothing. So are spellings that say how safe a connection is."""
import os
import subprocess
import tempfile

from lib.goma import GOMA, expect

ROUTE = 'name: a, path: /, target: "http://127.0.0.1:9000"'
PLACES = {
    "the gateway": "gateway: {%%s, routes: [{%s}]}" % ROUTE,
    "a route": "gateway: {routes: [{%s, %%s}]}" % ROUTE,
    "the top level": "%%s\ngateway: {routes: [{%s}]}" % ROUTE,
    "the defaults": "gateway: {defaults: {%%s}, routes: [{%s}]}" % ROUTE,
    "a middleware": "gateway: {routes: [{%s}]}\nmiddlewares: [{name: m, type: respond, %%s}]" % ROUTE,
    "a rule": "gateway: {routes: [{%s}]}\nmiddlewares: [{name: m, type: respond, rule: {%%s}}]" % ROUTE,
}
EXTRA = "gateway: {extraConfig: {directory: extra}, routes: [{%s}]}" % ROUTE
ASKS = {
    "blockCommonExploits: true": "no exploit protection", "block_common_exploits: yes": "no exploit protection", "enableExploitProtection: true": "no exploit protection",
    "enableBotDetection: true": "bots", "rateLimit: 20": "type: rateLimit", "rateLimiter: 20": "type: rateLimit", "ratelimit: {requestsPerUnit: 5}": "type: rateLimit",
    "blocklist: [/admin]": "status: 403", "interceptErrors: [403, 500]": "error bodies", "sslCertFile: a.pem": "gateway.tls", "enforceHttps: true": "redirectScheme",
    "accessPolicy: {action: DENY}": "firewall", "basicAuth: {users: [\"a:b\"]}": "forwardAuth", "blockCommonExploit: true": "no exploit protection",
    "cors: {origins: [https://a.test]}": "cross-origin", "tlsMinVersion: \"1.3\"": "TLS", "cipherSuites: [X]": "TLS", "useTls: true": "TLS", "forcetls: true": "TLS", "backend_ssl: true": "TLS",
}
OFF = ["blockCommonExploits: false", "rateLimit: 0", "blocklist: []", "blocklist: ''", "interceptErrors: []", "cors: {}", "cors: {origins: [], headers: {}}", "basicAuth: null",
       "sslCertFile: ''", "accessPolicy: {enabled: false, action: DENY}"]
# section of the gateway or of a route -> whether it asks for anything
SECTIONS = [
    ("gateway", "providers: {file: {enabled: false}, http: {}, git: {url: \"https://a\"}}", False), ("gateway", "providers: {file: {enabled: true, directory: /x}}", True),
    ("gateway", "analytics: {stream: x}", False), ("gateway", "reload: {enabled: false, token: x}", False), ("gateway", "geoip: {database: ''}", False),
    ("gateway", "errorInterceptor: {enabled: false, errors: [{code: 404}]}", False), ("gateway", "errorInterceptor: {enabled: true}", True),
    ("a route", "healthCheck: {path: '', interval: 30s}", False), ("a route", "healthCheck: ''", False), ("a route", "healthCheck: /up", True), ("a route", "healthCheck: {path: /up}", True),
    ("a route", "maintenance: {statusCode: 503}", False), ("a route", "maintenance: {enabled: 'true'}", True), ("the top level", "certManager: {provider: acme}", False),
    ("the top level", "certManager: {acme: {email: a@b.test}}", True), ("the top level", "plugins: {path: ''}", False),
]


def judged(text, extra=None, **environment):
    with tempfile.TemporaryDirectory() as directory:
        os.mkdir(os.path.join(directory, "extra"))
        for name, content in (("goma.yml", text), ("extra/more.yml", extra or "")):
            with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
                file.write(content)
        done = subprocess.run([GOMA, "-t", "-p", directory, "-c", os.path.join(directory, "goma.yml")], capture_output=True, text=True, timeout=60,
                              env={"PATH": os.environ["PATH"], **environment})
        return done.returncode, done.stderr


def refused(name, text, advice, extra=None):
    code, out = judged(text, extra)
    expect(code == 78 and advice in out, f"{name} is refused with what to write", out)


for place, frame in PLACES.items():
    wrong = []
    for ask, advice in ASKS.items():
        code, out = judged(frame % ask)
        if code != 78 or advice not in out:
            wrong.append((ask, out))
    expect(not wrong, f"{len(ASKS)} protections in {place} are refused with what to write", wrong[:2])
    wrong = [(off, out) for off in OFF for code, out in [judged(frame % off)] if code != 0 or "it is ignored" in out]
    expect(not wrong, f"{len(OFF)} of them switched off in {place} are no matter", wrong[:2])
for place, section, asks in SECTIONS:
    text = "gateway: {%s, routes: [{%s}]}" % (section, ROUTE) if place == "gateway" else PLACES[place] % section
    code, out = judged(text)
    expect((code == 78) == asks, f"{section} {'is refused' if asks else 'asks for nothing'}", out)

for typo in ("accesslog: {}", "subtlsx: true", "processSlots: 1"):
    code, out = judged(PLACES["the gateway"] % typo)
    expect(code == 0 and "it is ignored" in out and "TLS" not in out, f"{typo} is a word that nobody knows, and not about TLS", out)
refused("a protection in an extra file", EXTRA, "no exploit protection", "blockCommonExploits: true\nroutes: []\n")
refused("an extra file of it alone", EXTRA, "[no-configuration]", "blockCommonExploits: true\n")
refused("a gateway in an extra file", EXTRA, "at its top level", "gateway: {routes: [{%s}]}\n" % ROUTE.replace("name: a", "name: b"))
refused("a definition below gateway", PLACES["the gateway"] % "middlewares: [{name: m, type: respond}]", "without indentation")
refused("names of middlewares below gateway", PLACES["the gateway"] % "middlewares: [m]", "gateway.defaults")
refused("an unknown key of security", PLACES["a route"] % "security: {csrf: true}", "security")
refused("an unknown key of tls", PLACES["the gateway"] % "tls: {min_version: \"1.3\"}", "minVersion")
refused("a foreign key of tls", PLACES["the gateway"] % "tls: {alpn_only: true}", "TLS")

REDIS = 'redis: {addrs: ["a:6379"], use_ssl: true, %s}'
for low in ('min_version: "1.3"', 'tls_min_version: "1.3"', "ssl_min_version: 1.3", "minVersion: TLS1.3", "min_version: 772", "tls: {min_version: 1.3}", "tls: {tls_min_version: \"1.3\"}"):
    code, out = judged(PLACES["the gateway"] % REDIS % (low + ', max_version: "1.2"'))
    expect(code == 78 and "above maxVersion, 1.2" in out, f"{low} is a minimum", out)
for variable in ("TYK_GW_STORAGE_TLSMINVERSION", "TYK_GW_STORAGE_MINVERSION", "TYK_GW_STORAGE_TLS_MIN_VERSION"):
    code, out = judged(PLACES["the gateway"] % REDIS % 'max_version: "1.2"', **{variable: "772"})
    expect(code == 78 and "above maxVersion, 1.2" in out, f"{variable} is a minimum", out)
refused("another word about TLS of Redis", PLACES["the gateway"] % REDIS % "tls_min_versoin: \"1.3\"", "did you mean")
refused("another key about TLS of Redis", PLACES["the gateway"] % REDIS % "ssl_ciphers: x", "TLS")
refused("a definition in a route's list", PLACES["a route"] % "middlewares: [{name: m, type: respond}]", "without indentation")
for empty in ("tls: ''", "monitoring: false", "proxy: []", "log: {}", "redis: null", "defaults: ''"):
    code, out = judged(PLACES["the gateway"] % empty)
    expect(code == 0, f"{empty} says nothing", out)
