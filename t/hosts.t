#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One form of every host: names beyond ASCII in the configuration, and all spellings that clients send, meet in routes,
certificates and cache keys."""
from lib.cache import cache
from lib.goma import *
from lib.tls import Authority, TlsClient

UMLAUT, SHARP, PUNY = "m\u00fcnchen.test", "stra\u00dfe.test", "xn--mnchen-3ya.test"
o = {name: Origin(lambda r, name=name: Reply(200, [("Cache-Control", "max-age=60")], body=f"{name} {r['host']}")) for name in ("one", "wild", "sub", "any", "six")}
goma = Goma(start=False)
ca = Authority(goma.path("ca"))
cert, key = ca.issue("site", [PUNY], subject="/CN=munich")
cached = [cache("cache", ["^/key$"])]
CONFIG = dict(entryPoints={"web": {"address": "127.0.0.1:0"}, "webSecure": {"address": "127.0.0.2:0"}}, tls={"certificates": [{"cert": cert, "key": key}]})
goma.configure([route("/", o["one"], "one", hosts=[UMLAUT, "plain.test"], middlewares=["cache"]), route("/", o["wild"], "wild", hosts=["*." + SHARP]),
                route("/", o["sub"], "sub", hosts=["{who}.b\u00fccher.test:8080"]), route("/", o["six"], "six", hosts=["[0:0::1]"]), route("/", o["any"], "any"),
                route("/far", "http://m\u00fcnchen.invalid:1/", "far", hosts=["far.test"])], cached, **CONFIG)
goma.start()


def ask(host):
    """Status and which backend answered, with the Host it saw."""
    client = goma.client()
    client.send(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
    reply = client.response()
    client.close()
    return reply.text if reply.status == 200 else reply.status


for host, want in [
        (PUNY, f"one {PUNY}"), (PUNY.upper(), f"one {PUNY}"), (PUNY + ".", f"one {PUNY}"), ("m%C3%BCnchen.test", f"one {PUNY}"),
        ("www.xn--strae-oqa.test", "wild www.xn--strae-oqa.test"), ("a.XN--bcher-kva.test:8080", "sub a.xn--bcher-kva.test:8080"),
        ("a.xn--bcher-kva.test:08080", "sub a.xn--bcher-kva.test:8080"), ("a.xn--bcher-kva.test", "any a.xn--bcher-kva.test"),
        ("[::1]", "six [::1]"), ("[0::0001]:80", "six [::1]:80"), ("a_b~c!d", "any a_b~c!d"), ("x$&'()*+;=y", "any x$&'()*+;=y"),
        ("%70lain.test", "one plain.test"), ("a%21b", "any a%21b"),
        ("a..b", 400), ("plain.test,b.test", 400), (".plain.test", 400), ("plain.test..", 400), ("plain.test:99999", 400), ("pla%2fin.test", 400), ("pla%00in.test", 400)]:
    same(ask(host), want, f"Host: {host}")
same(ask(UMLAUT.encode().decode("latin1")), 400, "raw bytes beyond ASCII are no host")

# --- one entry in the cache

goma.get("/key", {"Host": "plain.test"})
asked = len(o["one"].requests)
client = goma.client()
for host in ("PLAIN.test", "plain.test.", "plain.test:", "plain.test:0080", "%70lain.test"):
    client.send(f"GET /key HTTP/1.1\r\nHost: {host}\r\n\r\n")
    client.response()
same(len(o["one"].requests), asked, "five spellings are one entry of the cache")

# --- TLS

tls = parse_address(goma.status()["listeners"][1]["address"])
client = TlsClient(tls, PUNY)
same(client.common_name(), "munich", "the certificate of the name as clients ask for it")
client.close()

# --- what people are shown

shown = subprocess.run([GOMA, "-p", goma.directory, "-T", "-c", "goma.yml"], cwd=goma.directory, capture_output=True, text=True).stdout
expect(re.search(rf"hosts: \[{PUNY}, plain.test\] .*= {UMLAUT}$", shown, re.M), "-T shows both forms of a host", shown[-3000:])
expect(re.search(r"target: \"?http://xn--mnchen-3ya.invalid:1/\"? .*= m\u00fcnchen.invalid$", shown, re.M), "and of a target")
same(goma.request(headers={"Host": "far.test"}, target="/far").status, 502, "a target beyond ASCII is looked up by its A-label")
expect(goma.told("url=/far .*xn--mnchen-3ya.invalid"), "and told by it")

# --- refused, with the reason

for hosts, why in [(["\u0640.test"], "string contains a disallowed character"), (["a..b"], "cannot be empty"), ([".a.test"], "cannot be empty"),
                   (["\u00fc" * 80 + ".test"], "too large|longer"), (["a\uff0fb.test"], "a letter that becomes a delimiter")]:
    goma.configure([route("/", o["any"], hosts=hosts)], **CONFIG)
    code, _, said = goma.ctl("test")
    expect(code == 78 and re.search(why, said), f"{hosts[0][:20]}: refused with its reason", said)
goma.configure([route("/", o["any"], "a", hosts=[UMLAUT]), route("/", o["one"], "b", hosts=[PUNY.upper()])], **CONFIG)
expect("has the path and a host of route" in goma.ctl("test")[2], "two forms of one name are one host")
