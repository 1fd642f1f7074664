#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""HTTPS: which certificate is shown, what is spoken, who is let in, and who may come back without a full handshake."""
import base64
import json
import os
import ssl
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.goma import *
from lib.tls import *

HELLO = [middleware("hello", "respond", {"body": "hello"})]
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def text_of(path):
    return open(path, encoding="utf-8").read()


goma = Goma(start=False)
ca = Authority(goma.path("tls"))
strangers = Authority(goma.path("tls"), "strangers")
exact = ca.issue("exact", ["www.site.test"])
route_pair = ca.issue("route", ["www.site.test", "route.test"])
wildcard = ca.issue("wildcard", ["*.site.test"])
inline = ca.issue("inline", ["inline.test"])
encoded = ca.issue("encoded", ["encoded.test"])
default = ca.issue("default", ["default.test"])
rsa = ca.issue("both-rsa", ["both.test"], kind="rsa")
ec = ca.issue("both-ec", ["both.test"])
named = ca.issue("old.test")                       # no alternative names: the common name counts
os.mkdir(goma.path("certs"))
directory = Authority(goma.path("certs"), "authority")
os.remove(goma.path("certs/authority.key"))        # a certificate without a key is ignored
ca.issue("dir", ["dir.test", "exact-too.test"])
os.rename(ca.path("dir.crt"), goma.path("certs/dir.crt"))
os.rename(ca.path("dir.key"), goma.path("certs/dir.key"))
visitor = ca.issue("visitor", subject="/O=Test/CN=visitor")
stranger = strangers.issue("stranger")


def pair(files):
    return {"cert": files[0], "key": files[1]}


def routes(more=()):
    return [route("/", hosts=["route.test"], name="own", middlewares=["hello"], tls={"certificate": pair(route_pair), "provider": "none"}),
            route("/", name="all", middlewares=["hello"]), *more]


def tls(**more):
    return {"certsDir": goma.path("certs"), "default": pair(default), "certificates": [
        pair(exact), pair(wildcard), pair(rsa), pair(ec), pair(named),
        {"cert": text_of(inline[0]), "key": text_of(inline[1])},
        {"cert": base64.b64encode(text_of(encoded[0]).encode()).decode(), "key": base64.b64encode(text_of(encoded[1]).encode()).decode()}], **more}


def entry(**more):
    return {"web": {"address": "127.0.0.1:0"}, "webSecure": {"address": "127.0.0.2:0", **more}}


goma.configure(routes(), HELLO, entryPoints=entry(), tls=tls())
goma.start()


def secure():
    return parse_address(goma.status()["listeners"][1]["address"])


address = secure()


def shown(name, **options):
    client = TlsClient(address, name, client_context(**options))
    common = client.common_name()
    client.close()
    return common


# --- which certificate

for name, want in (("route.test", "route"), ("www.site.test", "route"), ("api.site.test", "wildcard"), ("API.Site.test", "wildcard"),
                   ("a.b.site.test", "default"), ("site.test", "default"), ("inline.test", "inline"), ("encoded.test", "encoded"),
                   ("dir.test", "dir"), ("old.test", "old.test"), ("nobody.test", "default"), (None, "default")):
    same(shown(name), want, f"{name} is shown the certificate \"{want}\"")
client = TlsClient(address, "www.site.test", client_context(ca.certificate))
same(client.get("/").text, "hello", "a verified connection carries requests")
client.close()


def s_client(*arguments, text=""):
    done = subprocess.run(["openssl", "s_client", "-connect", "%s:%d" % address, *arguments], input=text, capture_output=True, text=True, timeout=PATIENCE)
    return done.stdout + done.stderr


same("Peer signature type: RSA" in s_client("-servername", "both.test", "-sigalgs", "rsa_pss_rsae_sha256"), True, "a client of RSA gets the RSA certificate")
same("Peer signature type: ECDSA" in s_client("-servername", "both.test", "-sigalgs", "ECDSA+SHA256"), True, "a client of ECDSA gets the other one")

# --- what is spoken

for version in (V12, V13):
    client = TlsClient(address, "www.site.test", client_context(version=version))
    same(client.get("/").status, 200, f"{client.sock.version()} is spoken")
    client.close()
expect("alert" in s_client("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), "TLS 1.1 is refused")
expect("alert" in s_client("-tls1_2", "-cipher", "AES128-SHA"), "a cipher without forward secrecy is refused")
client = TlsClient(address, "www.site.test", client_context(alpn=["http/1.1"]))
same(client.sock.selected_alpn_protocol(), "http/1.1", "HTTP/1.1 is chosen by ALPN")
client.close()
client = TlsClient(address, "www.site.test")
same((client.sock.selected_alpn_protocol(), client.get("/").status), (None, 200), "a client without ALPN is served")
client.close()
expect("NO_APPLICATION_PROTOCOL" in refused(TlsClient, address, "www.site.test", client_context(alpn=["gopher"])), "no common protocol ends the handshake")
same(goma.client().get("/").status, 200, "plain HTTP is served beside it")
plain = Client(address)
same(plain.get("/").status, 400, "plain HTTP on the port of HTTPS is told so")
plain.close()
output = s_client("-tls1_2", "-servername", "www.site.test", text="R\n")
expect("no renegotiation" in output.lower() or "handshake failure" in output.lower(), "renegotiation is refused", output[-500:])

# --- the authority's word


def ocsp_response(certificate, path):
    serial = openssl("x509", "-in", certificate, "-noout", "-serial").strip().split("=")[1]
    with open(ca.path("index.txt"), "w", encoding="utf-8") as file:
        file.write(f"V\t491231235959Z\t\t{serial}\tunknown\t/CN=any\n")
    openssl("ocsp", "-issuer", ca.certificate, "-cert", certificate, "-no_nonce", "-reqout", ca.path("ask.der"))
    openssl("ocsp", "-index", ca.path("index.txt"), "-CA", ca.certificate, "-rsigner", ca.certificate, "-rkey", ca.path("ca.key"),
            "-reqin", ca.path("ask.der"), "-respout", path, "-ndays", "2")


ocsp_response(exact[0], ca.path("exact.ocsp"))
stapled = tls()
stapled["certificates"][0]["ocsp"] = ca.path("exact.ocsp")
stapled["certificates"][1]["ocsp"] = ca.path("exact.ocsp")
goma.configure([route("/", name="all", middlewares=["hello"])], HELLO, entryPoints=entry(), tls=stapled)
code, said = goma.reload()
same(code, 0, "a response of another certificate is only a warning")
expect(goma.told("exact.ocsp: is not about the certificate"), "which says so", said)
expect("OCSP Response Status: successful" in s_client("-status", "-servername", "www.site.test"), "the authority's word is shown with TLS 1.3")
expect("OCSP Response Status: successful" in s_client("-status", "-tls1_2", "-servername", "www.site.test"), "and with TLS 1.2")
expect("no response sent" in s_client("-status", "-servername", "api.site.test"), "a certificate without one is shown as it is")
listed = json.loads(goma.ctl("certificates", "--json")[1])
same([(c["names"], c["days"]) for c in listed if "*.site.test" in c["names"]], [(["*.site.test"], 29)], "gomactl certificates lists them")
expect("Test ca" in goma.ctl("certificates")[1], "with their issuers")

# --- coming back

for version in (V12, V13):
    context = client_context(version=version)
    client = TlsClient(address, "www.site.test", context)
    client.get("/")
    session, first = client.session, client.resumed
    client.close()
    results = []
    for _ in range(16):                              # two workers: by chance both
        client = TlsClient(address, "www.site.test", context, session)
        results.append((client.resumed, client.get("/").status))
        client.close()
    same((first, set(results)), (False, {(True, 200)}), f"{version.name}: every worker resumes a session of another")
    code, said = goma.reload()
    client = TlsClient(address, "www.site.test", context, session)
    same((code, client.resumed), (0, True), f"{version.name}: a session outlives a reload")
    client.close()
    os.kill(goma.worker_pids()[0], signal.SIGKILL)
    expect(wait_for(lambda: len(goma.worker_pids()) == 2 and all(alive(p) for p in goma.worker_pids())), "a killed worker is replaced")
    client = TlsClient(address, "www.site.test", context, session)
    same(client.resumed, True, f"{version.name}: and the death of a worker")
    client.close()
goma.baseline = {}

context = client_context(version=V13)
session, fresh = None, 0
for _ in range(4):
    client = TlsClient(address, "www.site.test", context, session)
    client.get("/")
    fresh += client.resumed and client.session.id != session.id
    session = client.session
    client.close()
same(fresh, 3, "who comes back is given a new ticket each time")

# --- who is let in

mutual = [route("/", hosts=["must.site.test"], name="must", middlewares=["hello"], tls={"clientAuth": {"clientCA": ca.certificate, "required": True}}),
          route("/", hosts=["may.site.test", "*.may.site.test"], name="may", middlewares=["hello"], tls={"clientAuth": {"clientCA": ca.certificate}})]
goma.configure(routes(mutual), HELLO, entryPoints=entry(), tls=tls())
same(goma.reload()[0], 0, "client certificates are configured")


def ask(name, host=None, path="/", **options):
    """The status of a request, or the TLS error: in TLS 1.3 the server judges after the client is done."""
    answers = []

    def run():
        client = TlsClient(address, name, client_context(**options))
        try:
            client.sock.settimeout(PATIENCE)
            client.sock.sendall(encode("GET", path, [("Host", host or name)]))
            data = client.sock.recv(4096)            # raises what the server says
            answers.append(int(data.split(b" ")[1]) if data else "closed")
        finally:
            client.close()
    error = refused(run)
    return error or answers[0]


for version in (V12, V13):
    say = version.name
    same(ask("must.site.test", certificate=visitor, version=version), 200, f"{say}: a required certificate lets in")
    expect("CERTIFICATE_REQUIRED" in str(ask("must.site.test", version=version)) or "HANDSHAKE_FAILURE" in str(ask("must.site.test", version=version)),
           f"{say}: without one the handshake ends", ask("must.site.test", version=version))
    expect("UNKNOWN_CA" in str(ask("must.site.test", certificate=stranger, version=version)), f"{say}: a stranger's is refused",
           ask("must.site.test", certificate=stranger, version=version))
    same(ask("may.site.test", version=version), 200, f"{say}: where it is optional, none is fine")
    same(ask("may.site.test", certificate=visitor, version=version), 200, f"{say}: and a good one")
    expect("UNKNOWN_CA" in str(ask("may.site.test", certificate=stranger, version=version)), f"{say}: but not a bad one")
    same(ask("www.site.test", version=version), 200, f"{say}: other hosts ask nobody")
    same(ask("www.site.test", "must.site.test", version=version), 421, f"{say}: a connection of another host does not open this one")
    same(ask("must.site.test", "www.site.test", certificate=visitor, version=version), 421, f"{say}: nor the other way round")
    same(ask("deep.may.site.test", "may.site.test", version=version), 200, f"{say}: hosts under one rule share connections")
    context = client_context(version=version)
    client = TlsClient(address, "may.site.test", context)
    client.get("/")
    session = client.session
    client.close()
    context.load_cert_chain(*visitor)
    client = TlsClient(address, "must.site.test", context, session)
    same((client.resumed, client.get("/").status), (False, 200), f"{say}: a session of one rule is not resumed under another")
    client.close()

# --- a route that asks for certificates is not reached around them

guarded = [route("/", hosts=["www.guard.test"], name="front", middlewares=["hello"], tls={"clientAuth": {}}),
           route("/admin", hosts=["*.guard.test"], name="admin", middlewares=["hello"], tls={"clientAuth": {"clientCA": ca.certificate, "required": True}})]
goma.configure(routes(guarded), HELLO, entryPoints=entry(), tls=tls())
same(goma.reload()[0], 0, "a guarded route under a wildcard host is configured")
same(ask("www.guard.test"), 200, "the host that asks for nothing is open")
same(ask("www.guard.test", path="/admin"), 421, "but not to the guarded route of the wildcard")
same(ask("api.guard.test", path="/admin", certificate=visitor), 200, "which a certificate opens")
same(goma.get("/admin", {"Host": "api.guard.test"}).status, 421, "and plain HTTP does not")

# --- the gateway's own rule, stricter versions, no certificate at all

goma.configure([route("/", name="all", middlewares=["hello"]),
                route("/", hosts=["open.test"], name="open", middlewares=["hello"], tls={"clientAuth": {}})], HELLO, entryPoints=entry(),
               tls={"certsDir": "", "minVersion": "1.3", "curves": "X25519", "clientAuth": {"clientCA": text_of(ca.certificate), "required": True}})
code, said = goma.reload()
same((code, "[self-signed]" in said), (0, True), "without a certificate one is made, with a warning")
same(ask("any.test", certificate=visitor), 200, "the gateway's rule holds for every host")
expect("CERTIFICATE_REQUIRED" in str(ask("any.test")), "without a certificate nobody comes in")
same(ask("open.test"), 200, "a route with an empty clientAuth is exempt")
expect("PROTOCOL_VERSION" in str(ask("open.test", version=V12)), "minVersion 1.3 refuses TLS 1.2")
same({shown("open.test") for _ in range(4)}, {"GOMA DEFAULT CERT"}, "its name says what it is")
prints = set()
for _ in range(8):
    client = TlsClient(address, "open.test")
    prints.add(client.sock.getpeercert(True))
    client.close()
same(len(prints), 1, "all workers show the same one")
