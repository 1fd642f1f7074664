#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Attack cases C36-C42 and C45: what the backend is told about the client cannot be forged."""
from lib.goma import *

origin = Origin(lambda r: Reply(200, body=json.dumps(r.headers)))
auth = Origin(lambda r: Reply(200, [("X-User", "alice")]))
CHAIN = {"X-Forwarded-For": "6.6.6.6", "X-Real-IP": "6.6.6.6", "X-Forwarded-Host": "evil.test", "X-Forwarded-Proto": "https",
         "X-Forwarded-Port": "444", "X-Forwarded-Prefix": "/evil"}


def seen(goma, headers, target="/", **options):
    """The fields the backend saw, or the status of a refusal."""
    reply = goma.request("GET", target, headers, **options)
    return Fields(map(tuple, json.loads(reply.text))) if reply.status == 200 else reply.status


goma = Goma([route("/", origin), route("/user", origin, middlewares=["who"])],
            [middleware("who", "forwardAuth", {"authUrl": auth.url, "authResponseHeaders": ["X-User"]})])
got = seen(goma, CHAIN)
same([got.all(n) for n in ("x-forwarded-for", "x-real-ip", "x-forwarded-host", "x-forwarded-proto")],
     [["127.0.0.1"], ["127.0.0.1"], ["a.test"], ["http"]], "C36 an untrusted peer's chain is replaced, and sent once")
same([got.all(n) for n in ("x-forwarded-port", "x-forwarded-prefix")], [[], []], "C36 port and prefix are dropped")
same(seen(goma, {}).all("x-forwarded-for"), ["127.0.0.1"], "without a chain the peer's address is sent once")
for name in ("X_Forwarded_For", "x_real_ip", "X_Forwarded_Proto", "X-Forwarded_For"):
    got = seen(goma, {name: "6.6.6.6"})
    expect(got == 400 or not any("6.6.6.6" in v for _, v in got), f"C37 {name} is dropped", got)
got = seen(goma, {"x-FORWARDED-for": "6.6.6.6"})
same(got.all("x-forwarded-for"), ["127.0.0.1"], "C37 the case of a name does not matter")
got = seen(goma, {"Connection": "close, X-Forwarded-For, Authorization, X-Real-IP, Host, X-Other", "Authorization": "Basic eDp5",
                  "X-Other": "1"})
same((got.all("x-forwarded-for"), got.all("x-real-ip"), got.all("host")), (["127.0.0.1"], ["127.0.0.1"], ["a.test"]),
     "C38 fields of the gateway survive a Connection list")
expect("x-forwarded-for" not in (got.get("connection") or "").lower(), "C38 the list is not passed on", got.get("connection"))
same(got.all("x-other"), [], "C38 what it names is removed")
got = seen(goma, {"Forwarded": "for=6.6.6.6;proto=https", "True-Client-IP": "6.6.6.6", "CF-Connecting-IP": "6.6.6.6"})
expect(not any("6.6.6.6" in v for _, v in got), "C39 other names of the client's address are removed", got)
got = seen(goma, {"X-User": "root"}, "/user")
same(got.all("x-user"), ["alice"], "C40 an injected field is the auth service's alone")
got = seen(goma, {"Proxy": "http://evil", "Proxy-Connection": "keep-alive", "Keep-Alive": "timeout=9", "TE": "gzip",
                  "Upgrade": "foo", "Trailer": "X", "Proxy-Authorization": "x"})
same([n for n, _ in got if n.lower() in ("proxy", "proxy-connection", "keep-alive", "te", "upgrade", "trailer",
                                         "proxy-authorization")], [], "C41 hop-by-hop fields and Proxy are removed")
for target in ("/a%0d%0aSet-Cookie:x=1", "/a%0aX: 1", "/%00"):
    goma_client = goma.client()
    goma_client.send(f"GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n")
    expect(goma_client.outcome() in (400, "closed"), f"C42 {target} is refused")
goma.get("/log", {"User-Agent": 'a" status=500 msg="x\\', "Referer": "caf\xe9"})
expect(goma.told("/log"), "C42 the request is logged")
line = [l for l in goma.output.splitlines() if "/log" in l]
same((len(line), " status=500 " in re.sub(r'"(\\.|[^"\\])*"', '""', line[0])), (1, False), "C42 on one line, with its quotes escaped")

trusting = Goma([route("/", origin)], proxy={"enabled": True, "trustedProxies": ["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"]},
                log={"level": "error"})
for chain, want in [("6.6.6.6", "6.6.6.6"), ("1.1.1.1, 6.6.6.6", "6.6.6.6"), ("1.1.1.1, 6.6.6.6, 10.1.2.3", "6.6.6.6"),
                    ("6.6.6.6:4711", "6.6.6.6"), ("[2001:4860::8]:80", "2001:4860::8"), ("::ffff:6.6.6.6", "6.6.6.6"),
                    ("6.6.6.6, ::ffff:10.1.1.1", "6.6.6.6"), ("6.6.6.6, 2001:DB8:0::1", "6.6.6.6")]:
    same(seen(trusting, {"X-Forwarded-For": chain}).all("x-real-ip"), [want], f"C36 from the right: {chain} is {want}")
for chain in ("6.6.6", "0177.0.0.1", "1", "fe80::1%eth0", "6.6.6.6.6", "", "unknown", "0x7f.0.0.1"):
    got = seen(trusting, {"X-Forwarded-For": chain})
    same(got.all("x-real-ip"), ["127.0.0.1"], f"C45 {chain!r} is no address")
began = time.monotonic()
got = seen(trusting, {"X-Forwarded-For": ", ".join(["10.0.0.1"] * 3000)})
expect(time.monotonic() - began < 1 * SLOW, "C45 a chain of thousands is judged at once")
got = seen(trusting, {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https"})
same(got.all("x-forwarded-proto"), ["https"], "a trusted proxy tells the scheme")
got = seen(trusting, {"X-Forwarded-For": "6.6.6.6"}, source="127.0.0.2")
same(got.all("x-real-ip"), ["127.0.0.2"], "and a peer not listed tells nothing")
