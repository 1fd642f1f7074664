#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/metrics.md has every metric of the program, no other, and tells kind, labels and meaning as /metrics does."""
from lib.goma import *
from lib.cache import cache
from lib.tls import TlsClient

NAME = r"(?:goma|gateway|process)_[a-z0-9_]+"
SOURCES = "\n".join(read(path) for path in glob.glob(ROOT + "/src/**/*.cc", recursive=True))
PAGES = [read(path) for pattern in ("*.md", "docs/**/*.md", "man/*", "CHANGES") for path in glob.glob(os.path.join(ROOT, pattern), recursive=True)]
told = {}
for line in read(ROOT + "/docs/metrics.md").splitlines():
    cells = [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]
    if len(cells) == 4 and re.fullmatch(NAME, cells[0]):
        told[cells[0]] = {"kind": cells[1], "labels": sorted(filter(None, cells[2].split(", "))), "meaning": cells[3]}

program = {name for name in re.findall(f'"({NAME})"', SOURCES) if not name.startswith("process_") or f'page.single("{name}"' in SOURCES}
same((sorted(program - told.keys()), sorted(told.keys() - program)), ([], []), "the page has every metric of the program, and no other")
named = {name for page in PAGES for name in re.findall(r"\b(?:goma|gateway)_[a-z0-9_]+\b", page)}
same(sorted(named - program), [], "no page names another one")

origin, dead, target, secure = Origin(lambda r: Reply(200, [("Cache-Control", "max-age=9")], "x")), refused_port(), free_port(), free_port()
goma = Goma([route("/", origin), route("/cached", origin, middlewares=["cache"]), route("/limited", origin, middlewares=["limit"]),
             route("/dead", f"http://127.0.0.1:{dead}")],
            [cache(), middleware("limit", "rateLimit", {"unit": "hour", "requestsPerUnit": 1})], workers=1, monitoring={"enableMetrics": True},
            entryPoints={"web": {"address": "127.0.0.1:0"}, "webSecure": {"address": f"127.0.0.1:{secure}"},
                         "passThrough": {"forwards": [{"protocol": "tcp", "port": target, "address": "127.0.0.1", "target": f"{origin.host}:{origin.port}"}]}})
for path in ("/", "/cached", "/cached", "/limited", "/limited", "/dead", "/%2e%2e"):
    goma.get(path)
TlsClient(("127.0.0.1", secure), "a.test").get("/")
forwarded = Client(("127.0.0.1", target))
forwarded.get("/")
forwarded.close()

text = goma.get("/metrics").text
shown = {}
for name, meaning, kind, samples in re.findall(rf"^# HELP ({NAME}) (.*)\n# TYPE \S+ (\w+)\n((?:[^#].*\n)*)", text, re.M):
    shown[name] = {"kind": kind, "labels": sorted(set(re.findall(r'(\w+)="', samples)) - {"le"}), "meaning": meaning}
same({name: (told.get(name), seen) for name, seen in shown.items() if told.get(name) != seen}, {}, "kind, labels and meaning are those that /metrics tells")
expect(len(shown) > 75, "of most metrics", sorted(told.keys() - shown.keys()))
