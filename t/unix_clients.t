#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clients on a Unix socket: a proxy there is trusted by the word unix:, and anybody else has no address to be told."""
from lib.goma import *

origin = Origin(lambda r: Reply(200, body=json.dumps([r["X-Forwarded-For"], r["X-Real-IP"], r["X-Forwarded-Proto"]])))
auth = Origin(lambda r: Reply(200))
RULES = [middleware("few", "rateLimit", {"unit": "hour", "requestsPerUnit": 2}), middleware("ask", "forwardAuth", {"authUrl": auth.url})]


def over_unix(trusted, **web):
    gate = Goma([route("/", origin), route("/few", origin, middlewares=["few"]), route("/ask", origin, middlewares=["ask"])], RULES, workers=1,
                entryPoints={"web": {"address": "unix:web.sock", **web}}, proxy={"enabled": True, "trustedProxies": trusted})
    gate.address = gate.path("web.sock")
    return gate


def seen(reply):
    """X-Forwarded-For, X-Real-IP and X-Forwarded-Proto, as the backend saw them."""
    return json.loads(reply.text)


front = over_unix(["unix:"])
same(seen(front.get("/", {"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "https"})), ["1.2.3.4", "1.2.3.4", "https"], "a trusted proxy tells the client")
same(seen(front.get("/", {"X-Forwarded-For": "1.2.3.4, unix:"})), ["1.2.3.4", "1.2.3.4", "http"], "also one that came over a Unix socket to another proxy")
same([front.get("/few", {"X-Forwarded-For": f"1.2.3.{i}"}).status for i in (1, 2, 3)], [200] * 3, "its clients have limits of their own")
other = over_unix(["127.0.0.1", "0.0.0.0/0", "::/0"])
same(seen(other.get("/", {"X-Forwarded-For": "1.2.3.4"})), [None, None, "http"], "a peer that is not trusted says nothing, and has no address to be told")
other.get("/ask")
same((auth.last["X-Forwarded-For"], auth.last["X-Real-IP"]), (None, None), "nor to the auth service")
same([other.get("/few").status for _ in range(3)], [200, 200, 429], "all that come so are one client")
header = over_unix([], proxyProtocol={"trusted": ["unix:"]})
client = header.client()
client.send("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n")
same(seen(client.get("/"))[:2], ["1.2.3.4", "1.2.3.4"], "a PROXY header over a Unix socket")
