#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What proxies claim about clients (C36 to C41, G70): a stranger's is dropped in every spelling and on every way in; what
authenticating middlewares set comes from nobody else; and nothing of it mixes answers in a cache."""
import itertools
from lib.goma import *
from lib import h2, websocket
from lib.cache import cache, page, status

EVIL = "6.6.6.6"
CLAIMS = ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Server", "X-Forwarded-Uri", "X-Forwarded-User",
          "X-Forwarded-Tls-Client-Cert-Info", "Forwarded", "X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "X-Original-URL",
          "X-Rewrite-URL", "X-Client-Cert-Subject", "X-SSL-Client-Verify", "X-Auth-Request-Email", "Remote-User", "X-Remote-Groups", "X-WebAuth-User"]


def spellings(name):
    """As it is, in capitals, in lower case, and with each and all of its dashes as something else."""
    places = [i for i, c in enumerate(name) if c == "-"]
    for dash in "_.~":
        for at in [[p] for p in places] + [places]:
            yield "".join(dash if i in at else c for i, c in enumerate(name))
    yield from (name, name.upper(), name.lower())


class Told(Fields):
    __getitem__ = Fields.get


def told(reply):
    """The fields that the backend saw, by name."""
    return Told(map(tuple, json.loads(reply.text if hasattr(reply, "text") else reply.body)))


def script(connection):
    """Answers with what came, trailers included; a WebSocket gets it in a field."""
    while request := connection.request():
        seen = json.dumps([(n, v) for n, v in request.headers] + [("trailer " + n, v) for n, v in request.trailers])
        if request["upgrade"]:
            return connection.send(websocket.SWITCH[:-2] + f"X-Seen: {seen}\r\n\r\n".encode())
        connection.send(Reply(200, [("Cache-Control", "max-age=60")], seen).encode(request.method))


origin = Origin(script=script)
auth = Origin(lambda r: Reply(200, [("X-User", r["x-key"] or "")]))
ROUTES = [route("/", origin), route("/user", origin, middlewares=["part", "tenant"]), route("/mail", origin, middlewares=["all", "cache"]),
          route("/late", origin, middlewares=["cache", "all"]), route("/cached", origin, middlewares=["cache"])]
WHO = {"authUrl": auth.url, "authResponseHeaders": ["X-User: X_User_Name"], "authRequestHeaders": ["X-Key", "X-Forwarded-User"]}
RULES = [middleware("part", "forwardAuth", WHO, paths=["/user/in"]), middleware("all", "forwardAuth", WHO), cache(),
         middleware("tenant", "requestHeaders", {"setHeaders": {"X-Tenant": "mine"}})]
table = re.findall(r'\{"([a-z0-9*-]+)", Claim::', read(os.path.join(ROOT, "src/http/claims.cc")))
page_text = read(os.path.join(ROOT, "docs/security.md")).lower()
same((len(table) > 60, [n for n in table if f"`{n}`" not in page_text]), (True, []), "docs/security.md lists the whole table")

goma = Goma(ROUTES, RULES, workers=1, monitoring={"enableMetrics": True}, entryPoints={"web": {"address": "127.0.0.1:0", "h2c": True}})

names = list(dict.fromkeys(s for n in CLAIMS for s in spellings(n)))
through = [n for n, chunk in zip(itertools.count(), [names[i:i + 60] for i in range(0, len(names), 60)])
           if EVIL in goma.get("/", [(s, EVIL) for s in chunk]).text]
same(through, [], f"none of {len(names)} spellings passes over HTTP/1.1")
peer = h2.H2(Client(goma.address))
peer.start()
got = [n for n in names if n == n.lower() and EVIL in peer.ask("GET", "/", (n, EVIL)).body.decode()]
same(got, [], "nor over HTTP/2")
chunked = [("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum")]
tail = "".join(f"{n}: {EVIL}\r\n" for n in names[:60])
reply = goma.request("POST", "/", chunked, f"1\r\nx\r\n0\r\n{tail}X-Sum: 1\r\n\r\n".encode())
same((EVIL in reply.text, told(reply)["trailer X-Sum"]), (False, "1"), "nor in a trailer section, which goes on")
late = [n.lower() for n in CLAIMS]
stream = peer.ask("POST", "/", body=b"x", trailers=[(n, EVIL) for n in late[:20]] + [("x-sum", "1")])
same((EVIL in stream.body.decode(), told(stream)["trailer x-sum"]), (False, "1"), "nor in one of HTTP/2")
client = goma.client()
reply = client.request("GET", "/", {**websocket.UPGRADE, **{n: EVIL for n in names[:60]}})
same((reply.status, EVIL in reply["x-seen"]), (101, False), "nor when a WebSocket is asked for")

before = goma.metrics()["goma_request_fields_dropped_total"]
goma.get("/", {"X-Forwarded-For": EVIL, "x_real_ip": EVIL, "X.Real.IP": EVIL, "X-User": "1"})
same(goma.metrics()["goma_request_fields_dropped_total"] - before, 3, "what is dropped is counted")

# --- what middlewares set

for path in ("/user/in", "/user/out", "/mail", "/"):
    fields = [(s, "root") for s in spellings("X-User-Name")] + [("X-Key", "alice")]
    reply = goma.request("POST", path, fields + chunked, b"1\r\nx\r\n0\r\nX-User-Name: root\r\nx.user.name: root\r\nX-Tenant: theirs\r\n\r\n")
    expect("root" not in reply.text, f"{path}: the user comes from the auth service or from nobody", reply.text)
    if path.startswith("/user"):
        same([v for n, v in told(reply) if n.lower().endswith("x-tenant")], ["mine"], f"{path}: a field that is set is not set by a trailer")
same(told(goma.get("/user/in", {"X-Key": "alice"})).all("x_user_name"), ["alice"], "what the service says arrives")
goma.get("/user/in", {"X-Key": "a", "X-Forwarded-User": "root", "X.Forwarded.User": "root"})
same((auth.last["x-forwarded-user"], auth.last["x-forwarded-for"]), (None, "127.0.0.1"), "a stranger's claim does not reach the service")
same([(status(r), told(r).all("x_user_name")) for r in (goma.get("/mail/1", {"X-Key": k}) for k in ("alice", "bob"))],
     [("BYPASS", ["alice"]), ("BYPASS", ["bob"])], "what a known user is told is not kept for others")
same([told(goma.get("/late/1", {"X-Key": k})).all("x_user_name") for k in ("alice", "bob")], [["alice"], ["bob"]],
     "nor when the cache stands before the service")

# --- trusted proxies

trusting = Goma(ROUTES, RULES, workers=1, proxy={"enabled": True, "trustedProxies": ["127.0.0.1"]})
got = told(trusting.get("/", {"X-Forwarded-User": "carol", "X.Forwarded.User": "root", "X-Forwarded-Server": "front", "X-Client-Cert-Subject": "CN=c"}))
same((got["x-forwarded-user"], got["x-forwarded-server"], got["x-client-cert-subject"], got["x.forwarded.user"]), ("carol", "front", "CN=c", None),
     "a trusted proxy's claims pass, in their one spelling")
got = told(trusting.get("/", {"Connection": "X-Forwarded-For, X-Forwarded-User", "X-Forwarded-For": "1.2.3.4", "X-Forwarded-User": "carol"}))
same((got["x-forwarded-for"], got["x-forwarded-user"]), ("1.2.3.4, 127.0.0.1", "carol"), "and no Connection takes them away")
proto = lambda *values: told(trusting.get("/", [("X-Forwarded-Proto", v) for v in values]))["x-forwarded-proto"]
same([proto("wss"), proto("ws"), proto("WSS"), proto("gopher"), proto("https", "http"), proto("https, ws")], ["https", "http", "https", "http", "http", "http"],
     "ws is http and wss is https; of several words the nearest counts")
ask = lambda path, **fields: trusting.get(path, {n.replace("_", "-"): v for n, v in fields.items()})
same([status(ask("/cached/1", X_Forwarded_Server=s)) for s in "aba"], ["MISS", "MISS", "HIT"], "what it claims is part of a cache's key")
same([status(ask("/cached/2", X_Forwarded_User=s)) for s in "aab"], ["BYPASS"] * 3, "who it names gets answers of his own")
first, second = (told(ask("/cached/3", CF_Connecting_IP=ip, X_Client_IP=ip, Forwarded=f"for={ip};proto=http")) for ip in ("7.7.7.7", "8.8.8.8"))
same([(f["cf-connecting-ip"], f["x-client-ip"], f["forwarded"]) for f in (first, second)], [(None, None, "proto=http")] * 2,
     "addresses do not reach a backend whose answer is for others too")
