#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The authority's word about a certificate, fetched from the responder that the certificate names."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.goma import *
from lib.tls import *

HELLO = [middleware("hello", "respond", {"body": "hello"})]


class Responder:
    """Answers as the authority's index says (`openssl ocsp`), or with `instead`."""

    def __init__(self, authority):
        self.authority, self.states, self.instead = authority, {}, None
        self.origin = Origin(self.answer, name="responder")
        self.url = self.origin.url + "/ask"

    def answer(self, request):
        if self.instead:
            return self.instead
        asked, answered, index = (self.authority.path(name) for name in ("asked.der", "answered.der", "index.txt"))
        with open(index, "w", encoding="utf-8") as file:
            for certificate, state in self.states.items():
                serial = openssl("x509", "-in", certificate, "-noout", "-serial").strip().split("=")[1]
                file.write(f"{state}\t491231235959Z\t{'250101000000Z' if state == 'R' else ''}\t{serial}\tunknown\t/CN=any\n")
        with open(asked, "wb") as file:
            file.write(request.body)
        openssl("ocsp", "-index", index, "-CA", self.authority.certificate, "-rsigner", self.authority.certificate, "-rkey", self.authority.path(self.authority.name + ".key"),
                "-reqin", asked, "-respout", answered, "-ndays", "2")
        with open(answered, "rb") as file:
            return Reply(200, {"Content-Type": "application/ocsp-response"}, file.read(), close=True)


goma = Goma(start=False)
ca = Authority(goma.path("tls"))
responder = Responder(ca)
names = f"authorityInfoAccess=OCSP;URI:{responder.url}\n"


def issue(name, extensions=names):
    made = ca.issue(name, [name + ".test"], extensions=extensions)
    with open(made[0], "a", encoding="utf-8") as file:          # the issuer behind it
        file.write(read(ca.certificate))
    return {"cert": made[0], "key": made[1]}


good, bad, silent = issue("good"), issue("bad"), issue("silent", "")
private = issue("private", "authorityInfoAccess=OCSP;URI:http://10.1.2.3/\n")
responder.states = {good["cert"]: "V", bad["cert"]: "R"}


def configure(on=True, *more):
    goma.configure([route("/", name="all", middlewares=["hello"])], HELLO, entryPoints={"web": {"address": "127.0.0.1:0"}, "webSecure": {"address": "127.0.0.2:0"}},
                   tls={"certsDir": "", "certificates": [good, bad, silent, private, *more], "default": silent, "ocspStapling": on},
                   monitoring={"enableMetrics": True})


def status(name):
    """What is stapled: "good", "revoked" or "" for nothing."""
    said = subprocess.run(["openssl", "s_client", "-connect", "%s:%d" % address, "-status", "-servername", name + ".test"], input="", capture_output=True, text=True,
                          timeout=PATIENCE).stdout
    found = re.search(r"Cert Status: (\w+)", said)
    return found.group(1) if found else ""


def fetched(result):
    found = re.search(r'goma_ocsp_fetches_total\{result="%s"\} (\d+)' % result, goma.get("/metrics").text)
    return int(found.group(1)) if found else 0


# --- at start

configure()
goma.start()
address = parse_address(goma.status()["listeners"][1]["address"])
expect(wait_for(lambda: fetched("ok") >= 2 and fetched("failed") >= 1), "the responders are asked at start")
same([{status(name) for _ in range(4)} for name in ("good", "bad", "silent", "private")], [{"good"}, {"revoked"}, {""}, {""}],
     "every worker shows what the responder said, and nothing where none was asked")
expect(goma.told('"a certificate is revoked" certificate=bad.test'), "a revoked certificate is told", goma.output[-800:])
expect(goma.told("private address, which is not asked"), "a responder at a private address is not asked")
expect(goma.told(r'certificate=good\.test bytes=\d+ next_s=8[56]\d\d\d'), "the next question comes after half the validity", goma.output[-800:])
found = dict(re.findall(r'goma_certificate_expiry_seconds\{name="([^"]+)"\} (\d+)', goma.get("/metrics").text))
same(sorted(found), ["bad.test", "good.test", "private.test", "silent.test"], "metrics tell when certificates expire")
expect(29 * 86400 < int(found["good.test"]) - time.time() < 31 * 86400, "as a time", found)

# --- the responder is gone, and so is the manager

responder.instead = Reply(503, close=True)
failures = fetched("failed")
so_far = len(goma.output)
killed = goma.manager_pid()
os.kill(killed, signal.SIGKILL)
expect(wait_for(lambda: goma.manager_pid() not in (0, None, killed)), "a killed manager is replaced")
expect(wait_for(lambda: fetched("failed") >= failures + 3), "which asks anew, and fails")
same(status("good"), "good", "what was fetched stays")
expect(goma.told('"cannot fetch an OCSP response" certificate=good.test', so_far), "the failure is told", goma.output[-800:])

# --- news replace what was known


def anew():
    """A manager that has just begun asks about everything."""
    os.kill(goma.manager_pid(), signal.SIGKILL)


responder.instead = None
responder.states[good["cert"]] = "R"
anew()
expect(wait_for(lambda: status("good") == "revoked"), "a newer response replaces the one that is shown")

# --- a certificate that comes with a reload; answers that are none; the switch

late = issue("late")
responder.states = {late["cert"]: "V"}
configure(True, late)
same(goma.reload()[0], 0, "a certificate is added")
expect(wait_for(lambda: status("late") == "good"), "it is asked about at once")

der = {"Content-Type": "application/ocsp-response"}
with open(ca.path("answered.der"), "rb") as file:
    of_late = file.read()
elsewhere = Origin(lambda request: Reply(200, der, of_late, close=True))
for why, reply, told in (("a redirect is not followed", Reply(302, {"Location": elsewhere.url}, close=True), "redirect"),
                         ("text is no response", Reply(200, der, "not at all", close=True), ""),
                         ("a long answer is not read", Reply(200, der, b"\x30\x82\x40\x00" + b"x" * 0x4000, close=True), "max"),
                         ("another certificate's response is not taken", Reply(200, der, of_late, close=True), "is not about the certificate")):
    new = issue("new" + str(responder.origin.connections))
    name = os.path.basename(new["cert"])[:-4]
    responder.instead = reply
    configure(True, late, new)
    goma.reload()
    line = goma.told(f"certificate={name}.test")
    expect(line, why + ": it is told")
    expect("cannot fetch" in line and told in line, "with its reason", line)
    same(status(name), "", "and nothing is shown")
same((elsewhere.connections, status("late")), (0, "good"), "meanwhile others' responses stay")

configure(False, late)
same((goma.reload()[0], status("late")), (0, ""), "switched off, nothing is shown")
