#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Built-in endpoints: /readyz and /healthz as Goma answers them, and when they give way to routes."""
from lib.goma import *

origin = Origin(lambda r: Reply(200, body=f"backend {r.method}"))
goma = Goma([route("/", origin)], monitoring={"enableMetrics": True, "host": "ops.test"})
for path in ("/readyz", "/healthz"):
    reply = goma.get(path)
    same((reply.status, reply["content-type"], reply.text),
         (200, "application/json", '{"name":"Service Gateway","status":"running","error":""}\n'), f"{path} as Goma")
    same(goma.request("HEAD", path).status, 200, f"HEAD {path}")
    same(goma.request("POST", path, body=b"x").text, "backend POST", f"POST {path} goes to the route")
    same(goma.get(path + "/").text, "backend GET", f"{path}/ is the route's")
same(goma.get("/metrics").text, "backend GET", "metrics are for monitoring.host only")
expect("gateway_requests_total" in goma.get("/metrics", {"Host": "ops.test"}).text, "there they are")
same(goma.get("/readyz/x").text, "backend GET", "nothing lies under /readyz")
same(goma.get("/healthz/routes").text, "backend GET", "/healthz/routes is not there unless it is asked for")
expect("readyz" not in goma.output, "endpoints are not logged")

plain = Goma([route("/shop", origin), route("/readyz", origin, "mine", priority=-1)],
             monitoring={"enableLiveness": False})
same(plain.get("/readyz").text, "backend GET", "a route with negative priority outranks them")
same(plain.get("/healthz").status, 404, "a disabled endpoint is not there")
same(plain.get("/metrics").status, 404, "metrics are off by default")
MARK = middleware("ops", "responseHeaders", {"setHeaders": {"X-Ops": "1"}})
health = Goma([route("/", origin)], [MARK], monitoring={
    "enableRouteHealthCheck": True, "host": "ops.test", "middleware": {"routeHealthCheck": ["ops"]}})
reply = health.get("/healthz/routes", {"Host": "ops.test"})
same((reply.status, reply["content-type"], reply.text), (200, "application/json", '{"status":"healthy","routes":[]}\n'),
     "/healthz/routes: no route has a check")
same(reply["x-ops"], "1", "behind monitoring.middleware.routeHealthCheck")
same(health.request("HEAD", "/healthz/routes", {"Host": "ops.test"}).status, 200, "HEAD as well")
same(health.get("/healthz/routes").text, "backend GET", "for monitoring.host only")
same(health.get("/healthz/routes/x", {"Host": "ops.test"}).text, "backend GET", "nothing lies under it")
slash = Goma([route("/shop", origin)])
reply = slash.get("/readyz/")
same((reply.status, reply["location"]), (301, "/readyz"), "where nothing else matches, strictSlash redirects")
strict = Goma([route("/shop", origin)], strictSlash=False)
reply = strict.request("POST", "/readyz", body=b"x")
same((reply.status, reply["allow"] is not None), (405, True), "a wrong method on an endpoint without route is 405 with Allow")
same(strict.get("/readyz/").status, 404, "strictSlash false: no redirect")
