#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make install: everything lies where goma, systemd and the pages look for it, an edited configuration stays, and make
uninstall leaves that alone."""
from lib.goma import *

ROOTS = tempfile.mkdtemp(prefix="goma-install-")
atexit.register(shutil.rmtree, ROOTS, ignore_errors=True)
BUILT = os.path.dirname(GOMA)
looked_for = re.search(r"PREFIX/goma\.yml, (\S+)\)", subprocess.run([GOMA, "--help"], capture_output=True, text=True, timeout=PATIENCE).stdout).group(1)


def make(*arguments):
    """Installs what is built; nothing is built again."""
    done = subprocess.run(["make", "-s", "-C", ROOT, "-o", "all", f"B={BUILT}", f"DESTDIR={ROOTS}", *arguments], capture_output=True, text=True, timeout=8 * PATIENCE)
    return expect(done.returncode == 0, f"make {' '.join(arguments)}", done.stdout + done.stderr)


def at(path):
    return ROOTS + path


def files():
    return sorted(path[len(ROOTS):] for path in glob.glob(ROOTS + "/**/*", recursive=True) if os.path.isfile(path))


make("install")
there = files()
unit = next((path for path in there if path.endswith("/systemd/system/goma.service")), "")
named = re.findall(r"^Exec\w+=(\S+)", read(at(unit)), re.M)
same([path for path in named if not os.access(at(path), os.X_OK)], [], "the unit starts programs that are there")
expect(looked_for in there and f"-c {looked_for}\n" in read(at(unit)), "the configuration is where goma looks, and where the unit says", there)
same(os.stat(at(looked_for)).st_mode & 0o777, 0o640, "readable for root and a group only")
schema = re.search(r"\$schema=(\S+)", read(at(looked_for))).group(1)
expect(schema in there, "it names the schema that is there", schema)
same(subprocess.run([GOMA, "config", "check", "--strict", "-c", at(looked_for)], capture_output=True, timeout=PATIENCE).returncode, 0, "and is right")
same([page for page in ("man8/goma.8", "man8/gomactl.8", "man5/goma.yml.5") if not any(path.endswith("/man/" + page) for path in there)], [], "the manuals")
lost = []
for page in (path for path in there if path.endswith(".md") and "/docs/" in path):
    for link in re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", read(at(page))):
        to = os.path.normpath(os.path.join(os.path.dirname(page), link))
        if "/docs/" in to and not os.path.exists(at(to)):
            lost.append(f"{page}: {link}")
same(lost, [], "links between the pages hold")

with open(at(looked_for), "a", encoding="utf-8") as edited:
    edited.write("# mine\n")
make("install")
expect(read(at(looked_for)).endswith("# mine\n"), "an edited configuration stays")
make("uninstall")
same(files(), [looked_for], "and it alone is left after make uninstall")

made = Goma(start=False)
made.run("config", "init", "-o", "made.yml")
same(read(made.path("made.yml")).splitlines()[1:], read(ROOT + "/conf/goma.yml").splitlines()[1:], "goma config init writes the same file")
same([name for name in ("goma.yml", "quickstart.yml") if made.run("config", "check", "--strict", "-c", f"{ROOT}/conf/{name}")[0] != 0], [], "the files in conf/ are right")
