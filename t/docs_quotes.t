#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the pages quote of the program is what it says: findings, gomactl's answers, the access line, response fields, the
allowances of HTTP/2; and what the banner and the quickstart tell to try works."""
from lib.goma import *
from lib.cache import Pages, cache


def page(path):
    return read(os.path.join(ROOT, path))


def quote(path, first):
    """The lines of a page from the one that begins so to the next that is empty or a mark."""
    found = re.search(rf"^ *{first}.*(?:\n *[^`\s].*)*", page(path), re.M)
    return found.group(0) if found else f"(nothing in {path} begins with {first})"


def plain(text):
    """With one blank for many, and N for numbers, times and paths that are another one's."""
    return re.sub(r"\s+", " ", re.sub(r"\d[\d:.]*", "N", text.replace("/etc/goma/", ""))).strip()


def alike(quoted, said, name):
    expect(plain(quoted) in plain(said), name, f"{said}\nquoted: {quoted}")


# --- findings

FILE = "version: 2\ngateway:\n  log: {level: info}\n  entryPoints: {web: {address: '127.0.0.1:0'}}\n  routes:\n    - name: %s\n      %s\n      target: %s\n"
origin = Origin(name="one")
idle = Goma(start=False)


def findings(text):
    idle.write(text)
    return idle.run("config", "check", "-p", idle.directory, "-c", "goma.yml")[1]


MIGRATING = "docs/migrating-from-goma-gateway.md"
alike(quote("README.md", r"/etc/goma/goma\.yml:8"), findings(FILE % ("shop", "pth: /shop", origin.url)), "README: a misspelt key")
alike(quote(MIGRATING, r"goma\.yml:12"), findings(FILE % ("shop", "path: /\n      healthCheck: {path: /live}", origin.url)), "migrating: a key that is not there yet")
alike(quote(MIGRATING, r"goma\.yml:10"), findings((FILE % ("b", "path: /", "http://127.0.0.1:9000")).replace("target", "destination")), "and an old spelling")

# --- gomactl

HELLO = FILE % ("a", "path: /a", origin.url) + f"    - name: hello\n      path: /\n      target: {origin.url}\n      middlewares: [hello]\n"
RULES = "middlewares:\n  - name: hello\n    type: requestHeaders\n  - name: other\n    type: requestHeaders\n"
goma = Goma(text=HELLO + RULES)
alike(quote("docs/operations.md", "gomactl: reloaded"), goma.reload()[1], "operations: a reload")
goma.write((HELLO + RULES).replace("[hello]", "[helo]"))
refused = quote("docs/reload.md", r"goma\.yml:13")
alike(refused.rpartition("gomactl")[0], goma.reload()[1], "reload: the finding of a refused one")
alike("gomactl" + refused.rpartition("gomactl")[2], goma.reload()[1], "and that it is refused")
goma.write(HELLO + RULES)

# --- the access line

goma.get("/a/b", {"Referer": "x", "User-Agent": "curl/8.5.0"})
keys = lambda line: re.findall(r"(?:^| )(\w+)=", line)
same(keys(quote("docs/middlewares/access-log.md", "time=")), keys(goma.told('msg="Proxied request"')), "access-log: the keys of the line, in their order")

# --- fields of responses

pages = Pages()
pages.answer("/x", Reply(200, [("Cache-Control", "max-age=120")], "x"))
limited = Goma([route("/", pages.origin, middlewares=["api-limit", "cache"])],
               [middleware("api-limit", "rateLimit", {"unit": "minute", "requestsPerUnit": 60, "burst": 20}), cache(maxTtl=120)], workers=1)
limited.get("/x")
reply = limited.get("/x")
for path, first in (("docs/middlewares/rate-limit.md", "RateLimit-Policy:"), ("docs/middlewares/http-cache.md", "X-Goma-Cache:")):
    for name, value in re.findall(r"^ *([\w-]+): (.*)$", quote(path, first), re.M):
        same(plain(reply[name.lower()] or "absent"), plain(value), f"{path}: {name}")

# --- the allowances of HTTP/2

program = {name: (int(burst), int(rate)) for name, burst, rate in re.findall(r'\{"([a-z-]+)", (\d+), (\d+),', page("src/http/h2_guard.h"))}
told = {}
for kinds, burst, rate in re.findall(r"^\| (`[a-z-]+`.*?) \| (\d+)[^|]*\| (\d+) \|", page("docs/security.md"), re.M):
    told |= {kind: (int(burst), int(rate)) for kind in re.findall(r"`([a-z-]+)`", kinds)}
same(told, program, "security: what a connection is allowed, by kind")

# --- what bootstrap and the quickstart tell to try

first = Goma(text=re.sub(r"http://127\.0\.0\.1:\d+", origin.url, page("conf/quickstart.yml")).replace("127.0.0.1:8080", "127.0.0.1:0"))
answers = {}
for line in page("bootstrap").splitlines() + page("docs/quickstart.md").splitlines() + page("README.md").splitlines():
    if found := re.match(r" +curl -[is] http://127\.0\.0\.1:8080(/\S*)", line):
        answers[found.group(1)] = first.get(found.group(1)).status
same(answers, dict.fromkeys(["/", "/readyz", "/metrics", "/mirror/a/b", "/hello"], 200), "every URL of the banner and the quickstart answers")
commands = {line for path in ("bootstrap", "docs/quickstart.md", "README.md") for line in re.findall(r"^ +build/gomactl -p build/run (\w+)", page(path), re.M)}
same([c for c in sorted(commands) if first.ctl(c)[0] != 0], [], f"and gomactl {', '.join(sorted(commands))}")
