#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Backends over TLS: who is believed, what a refusal says, and what a handshake costs the second time."""
import ssl

from lib.goma import *
from lib.tls import Authority, openssl

home = tempfile.mkdtemp(prefix="goma-pki-")
atexit.register(shutil.rmtree, home, True)
ca, stranger = Authority(home), Authority(home, "stranger")
pairs = {"good": ca.issue("good", ["localhost", "inside.test"]), "other": ca.issue("other", ["other.test"]), "unknown": stranger.issue("unknown", ["localhost"]),
         "expired": ca.issue("expired", ["localhost"], days=-1), "address": ca.issue("address", extensions="subjectAltName=IP:127.0.0.1\n")}
client_pair = ca.issue("client", ["client.test"])


def origin(pair, client_ca=None, version=None, alpn=None):
    """A backend that answers with what it knows of its connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pairs[pair])
    if client_ca:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    if version:
        context.maximum_version = version
    if alpn:
        context.set_alpn_protocols(alpn)
    asked = []
    context.sni_callback = lambda sock, name, _: asked.append(name)

    def script(connection):
        while request := connection.request():
            sock = connection.sock
            made.record(request)
            subject = dict(x[0] for x in (sock.getpeercert() or {}).get("subject", ())).get("commonName", "-")
            body = f"{sock.version()} {sock.selected_alpn_protocol()} resumed={sock.session_reused} client={subject} sni={asked[-1] if asked else None}"
            connection.send(Reply(200, body=request.body if request.method == "POST" else body, close="close" in request.target).encode(request.method))
            if "close" in request.target:
                return
    made = Origin(script=script, tls=context)
    made.asked = asked
    return made


def at(name, server, **tls):
    """A route to the server by the name localhost, or by its address."""
    host = tls.pop("host", "localhost")
    return route("/" + name, f"https://{host}:{server.port}", name=name, security={"tls": tls} if tls else {})


good, old, mutual = origin("good"), origin("good", version=ssl.TLSVersion.TLSv1_2), origin("good", client_ca=ca.certificate)
mutual12 = origin("good", client_ca=ca.certificate, version=ssl.TLSVersion.TLSv1_2)
speaks_h2 = origin("good", alpn=["http/1.1"])
wrong, unknown, expired, address = origin("other"), origin("unknown"), origin("expired"), origin("address")
believed = {"rootCAs": ca.certificate}
shown = {**believed, "clientCert": client_pair[0], "clientKey": client_pair[1]}
inline = open(ca.certificate, encoding="utf-8").read()
silent = Origin(script=lambda connection: [connection.fill() for _ in range(100)])
plain = Origin(script=lambda connection: (connection.fill(), connection.send("HTTP/1.1 400 Bad Request\r\n\r\n")))
guarded = Origin()
routes = [
    at("good", good, **believed), at("old", old, **believed), at("wrong", wrong, **believed), at("unknown", unknown, **believed),
    at("expired", expired, **believed), at("address", address, host="127.0.0.1", **believed), at("noaddress", good, host="127.0.0.1", **believed),
    at("named", wrong, serverName="other.test", **believed), at("system", good), at("skipped", unknown, insecureSkipVerify=True),
    at("oldskip", expired, SkipVerification=True), at("mutual", mutual, **shown), at("mutual12", mutual12, **shown), at("anonymous", mutual, **believed),
    at("anonymous12", mutual12, **believed), at("inline", good, rootCAs=inline), at("alpn", speaks_h2, **believed),
    {**at("oldroute", unknown), "insecureSkipVerify": True}, route("/plain", f"https://localhost:{plain.port}", name="plain"),
    route("/silent", f"https://localhost:{silent.port}", name="silent"),
]
goma = Goma(routes, [middleware("auth", "forwardAuth", {"authUrl": f"https://localhost:{unknown.port}/", "insecureSkipVerify": True})], workers=1,
            networking={"retries": 0, "connectTimeout": 5, "transport": {"tlsHandshakeTimeout": 1}}, env={"SSL_CERT_FILE": stranger.certificate})


def line_of(path):
    """The access line of the last request to a path, once it is there."""
    def find():
        return [line for line in goma.output.splitlines() if f"url={path} " in line]
    wait_for(find, 5 * SLOW)
    return find()[-1] if find() else ""


reply = goma.get("/good/x")
same(reply.status, 200, "a certificate of the route's authority is believed") or note(goma.output[-2000:])
expect(reply.text.startswith("TLSv1.3 ") and "sni=localhost" in reply.text, "TLS 1.3, and the backend's name is asked for", reply.text)
same(good.last["x-forwarded-proto"], "http", "what the backend is told of the client does not change")
expect(goma.get("/old/x").text.startswith("TLSv1.2 "), "TLS 1.2 is spoken where the backend has no more")
same(goma.get("/inline/x").status, 200, "rootCAs may be the PEM itself")
same(goma.get("/address/x").status, 200, "an address is checked as one")
expect("sni=other.test" in goma.get("/named/x").text, "serverName is what is asked for and checked")
expect(" http/1.1 " in goma.get("/alpn/x").text, "HTTP/1.1 is agreed by ALPN")
same(goma.get("/skipped/x").status, 200, "insecureSkipVerify accepts any certificate")
same([goma.get("/oldskip/x").status, goma.get("/oldroute/x").status], [200, 200], "so do its old spellings")
expect("client=client" in goma.get("/mutual/x").text and "client=client" in goma.get("/mutual12/x").text, "a backend that asks gets the client certificate")

reasons = [("wrong", "hostname mismatch"), ("unknown", "unable to get local issuer certificate"), ("expired", "certificate has expired"),
           ("noaddress", "IP address mismatch"), ("system", "unable to get local issuer certificate"), ("anonymous", "the peer said: certificate required"),
           ("anonymous12", "the peer said: handshake failure"), ("plain", "wrong version number")]
for name, _ in reasons:
    same(goma.get(f"/{name}/x").status, 502, f"{name}: 502")
for name, reason in reasons:
    line = line_of(f"/{name}/x")
    expect("tls: " in line and reason in line and "end=backend-connect" in line, f"{name}: the access log says \"{reason}\"", line)
line = goma.told(f"backend=localhost:{wrong.port} ")
expect("reason=\"hostname mismatch\"" in line, "the error log says so too", line)
began = time.monotonic()
same(goma.get("/silent/x").status, 504, "a handshake that does not end is 504")
expect(time.monotonic() - began < 4 * SLOW, "after tlsHandshakeTimeout")

for server, path in [(good, "/good"), (old, "/old")]:
    texts = [goma.get(path + "/close").text for _ in range(4)]
    expect("resumed=True" in texts[-1], f"{path}: a further connection resumes the session", texts)
client = goma.client()
before = good.connections
same({client.get("/good/k").status for _ in range(20)}, {200}, "twenty requests")
expect(good.connections - before <= 1, "share a connection", good.connections - before)
blob = os.urandom(4 << 20)
reply = goma.request("POST", "/good/echo", body=blob)
same((reply.status, reply.body == blob), (200, True), "4 MiB come back as they went")
before = good.connections
same(goma.reload()[0], 0, "a reload that changes nothing")
same((goma.get("/good/x").status, good.connections - before <= 1), (200, True), "keeps the connections")
pair = {"name": "pair", "path": "/pair", "security": {"tls": believed},
        "backends": [{"endpoint": f"https://localhost:{wrong.port}"}, {"endpoint": f"https://localhost:{good.port}"}]}
goma.configure([pair, at("good", good, **believed, serverName="inside.test"), route("/guarded", guarded, middlewares=["auth"]),
                route("/strict", guarded, middlewares=["strict"]), route("/believed", guarded, middlewares=["believed"])],
               [middleware("auth", "forwardAuth", {"authUrl": f"https://localhost:{unknown.port}/", "insecureSkipVerify": True}),
                middleware("believed", "forwardAuth", {"authUrl": f"https://localhost:{unknown.port}/"}),
                middleware("strict", "forwardAuth", {"authUrl": f"https://localhost:{wrong.port}/"})], networking={"retries": 1})
same(goma.reload()[0], 0, "another profile is loaded")
expect("sni=inside.test" in goma.get("/good/x").text, "and takes a connection of its own")
same(goma.get("/guarded/x").status, 200, "forwardAuth asks over TLS")
same(goma.get("/believed/x").status, 200, "a service that the machine's authorities vouch for is believed")
same(goma.get("/strict/x").status, 500, "nobody is let in when its certificate is not believed")
same([goma.get("/pair/x").status for _ in range(4)], [200] * 4, "a backend that is not believed is passed over")
turned = os.path.join(home, "turned.pem")
shutil.copy(stranger.certificate, turned)
goma.configure([at("turned", good, rootCAs=turned)])
same((goma.reload()[0], goma.get("/turned/x").status), (0, 502), "rootCAs of a stranger")
shutil.copy(ca.certificate, turned)
expect(wait_for(lambda: goma.get("/turned/x").status == 200), "that change on the disk are used without a reload")
