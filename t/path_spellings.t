#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every spelling of one path (t/unit/path_spellings.inc) meets the same protection, whoever gives it, in front of a backend
that decodes, takes backslashes for slashes and merges. What is refused says why in the log and is counted."""
import urllib.parse

from lib.goma import *

with open(os.path.join(ROOT, "t", "unit", "path_spellings.inc"), encoding="ascii") as file:
    ROWS = [line.split() for line in file if re.match(r"[gro] [gro]{3} ", line)]
PATTERNS = ["/private/admin", "^/pr[i]vate/adm.n", "^/private/admin/x$"]
ROUTES = ["/private", "/private/{name}", "/private/admin/x"]


def serve(request):
    path = urllib.parse.unquote(request.target.partition("?")[0]).replace("\\", "/")
    names = [name.partition(";")[0] for name in path.split("/")]
    secret = [name for name in names if name][:3] == ["private", "admin", "x"]
    return Reply(200, body="SECRET" if secret else "open")


backend = Origin(serve)
auth = Origin(lambda r: Reply(401))
KINDS = {"forwardAuth": (401, {"authUrl": auth.url + "/"}), "respond": (403, {"status": 403}),
         "rateLimit": (429, {"requestsPerUnit": 1, "unit": "hour"})}
routes, middlewares, columns = [], [middleware("deny", "respond", {"status": 403})], []
for kind, (status, rule) in KINDS.items():
    for n, pattern in enumerate(PATTERNS):
        host, name = f"{kind.lower()}{n}.test", f"{kind}{n}"
        middlewares.append(middleware(name, kind, rule, paths=[pattern]))
        routes.append(route("/", backend, name=name, hosts=[host], middlewares=[name]))
        routes.append(route("/shop", backend, name=name + "-rewritten", hosts=[host], middlewares=[name], rewrite="/"))
        columns += [(host, "", status, None), (host, "/shop", status, None)]
for n, path in enumerate(ROUTES):
    routes.append(route(path, backend, name=f"inner{n}", hosts=[f"route{n}.test"], middlewares=["deny"]))
    routes.append(route("/", backend, name=f"outer{n}", hosts=[f"route{n}.test"]))
    columns.append((f"route{n}.test", "", 403, n))
goma = Goma(routes, middlewares, monitoring={"enableMetrics": True, "host": "ops.test"})


def ask(host, target):
    client = goma.client()
    client.send(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")
    reply = client.response()
    client.close()
    return reply.status, reply.text if reply.text == "SECRET" else ""


for host, prefix, status, _ in columns:
    if status == 429:
        ask(host, prefix + "/private/admin/x")      # what is allowed

for by_middleware, by_route, _, _, target in ROWS:
    wrong = []
    for host, prefix, status, column in columns:
        letter = by_middleware if column is None else by_route[column]
        got, want = ask(host, prefix + target), {"g": status, "r": 400, "o": 200}[letter]
        if got != (want, ""):
            wrong.append(f"{host}{prefix}: {got}, wanted {want}")
    expect(not wrong, f"{target}: {by_middleware} by middlewares, {by_route} by routes", "; ".join(wrong))

line = goma.told(r"url=/private%2Fadmin/x .*host=route0\.test|host=route0\.test .*url=/private%2Fadmin/x")
expect("status=400" in line and "reason=ambiguous-path" in line, "the log says why a path of two routes is refused", line)
line = goma.told(r"host=respond0\.test.*reason=bad-path")
expect("status=400" in line, "and why one with a dot segment in hiding is", line)
text = goma.get("/metrics", {"Host": "ops.test"}).text
counted = {reason: int(n) for reason, n in re.findall(r'^goma_parse_errors_total\{reason="([^"]+)"\} (\d+)', text, re.M)}
same(counted.get("ambiguous-path"), sum(r[1].count("r") for r in ROWS if r[0] == "g"), "refused for two routes: counted")
same(counted.get("bad-path"), sum(len(columns) for r in ROWS if r[0] == "r" and "\\" not in r[4]),
     "refused as no path: counted")

for word, want, forwarded in [("refuse", 400, None), ("decode", 200, "/a/b/c")]:
    heard = len(backend.requests)
    goma.configure([route("/", backend)], networking={"encodedSlash": word})
    same(goma.reload()[0], 0, f"encodedSlash: {word} is loaded")
    same(goma.get("/a%2Fb/%5cc").status, want, f"and decides on what is encoded: {want}")
    same([r.target for r in backend.requests[heard:]], [forwarded] if forwarded else [], "and on what the backend gets")
    expect(goma.canary("/a%20b"), "other encodings are nothing to it")
expect(goma.told("reason=encoded-slash") != "", "the log says when one was refused")
