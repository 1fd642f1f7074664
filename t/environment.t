#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every variable that the reference names is read: it wins over the file, or fills in for it where the reference says so."""
from lib.goma import *

REFERENCE = read(ROOT + "/docs/reference.md")
WORDS = {"GOMA_LOG_LEVEL": "warn", "GOMA_LOG_FORMAT": "json", "GOMA_LOG_FILE": "told.log", "GOMA_ENTRYPOINT_WEB_ADDRESS": "127.0.0.1:41",
         "GOMA_ENTRYPOINT_WEB_SECURE_ADDRESS": "127.0.0.1:42", "GOMA_PROXY_TRUSTED_PROXIES": "10.1.2.3,10.9.8.0/24", "GOMA_PROXY_IP_HEADERS": "X-Edge-IP,X-Other-IP",
         "GOMA_EXTRA_CONFIG_DIR": "extra"}

idle = Goma(start=False)
os.mkdir(idle.path("extra"))


def told(env, text):
    """What -T shows for each key: the value and where it is from."""
    idle.write(text)
    code, out = idle.run("-T", "-p", idle.directory, "-c", "goma.yml", env=env)
    if code != 0:
        note(out)
    shown, path = {}, []
    for line in out.splitlines():
        found = re.match(r"^( *)(?:- )?(\w+):(?: (.*?))?(?: +# (.*))?$", line)
        if found:
            path = path[:len(found.group(1)) // 2] + [found.group(2)]
            shown[".".join(path)] = (found.group(3), found.group(4))
    return shown


cases = []
for title, text in re.findall(r"^## (gateway[.\w]*)$(.*?)(?=^## )", REFERENCE, re.M | re.S):
    for key, value, default, meaning in re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*) \|$", text, re.M):
        for name, absent in re.findall(r"Variable: (GOMA_\w+)( \(when the key is absent\))?", meaning):
            if "REDIS" not in name:     # t/redis_config.t has those
                sample = WORDS.get(name) or {"true or false": "false" if default == "`true`" else "true"}.get(value, "47")
                cases.append((name, f"{title}.{key}", sample, bool(absent)))
expect(len(cases) >= 20, "the reference names the variables", cases)


def yaml(value):
    return f"[{value}]" if "," in value else value


def plain(text):
    return (text or "").replace('"', "").replace(", ", ",").strip("[]")


BARE = "version: 2\ngateway:\n  routes: [{name: a, path: /, target: 'http://127.0.0.1:1'}]\n"
shown = told({name: value for name, _, value, _ in cases}, BARE)
wrong = {name: shown.get(key) for name, key, value, _ in cases if plain(shown.get(key, ("",))[0]) != value or name not in (shown[key][1] or "")}
same(wrong, {}, "each says its key, and -T says that it does")

others = {"GOMA_LOG_LEVEL": "debug", "GOMA_LOG_FORMAT": "text"}
for name, key, value, absent in cases:
    section, leaf = key.split(".")[1:-1], key.split(".")[-1]
    old = {"true": "false", "false": "true"}.get(value) or others.get(name) or (yaml("10.7.7.7") if "PROXIES" in name else "127.0.0.1:7" if "ADDRESS" in name else "7")
    old = f"[{old}]" if name in ("GOMA_PROXY_TRUSTED_PROXIES", "GOMA_PROXY_IP_HEADERS") else old
    nest = "".join("  " * (depth + 1) + word + ":\n" for depth, word in enumerate(section))
    seen = told({name: value}, BARE + nest + "  " * (len(section) + 1) + f"{leaf}: {old}\n").get(key, ("", ""))
    same(plain(seen[0]), plain(old) if absent else value, f"{name}: {'the file' if absent else 'the variable'} wins")
