#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""redirectScheme: answers with Goma's redirect, passes what already has the scheme and ACME challenges."""
from lib.goma import *

origin = Origin()
goma = Goma([route("/", origin, middlewares=["https"]), route("/perm", origin, middlewares=["perm"]),
             route("/host", origin, hosts=["good.test"], middlewares=["https"])],
            [middleware("https", "redirectScheme", {"scheme": "https", "port": 8443}),
             middleware("perm", "redirectScheme", {"scheme": "https", "permanent": True, "port": 443})],
            proxy={"enabled": True, "trustedProxies": ["127.0.0.1"]})
reply = goma.get("/secure?a=b%20c", {"Host": "h"})
same((reply.status, reply["location"]), (302, "https://h:8443/secure?a=b%20c"), "302 with the port")
same((reply["content-type"], reply.text.startswith('<a href="https://h:8443/secure?a=b%20c">Found</a>.')),
     ("text/html; charset=utf-8", True), "and Goma's body")
reply = goma.get("/perm/x", {"Host": "h:8080"})
same((reply.status, reply["location"]), (301, "https://h/perm/x"), "permanent, the default port left out")
reply = goma.request("POST", "/", {"Host": "h"}, body=b"x")
same((reply.status, reply.body), (302, b""), "other methods get no body")
same(goma.get("/.well-known/acme-challenge/x", {"Host": "h"}).text, "origin", "ACME challenges pass")
same(goma.get("/secure", {"X-Forwarded-Proto": "https", "X-Forwarded-For": "1.2.3.4"}).text, "origin", "https by a trusted proxy passes")
for scheme, other in (("https", "http"), ("http", "https")):
    keeping = Goma([route("/", origin, middlewares=["to"])], [middleware("to", "redirectScheme", {"scheme": scheme})], workers=1,
                   proxy={"enabled": True, "trustedProxies": ["127.0.0.1"]})
    for host, want in [("shop.test:80", "shop.test"), ("shop.test:443", "shop.test"), ("shop.test:080", "shop.test"), ("shop.test:8080", "shop.test:8080"),
                       ("shop.test", "shop.test"), ("[::1]:80", "[::1]"), ("[::1]:443", "[::1]"), ("[::1]:8443", "[::1]:8443"), ("[::1]", "[::1]")]:
        reply = keeping.get("/x", {"Host": host, "X-Forwarded-Proto": other})
        same(reply["location"], f"{scheme}://{want}/x", f"to {scheme} from {host}: a default port, either scheme's, is left out")
    secure = {"https": "wss", "http": "ws"}[scheme]
    same(keeping.get("/x", {"X-Forwarded-Proto": secure}).text, "origin", f"{secure} is {scheme} already")
expect("evil" not in (goma.get("/%0d%0aevil:%20x", {"Host": "h"})["evil"] or ""), "C42 nothing splits the answer")
