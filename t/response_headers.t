#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""responseHeaders: sets, replaces and removes fields of every answer of the route, errors included."""
from lib.goma import *

origin = Origin(lambda r: Reply(404 if "404" in r.target else 200, [("X-Powered-By", "PHP"), ("Server", "nginx"), ("X-Twice", "1"),
                                                                   ("X-Twice", "2"), ("Set-Cookie", "a=b"), ("Set-Cookie", "c=d")]))
dead = f"http://127.0.0.1:{refused_port()}"
rule = {"setHeaders": {"X-Frame-Options": "DENY", "X-Powered-By": "", "X-Twice": "once", "X-Route": "{route.name}"}}
goma = Goma([route("/", origin, "main", middlewares=["h"]), route("/dead", dead, "dead", middlewares=["h"]), route("/plain", origin)],
            [middleware("h", "responseHeaders", rule)])
reply = goma.get("/")
same(reply["x-frame-options"], "DENY", "a field is set")
same(reply["x-powered-by"], None, '"" removes')
same(reply.headers.all("x-twice"), ["once"], "a set field replaces every line")
same(reply["x-route"], "main", "{route.name} is filled in")
same(reply.headers.all("set-cookie"), ["a=b", "c=d"], "other fields are untouched, several lines stay several")
reply = goma.get("/404")
same((reply.status, reply["x-frame-options"]), (404, "DENY"), "on every status")
reply = goma.get("/dead")
same((reply.status, reply["x-frame-options"], reply["x-route"]), (502, "DENY", "dead"), "answers of the gateway as well")
reply = goma.get("/plain")
same((reply["x-frame-options"], reply["x-powered-by"]), (None, "PHP"), "other routes are untouched")
same((reply["server"], reply["proxied-by"]), (None, "Goma Gateway"), "Server is removed and Proxied-By set")
