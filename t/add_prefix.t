#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""addPrefix: the prefix is put in front with exactly one slash, before rewriting and forwarding."""
from lib.goma import *

origin = Origin(lambda r: Reply(200, body=r.target))
goma = Goma([route("/users", origin, middlewares=["plain"]), route("/slash", origin, middlewares=["slash"]),
             route("/both", origin, rewrite="/new", middlewares=["plain"]), route("/two", origin, middlewares=["plain", "slash"])],
            [middleware("plain", "addPrefix", {"prefix": "/api"}), middleware("slash", "addPrefix", {"prefix": "/api/"})])
for target, want in [("/users", "/api/users"), ("/users/7/?q=1&q=%2f", "/api/users/7/?q=1&q=%2f"), ("/slash/x", "/api/slash/x"),
                     ("/users/a%20b", "/api/users/a%20b"), ("/both/x", "/api/both/x"), ("/two", "/api/api/two")]:
    same(goma.get(target).text, want, f"{target} leaves as {want}")
