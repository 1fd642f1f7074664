#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A secret is never written: by no finding, whatever is wrong and wherever, nor by a dump, nor by gomactl, nor into the log.
Every shape of a value is tried under every kind of name, alone and beside mistakes."""
from lib.goma import *

SECRET = "hunter2xyz"
# How a value may stand, by right or by mistake.
SHAPES = [
    "%s: hunter2xyz", "%s: \"hunter2xyz\"", "%s: [hunter2xyz]", "%s: {a: hunter2xyz}", "%s: {hunter2xyz: a}", "%s: {hunter2xyz: a, hunter2xyz: b}", "%s: |\n    hunter2xyz",
    "%s: >-\n\n    a\n    hunter2xyz", "%s:\n    hunter2xyz", "%s:\n  - hunter2xyz", "%s: [\n    a,\n    hunter2xyz]", "%s: {a:\n    [hunter2xyz]}", "%s: a\n    hunter2xyz",
    "%s: !!str hunter2xyz", "%s: &p hunter2xyz", "\"%s\": hunter2xyz", "? %s\n  : hunter2xyz", "%s: ${UNSET:-hunter2xyz}", "%s: ${GIVEN}", "%s: [${GIVEN}]",
    "%s:hunter2xyz", "%s hunter2xyz", "%s: @hunter2xyz", "%s: `hunter2xyz", "%s: %%hunter2xyz", "%s: *hunter2xyz", "%s: a: hunter2xyz", "%s: \"hunter2xyz\\q\"",
    "%s: \"hunter2xyz", "%s: 'it's hunter2xyz'", "%s: \"a\" hunter2xyz", "%s: [hunter2xyz", "%s: {hunter2xyz", "%s: [a, hunter2xyz}", "%s: #hunter2xyz", "\t%s: hunter2xyz", "%s: - hunter2xyz",
    "%s: |hunter2xyz", "%s: hunter2xyz\n   %s: hunter2xyz", "%s = hunter2xyz", "%s: {a: ${hunter2xyz}}", "- %s: hunter2xyz", "%s: !hunter2xyz hunter2xyz",
]
NAMES = ["password", "pasword", "purgeToken", "Authorization", "X-Api-Key"]
ROUTES = "gateway:\n  entryPoints: {web: {address: \"127.0.0.1:0\"}}\n  routes: [{name: a, path: /, target: \"http://127.0.0.1:9\"}]\n"


def document(name, shape):
    text = shape.replace("%s", name).replace("%%", "%")
    deeper = text.replace("\n  ", "\n    ")
    if name in ("password", "pasword"):
        return ROUTES + "  redis:\n    addr: 127.0.0.1:6379\n    " + deeper + "\n    after: 1\n"
    rule = "type: httpCache\n    paths: [/]\n    rule:\n      memoryLimit: 16Mi\n      " if name == "purgeToken" else "type: requestHeaders\n    rule:\n     setHeaders:\n      X-A: b\n      "
    return ROUTES + "middlewares:\n  - name: c\n    " + rule + text.replace("\n  ", "\n      ") + "\n"


idle = Goma(text=ROUTES, start=False, env={"GIVEN": SECRET, "GIVEN_URL": f"redis://:{SECRET}@127.0.0.1:6379"})


def outputs(text):
    """What checks and dumps say of a configuration."""
    idle.write(text)
    for arguments in (["-T"], ["-t", "--format", "json"]):
        yield idle.run(*arguments, "-p", idle.directory, "-c", "goma.yml")[1]


def leaks(text):
    return [out for out in outputs(text) if "unter2" in out]


def beside_mistakes(text):
    yield text
    yield text + "oops: [\n"
    yield text.replace("routes: [", "routse: [")
    yield text + " bad indent: 1\n"
    flow = re.sub(r"\n( *)(addr|memoryLimit|X-A): .*\n", r"\n", text)
    yield flow + "tab:\t\t- x\n"


for name in NAMES:
    found = []
    tried = 0
    for shape in SHAPES:
        for text in beside_mistakes(document(name, shape)):
            tried += 1
            found += [(shape, out) for out in leaks(text)]
    expect(not found, f"{name}: {len(SHAPES)} shapes, {tried} files", found[:2] and f"{len(found)}: {found[0][0]!r}\n{found[0][1]}")

LINES = [
    "  redis: {addr: \"redis://:hunter2xyz@127.0.0.1:99999/x\"}", "  redis: {addr: \"redis://u:hunter2/xyz@h:6379\"}", "  redis: {addrs: [\"redis://u:hunter2xyz@a\", \"b\"]}",
    "  redis: {addr: x, password: hunter2xyz, oops: 1, passwrod: hunter2xyz}", "  redis:\n    {addr: x,\n    password:\n    hunter2xyz, oops: 1}", "  redsi: {password: hunter2xyz}",
    "  tls: {certificates: [{cert: a, key: hunter2xyz}]}", "  tls:\n    certificates:\n    - cert: a\n      key: |\n       -----BEGIN PRIVATE KEY-----\n       hunter2xyz\n       -----END PRIVATE KEY-----\n      oops: 1",
    "  x-a: &p hunter2xyz\n  x-b: {redis: {password: *p}}\n  redis: {addr: x, password: *p, oops: 1}", "  redis: {addr: \"${GIVEN_URL}\", oops: 1}",
    "middlewares:\n  - {name: f, type: forwardAuth, rule: {authUrl: \"http://u:hunter2xyz@h/\", oops: 1}}", "middlewares:\n  - {name: f, type: forwardAuth, rule: {authUrl: \"http://127.0.0.1:9/?api_key=hunter2xyz\"}}",
    "middlewares:\n  - {name: f, type: forwardAuth, rule: {authUrl: \"h/?token=hunter2xyz\"}}", "middlewares:\n  - {name: b, type: basic, rule: {users: [\"ann:hunter2xyz\"]}}",
    "middlewares:\n  - {name: r, type: respond, rule: {headers: {Set-Cookie: hunter2xyz, X-Auth-Token: hunter2xyz}, body: Bearer hunter2xyz}}",
    "middlewares:\n  - {name: r, type: respond, oops: 1, rule: {headers: [\"Authorization: Bearer hunter2xyz\"]}}", "middlewares:\n  - {name: j, type: jwt, rule: {secret: hunter2xyz}}",
]
found = []
for line in LINES:
    found += [(line, out) for text in beside_mistakes(ROUTES + line + "\n") for out in leaks(text)]
for target in ("http://u:hunter2xyz@127.0.0.1:9", "http://127.0.0.1:9/?api_key=hunter2xyz", "u:hunter2xyz@127.0.0.1:9", "ftp://u:hunter2xyz@h", "http//u:hunter2xyz@h", "http://127.0.0.1:9/?access_token=hunter2xyz#x"):
    found += [(target, out) for text in beside_mistakes(ROUTES.replace("http://127.0.0.1:9", target)) for out in leaks(text)]
pasted = 'name: a, middlewares: ["${GIVEN}"], methods: ["${GIVEN} "], hosts: ["-${GIVEN}"], priority: "${GIVEN}",'
found += [(pasted, out) for text in beside_mistakes(ROUTES.replace("name: a,", pasted)) for out in leaks(text)]
expect(not found, f"{len(LINES)} lines with a secret by its place", found and f"{len(found)}: {found[0][0]!r}\n{found[0][1]}")

origin = Origin()
GOOD = {"text": json.dumps({"version": 2, "gateway": {
    "entryPoints": {"web": {"address": "127.0.0.1:0"}}, "log": {"level": "info", "accessFormat": "combined"}, "routes": [
        {"name": "a", "path": "/", "target": f"{origin.url}/?api_key=hunter2xyz", "middlewares": ["c", "h", "r"]}]},
    "middlewares": [{"name": "c", "type": "httpCache", "paths": ["/"], "rule": {"purgeToken": "hunter2xyz"}}, {"name": "h", "type": "requestHeaders", "rule": {"setHeaders": {"X-Api-Key": "hunter2xyz"}}},
                    {"name": "r", "type": "accessLog", "rule": {"headers": ["X-Auth-Token"], "query": ["token"], "cookies": ["api_token"]}}]}, indent=1)}
goma = Goma(**GOOD)
said = {"X-Auth-Token": "hunter2xyz", "Cookie": "api_token=hunter2xyz", "Referer": "http://a/?access_token=hunter2xyz"}
same(goma.get("/?token=hunter2xyz", said).status, 200, "a configuration full of secrets serves")
same(origin.requests[-1]["x-api-key"], SECRET, "and uses them")
goma.write(GOOD["text"].replace('"combined"', '"goma"'))
shown = [goma.ctl("reload")]
goma.get("/?token=hunter2xyz", said)
goma.write(GOOD["text"].replace('"purgeToken"', '"purgeTokne"').replace('"name": "h"', '"nmae": "h"'))
shown += [goma.ctl(*words) for verb in (["reload"], ["test"], ["config", "show"], ["routes"], ["backends"], ["status"], ["workers"]) for words in (verb, ["--json", *verb])]
expect(not [out for _, *out in shown if "unter2" in "".join(out)], "gomactl shows none", [out for _, *out in shown if "unter2" in "".join(out)][:1])
expect(goma.told("REDACTED"), "fields of the log that hold secrets are redacted", goma.output)
expect("unter2" not in goma.output, "nor does the log", goma.output)
