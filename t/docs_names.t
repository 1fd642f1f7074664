#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the pages name exists, and what exists they name: links and anchors, commands, options, exit codes, signals, keys with
their defaults, variables, and the words of the log."""
from lib.goma import *

PAGES = [os.path.relpath(path, ROOT) for pattern in ("*.md", "bench/*.md", "docs/**/*.md") for path in sorted(glob.glob(os.path.join(ROOT, pattern), recursive=True))]
TEXTS = {page: read(os.path.join(ROOT, page)) for page in PAGES}
WRITTEN = {page: text for page, text in TEXTS.items() if page.startswith("docs/") and page != "docs/reference.md"}
MANUAL = {name: read(os.path.join(ROOT, "man", name + ".8")) for name in ("goma", "gomactl")}
HELP = {name: subprocess.run([path, "--help"], capture_output=True, text=True, timeout=PATIENCE).stdout for name, path in (("goma", GOMA), ("gomactl", GOMACTL))}


def source(path, pattern):
    """The quoted words of the first match in a file of the program."""
    return set(re.findall(r'"([^"]*)"', re.search(pattern, read(os.path.join(ROOT, "src", path)), re.S).group(1)))


def part(page, title):
    """What stands below a heading."""
    return re.search(rf"^(#+) {re.escape(title)}$(.*?)(?=^#|\Z)", TEXTS[page], re.M | re.S).group(2)


def rows(text):
    """The cells of the rows of its tables."""
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))] for line in text.splitlines() if line.startswith("|") and not line.startswith("|--")]


def bare(cell):
    return cell.replace("`", "").replace("\\", "").strip('"')


# --- links

def anchors(page):
    heads = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", TEXTS[page], flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


lost, reached = [], set()
for page, text in TEXTS.items():
    for link in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        to = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
        if page.endswith("README.md"):
            reached.add(to)
        if not os.path.exists(os.path.join(ROOT, to)) or anchor and anchor not in anchors(to):
            lost.append(f"{page}: {link}")
same(lost, [], "every link leads somewhere, every anchor too")
same(sorted(WRITTEN.keys() - reached), [], "every page is in an index")

# --- commands, options, exit codes, signals

known = source("gomactl.cc", r"verbs\[\] = \{(.*?)\};") - {"help", "version"}
table = {bare(name).split()[0] for cells in rows(part("docs/operations.md", "gomactl")) if cells[0].startswith("`") for name in cells[0].split(", ")}
same([set(re.findall(r"^  ([a-z]+)", HELP["gomactl"], re.M)), set(re.findall(r"^\.It Cm ([a-z]+)", MANUAL["gomactl"], re.M)), table], [known] * 3,
     "gomactl's commands, in its help, its manual and operations.md")
OPTION = r"(?<![\w-])--?[a-zA-Z][a-z]*(?![\w-])"
options = {"goma": {word for word in source("cli.cc", r"Option options\[\] = \{(.*?)\n\};") if word.startswith("-")} - {"-?"},
           "gomactl": source("gomactl.cc", r"options\[\] = \{(.*?)\};") | {"-p", "-s", "-h", "-v"}}
for name in ("goma", "gomactl"):
    manual = {"-" + flag for line in MANUAL[name].splitlines() if line.startswith((".It", ".Op", ".Fl")) for flag in re.findall(r"Fl (-?[a-zA-Z]+)", line)}
    same([set(re.findall(OPTION, HELP[name])), manual], [options[name]] * 2, f"{name}'s options, in its help and its manual")
    codes = re.findall(r"\b(\d+) [a-z]", re.search(r"Exit codes: (.*)", HELP[name]).group(1))
    same(re.findall(r"^\.It (\d+)$", MANUAL[name], re.M), codes, f"{name}'s exit codes, in its help and its manual")
same([cells[0] for cells in rows(part("docs/operations.md", "gomactl")) if cells[0].isdigit()], codes, "and in operations.md")
signals = set(re.findall(r"SIG(\w+)", re.search(r"int numbers\[\] = \{(.*?)\}", read(ROOT + "/src/core/master.cc")).group(1))) - {"CHLD"}
same([{name for cells in rows(part("docs/operations.md", "All signals")) if cells[0].isupper() or "," in cells[0] for name in cells[0].split(", ")},
      set(re.findall(r"Dv SIG(\w+)", MANUAL["goma"]))], [signals] * 2, "signals")

# --- keys

REFERENCE = TEXTS["docs/reference.md"]
tables, keys = {}, set()
for title, text in re.findall(r"^## (.*?)$(.*?)(?=^## |\Z)", REFERENCE, re.M | re.S):
    for cells in rows(text)[1:]:
        where = re.sub(r"^rule of ([^,.]*)(, [^.]*)?", r"\1", title).replace("[]", "")
        tables.setdefault(where, {})[bare(cells[0])] = re.sub(r"m0s$", "m", bare(cells[2])).strip("[]")
        for also in [cells[0]] + re.findall(r"(?:Also spelled|Old spelling:) ([^.(]*)", cells[3]):
            keys |= {f"{where}.{bare(key.strip())}" for key in also.split(",")}
    keys |= {f"{where}.{key}" for refused in re.findall(r"^Keys of Goma Gateway.*: (.*)\.$", text, re.M) for key in bare(refused).split(", ")}
lost = []
for page, text in WRITTEN.items():
    for name in re.findall(r"`([a-z][A-Za-z0-9]*(?:\.[a-z][A-Za-z0-9]*)+)(?:: [^`]*)?`", text):
        if not re.search(r"^net\.|\.(md|yml|yaml|conf|cc|h|t|service|gz|crt|key|pem|pid|sock|test|com|internal|example)$", name) and not any(("." + key).endswith("." + name) for key in keys):
            lost.append(f"{page}: {name}")
same(lost, [], "every key that is written with its section is one")

refused = {bare(key) for told in re.findall(r"^Keys of Goma Gateway.*: (.*)\.$", REFERENCE, re.M) for key in told.split(", ")}
same(sorted(key for key in refused if not re.search(rf"\b{key}`", TEXTS["docs/migrating-from-goma-gateway.md"])), [], "migrating names all that is refused")


def told_defaults(page):
    """The keys of a page's tables, with the default that is told: the first word of it."""
    return {key: bare(cells[head.index("default")]) if "default" in head else None for table in re.findall(r"((?:^\|.*\n)+)", TEXTS[page], re.M)
            for head, *body in [[*rows(table)]] if "key" in head and ("type" in head or "default" in head) for cells in body for key in bare(cells[0]).split(", ")}


differ = {}
for page in (page for page in WRITTEN if page.startswith("docs/middlewares/") and not page.endswith("README.md")):
    kind = re.match(r"# (\w+)", TEXTS[page]).group(1)
    have = {f"{where}.{key}".partition(".")[2]: default for where, table in tables.items() if where.split(".")[0] == kind for key, default in table.items()}
    told = told_defaults(page)
    if told.keys() != {key for key in have if not any(other.startswith(key + ".") for other in have)} and "as for" not in TEXTS[page]:
        differ[page] = sorted(told.keys() ^ have.keys())
    differ |= {f"{page} {key}": (default, have[key]) for key, default in told.items() if key in have and default and have[key] not in ("none", "required")
               and not default.startswith({"true": "yes", "false": "no", "0": ("0", "no")}.get(have[key], have[key]))}
same(differ, {}, "the pages of the middlewares have the keys and defaults of the reference")
have = tables["gateway.entryPoints.passThrough.forwards"]
told = told_defaults("docs/pass-through.md")
same((set(told), [k for k, d in told.items() if have[k] not in ("none", "required") and have[k] != d.split()[0]]), (set(have), []), "so has pass-through.md")

# --- variables, and words of the log

variables = set(re.findall(r"Variable: (\w+)", REFERENCE)) | {"GOMA_CONFIG_FILE"}
named = {("TYK_GW_STORAGE" if name.startswith("_") else "") + name for text in WRITTEN.values() for name in re.findall(r"`((?:GOMA|TYK_GW)?_[A-Z_]+[A-Z])(?:=[^`]*)?`", text)}
same(sorted(named - variables), [], "every variable that is named is read")
same(sorted({v for v in variables if "REDIS" in v or "TYK" in v} - named), [], "redis.md has all of Redis")
same(set(re.findall(r"`([a-z-]+)`", re.search(r"says who ended the exchange: (.*?)\.\n", TEXTS["docs/middlewares/access-log.md"], re.S).group(1))),
     source("http/ending.cc", r"ending_name.*?\{(.*?)\};"), "the words of end")
program = "".join(read(path) for path in glob.glob(ROOT + "/src/**/*.[ch]*", recursive=True))
words = {(page, word) for page, text in WRITTEN.items() for word in re.findall(r"`([a-z0-9]+(?:-[a-z0-9]+)+)`", text)}
same(sorted(w for w in words if not re.search(rf'["=, -]{w[1]}["=,: ;-]', program)), [], "every word with a dash is one of the program's")
same({bare(word) for cells in rows(part("docs/operations.md", "Why a backend failed"))[1:] for word in cells[0].split(", ")},
     source("http/failure.cc", r"names\[\] = \{(.*?)\};") - {"none"}, "the words of upstream_error")
