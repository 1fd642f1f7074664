#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What can be judged without running a request: layers, budgets, generated files, names in texts, manuals, scripts."""
import glob
import os
import re
import shutil
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
os.chdir(ROOT)
GOMA = os.environ.get("GOMA_BIN") or "build/goma"
tests = 0


def result(ok, name, details=""):
    global tests
    tests += 1
    print(f"{'ok' if ok else 'not ok'} {tests} - {name}", flush=True)
    for line in details.splitlines():
        print(f"#   {line}", flush=True)


def skip(name, why):
    global tests
    tests += 1
    print(f"ok {tests} - {name} # SKIP {why}", flush=True)


def run(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except OSError as error:
        return 127, "", str(error)
    return done.returncode, done.stdout, done.stdout + done.stderr


def judged(name, *command):
    code, _, output = run(*command)
    result(code == 0, name, output)


def generated_files_are_current():
    for what, path in (("schema", "conf/goma.schema.json"), ("markdown", "docs/reference.md"), ("man", "man/goma.yml.5")):
        name = f"{path} is what `goma describe {what}` prints (make generate)"
        code, text, output = run(GOMA, "describe", what)
        if code != 0:
            result(False, name, output)
            continue
        have = open(path, encoding="utf-8").read() if os.path.exists(path) else ""
        result(have == text, name)


def exists(name):
    """A file, a directory, or a unit written without its ending: core/text."""
    for path in (name, f"src/{name}"):
        if os.path.exists(path) or glob.glob(f"{path}.*") or "*" in path and glob.glob(path):
            return True
    return False


def names_in_texts_exist(text):
    if not os.path.exists(text):
        skip(f"names in {text}", "not written yet")
        return
    content = open(text, encoding="utf-8").read()
    named = re.findall(r"(?<![\w/.:$-])((?:src|t|contrib|conf|docs|man|bench|core|http|modules)/[\w./*-]*\w[*/]?)", content)
    # NAME and the like stand for something the reader puts in.
    lost = sorted({name for name in named if not re.search(r"[A-Z]{4}(?!.*\.md)", name) and not exists(name.rstrip("/."))})
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", content)
    lost += sorted({link for link in links if not os.path.exists(os.path.join(os.path.dirname(text), link))})
    result(not lost, f"{text} names only files that exist", "\n".join(lost))


def manuals_are_clean():
    pages = sorted(glob.glob("man/*.[58]"))
    if not pages or not shutil.which("mandoc"):
        skip("mandoc finds nothing", "no page" if not pages else "no mandoc")
        return
    for page in pages:
        _, _, output = run("mandoc", "-Tlint", page)
        # Pages of this project that are not installed yet are not an error.
        findings = [line for line in output.splitlines() if "referenced manual not found" not in line]
        result(not findings, f"mandoc finds nothing in {page}", "\n".join(findings))


def scripts_parse():
    for script in ["bootstrap", "contrib/check", "contrib/fuzz"]:
        judged(f"{script} is a POSIX shell script", "sh", "-n", script)
    judged(".ci/run is a shell script", "bash", "-n", ".ci/run")


def one_version():
    version = re.search(r"AC_INIT\(\[goma\], \[([\d.]+)\]", open("configure.ac", encoding="utf-8").read()).group(1)
    if not os.path.exists("CHANGES"):
        skip("CHANGES begins with the version of configure.ac", "not written yet")
        return
    first = re.search(r"\d+\.\d+\.\d+", open("CHANGES", encoding="utf-8").read())
    result(first is not None and first.group(0) == version, f"CHANGES begins with {version}")


judged("no include climbs (contrib/layers)", "contrib/layers")
judged("budgets and habits hold (contrib/gates)", "contrib/gates")
generated_files_are_current()
for page in ["ARCHITECTURE.md", "README.md", "CONTRIBUTING.md", "bench/README.md"] + sorted(glob.glob("docs/*.md")):
    names_in_texts_exist(page)
manuals_are_clean()
scripts_parse()
one_version()
print(f"1..{tests}")
