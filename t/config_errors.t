#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One broken file, one expected output: every finding is told as it was once agreed.

t/fixtures/errors/NAME.yml is checked with `goma -t`, and what it prints is compared with NAME.txt. A line "# env: A=b"
in the file sets a variable. GOMA_GOLDEN=write writes the expectations anew; read the difference before you commit it.
"""
import glob
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GOMA = os.path.abspath(os.environ.get("GOMA_BIN") or os.path.join(ROOT, "build", "goma"))
WHERE = os.path.join(ROOT, "t", "fixtures", "errors")
WRITE = os.environ.get("GOMA_GOLDEN") == "write"
# Told about files that cannot stand in a repository; checked below without a golden file.
ELSEWHERE = {"file-missing", "file-unreadable", "file-too-large", "bad-regex", "no-routes-left",
             "log-file", "cannot-start"}       # t/rehearsal.t
tests = failed = 0


def result(good, name, detail=""):
    global tests, failed
    tests += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {tests} - {name}", flush=True)
    if not good:
        for line in str(detail).splitlines():
            print(f"# {line}")


def check(name, *more):
    """What `goma -t` says and returns."""
    with open(os.path.join(WHERE, name), "rb") as file:
        variables = re.findall(rb"^# env: (\w+)=(.*)$", file.read(), re.M)
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    for keep in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
        if keep in os.environ:
            environment[keep] = os.environ[keep]
    environment.update({key.decode(): value.decode() for key, value in variables})
    user = ["-g", "user nobody"] if os.getuid() == 0 else []       # else root is told that nobody is not a good one
    done = subprocess.run([GOMA, "-t", *user, "-c", name, *more], cwd=WHERE, env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60)
    text = done.stdout.decode("utf-8", "replace").replace(WHERE + "/", "")
    return text, done.returncode


def golden(name):
    text, code = check(name)
    path = os.path.join(WHERE, name[:-4] + ".txt")
    if WRITE:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    want = open(path, encoding="utf-8").read() if os.path.exists(path) else "(no expectation)"
    result(text == want, f"{name}: says what was agreed", f"got:\n{text}\nwanted:\n{want}")
    broken = re.search(r"^goma: .*\d errors?", text, re.M) is not None
    result(code == (78 if broken else 0), f"{name}: exit code {78 if broken else 0}", f"exit code {code}")
    return set(re.findall(r"\[([a-z-]+)\]$", text, re.M))


def codes_in_source():
    """Every code that this part of the program can give."""
    found = set()
    for path in glob.glob(os.path.join(ROOT, "src", "core", "*.cc")) + glob.glob(os.path.join(ROOT, "src", "http", "config*.cc")):
        source = open(path, encoding="utf-8").read()
        if "roblem" not in source and "Complaint" not in source:
            continue
        found |= set(re.findall(r'(?:error|warning|make|fail|wants_with)\(\s*(?:missing \? )?"([a-z]+-[a-z-]+)"', source))
        found |= set(re.findall(r'code = "([a-z]+-[a-z-]+)"', source))
    return found


def main():
    names = sorted(os.path.basename(path) for path in glob.glob(os.path.join(WHERE, "*.yml")))
    told = set()
    for name in names:
        told |= golden(name)
    lost = codes_in_source() - told - ELSEWHERE
    result(not lost, "every code has a golden file", f"without one: {', '.join(sorted(lost))}")
    result(len(names) >= 45, "at least 45 broken files", len(names))

    done = subprocess.run([GOMA, "-t", "-c", "no-such-file.yml"], cwd=WHERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    result(b"[file-missing]" in done.stdout and done.returncode == 78, "a missing file is told, exit code 78", f"{done.returncode}: {done.stdout.decode()}")

    text, code = check("key_far.yml", "--strict")
    result(code == 78 and ": error: unknown key" in text, "--strict makes a warning an error", f"{code}: {text}")
    text, code = check("many.yml", "--format", "json")
    result(code == 78 and '"code": "unknown-middleware"' in text and '"suggestion": "path"' in text, "--format json gives the same findings", f"{code}: {text}")
    print(f"1..{tests}")
    return failed != 0


sys.exit(main())
