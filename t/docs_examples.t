#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every configuration that a page shows is one that goma takes: each block marked "yaml" in the README and in docs/ goes
through goma -t --strict, so that a warning counts too. What a page leaves out is put around the block: a route that uses
the middlewares, a route at all, the main file of an extra file, a certificate, variables. A block marked "yaml refused" must
be refused. No block that is a configuration goes unmarked."""
import glob
import os
import re
import subprocess
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GOMA = os.environ.get("GOMA_BIN") or os.path.join(ROOT, "build", "goma")
BLOCK = re.compile(r"^```yaml( refused)?\n(.*?)^```$", re.S | re.M)
tests = 0


def result(ok, name, details=""):
    global tests
    tests += 1
    print(f"{'ok' if ok else 'not ok'} {tests} - {name}", flush=True)
    for line in "" if ok else details.splitlines():
        print(f"#   {line}", flush=True)


ROUTE = "{name: example, path: /, target: http://127.0.0.1:9000, middlewares: [%s]}"


def completed(directory, text):
    """The main file that makes a whole of the block."""
    with open(os.path.join(directory, "extra", "example.yml"), "w", encoding="utf-8") as extra:
        extra.write(text if re.search(r"^routes:", text, re.M) else "")
    if re.search(r"^routes:", text, re.M):
        return "version: 2\ngateway:\n  extraConfig: {directory: extra}\n"
    if not re.search(r"^gateway:", text, re.M):
        names = ", ".join(re.findall(r"^  - name: (\S+)$", text, re.M))
        return f"version: 2\ngateway:\n  routes: [{ROUTE % names}]\n{text}"
    if not re.search(r"^  routes:", text, re.M):
        return re.sub(r"^gateway:\n", f"gateway:\n  routes: [{ROUTE % ''}]\n", text, flags=re.M)
    return text


def judge(directory, where, text, refused):
    path = os.path.join(directory, "goma.yml")
    text = text.replace("192.0.2.1", "127.0.0.1")                            # an address that this machine has
    whole = completed(directory, re.sub(r"/etc/goma/tls/\w+", os.path.join(directory, "site"), text))
    with open(path, "w", encoding="utf-8") as out:
        out.write(whole)
    user = ["-g", "user nobody"] if os.getuid() == 0 else []
    variables = {name: "secret" for name in re.findall(r"\$\{(\w+)\}", text)}
    done = subprocess.run([GOMA, "-t", "--strict", *user, "-p", directory, "-c", path], capture_output=True, text=True, timeout=60,
                          env={**os.environ, **variables})
    wanted = 78 if refused else 0
    result(done.returncode == wanted, f"{where} is {'refused' if refused else 'taken'}",
           f"exit code {done.returncode}\n{done.stdout}{done.stderr}{whole}")


def main():
    found = 0
    with tempfile.TemporaryDirectory() as directory:
        os.mkdir(os.path.join(directory, "extra"))
        os.chmod(directory, 0o755)      # the workers' user must get at the log
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=site.test",
                        "-keyout", f"{directory}/site.key", "-out", f"{directory}/site.crt"], check=True, capture_output=True, timeout=60)
        for page in ["README.md"] + sorted(glob.glob("docs/**/*.md", recursive=True, root_dir=ROOT)):
            with open(os.path.join(ROOT, page), encoding="utf-8") as source:
                content = source.read()
            unmarked = re.findall(r"^```\n(?:version:|gateway:|middlewares:|routes:).*$", content, re.M)
            if unmarked:
                result(False, f"{page}: every configuration is marked", "\n".join(unmarked))
            for block in BLOCK.finditer(content):
                found += 1
                line = content.count("\n", 0, block.start()) + 1
                judge(directory, f"{page}:{line}", block.group(2), bool(block.group(1)))
    result(found > 0, "the pages show configurations", "no block found")
    print(f"1..{tests}")


main()
