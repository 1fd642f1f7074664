#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Which route a request takes (Goma's precedence), with which path it leaves, and what the backend sees."""
from lib.goma import *

seen = []


def origin_named(name):
    return Origin(lambda r: Reply(200, body=f"{name} {r.target} {r['host']}"))


names = ["any", "api", "v1", "wild", "pinned", "deep", "tenant", "ro", "off", "cart", "root", "base", "port", "one", "case"]
o = {name: origin_named(name) for name in names}
goma = Goma([
    route("/", o["any"], "any"),
    route("/api", o["api"], "api", hosts=["a.test"]),
    route("/api/v1/", o["v1"], "v1", hosts=["A.TEST"]),
    route("/api", o["wild"], "wild", hosts=["*.a.test"]),
    route("/api/blue", o["pinned"], "pinned", priority=-5),
    route("/api/blue/deep/er", o["deep"], "deep"),
    route("/t/{tenant}/files", o["tenant"], "tenant"),
    route("/ro", o["ro"], "ro", methods=["GET", "HEAD"]),
    route("/off", o["off"], "off", enabled=False, hosts=["off.test"]),
    route("/cart", o["cart"], "cart", rewrite="/v2", security={"forwardHostHeaders": False}),
    route("/strip", o["root"], "root", rewrite="/"),
    route("/based", o["base"].url + "/base", "base"),
    route("/api", o["port"], "port", hosts=["a.test:81"]),
    route("/api", o["one"], "one", hosts=["{sub}.b.test"]),
    route("/Case", o["case"], "case"),
], log={"level": "error"})


def ask(target, host="x.test", method="GET"):
    reply = goma.request(method, target, {"Host": host})
    return reply.text.split(" ") if reply.status == 200 else [reply.status]


for host, target, want in [
        ("a.test", "/api/v1/x", "v1"), ("a.test", "/api/v1", "v1"), ("a.test", "/api/x", "api"), ("A.Test", "/api", "api"),
        ("a.test.", "/api", "api"), ("a.test:8080", "/api", "api"), ("a.test:81", "/api", "port"),
        ("b.a.test", "/api/x", "wild"), ("c.b.a.test", "/api/x", "wild"), ("other.test", "/api/x", "any"),
        ("other.test", "/", "any"), ("x.b.test", "/api", "one"), ("y.x.b.test", "/api", "any"), ("b.test", "/api", "any"),
        ("a.test", "/api/blue/x", "pinned"), ("a.test", "/api/blue/deep/er", "pinned"), ("a.test", "/apiary", "any"),
        ("x.test", "/t/acme/files/7", "tenant"), ("x.test", "/t/acme/files", "tenant"), ("x.test", "/t//files", "any"),
        ("x.test", "/t/acme/other", "any"), ("x.test", "/Case/1", "case"), ("x.test", "/case/1", "any"),
        ("x.test", "/api/", "any"), ("a.test", "/%61pi/x", "api"), ("off.test", "/off", "any")]:
    same(ask(target, host)[0], want, f"{host}{target} takes {want}")

same(ask("/ro", method="DELETE"), [405], "a method not listed is 405")
same(goma.request("DELETE", "/ro").text, "405 DELETE method not allowed\n", "with Goma's text")
same(goma.request("OPTIONS", "/ro").status, 405, "OPTIONS as well")
for target, want in [("/cart/7/", "/v2/7/"), ("/cart", "/v2"), ("/cart/a/b", "/v2/a/b"), ("/cart/a/?q=1", "/v2/a/?q=1")]:
    same(ask(target)[1], want, f"rewrite: {target} leaves as {want}")
same(ask("/cart/7")[2], f"127.0.0.1:{o['cart'].port}", "forwardHostHeaders false: the backend's host")
same(o["cart"].last["x-forwarded-host"], "x.test", "and X-Forwarded-Host is the client's")
same(ask("/strip")[1], "/", "rewrite /: the prefix itself")
same(ask("/strip/a/b/")[1], "/a/b/", "rewrite /: the rest")
same(ask("/based/x?a=1")[1], "/base/based/x?a=1", "a target's path is put in front")
same(ask("/q?a=%zz;b&&c=/../")[1], "/q?a=%zz;b&&c=/../", "a query passes byte for byte")

lonely = Goma([route("/shop", o["any"], hosts=["s.test"])], log={"level": "info"})
reply = lonely.get("/", {"Host": "s.test"})
same((reply.status, reply.text, reply["content-type"], reply["x-content-type-options"]),
     (404, "404 page not found\n", "text/plain; charset=utf-8", "nosniff"), "no route: Goma's 404")
same(lonely.get("/shop", {"Host": "z.test"}).status, 404, "a known path for another host is 404")
same(lonely.get("/shopping", {"Host": "s.test"}).status, 404, "prefixes are bounded by segments")

many = [route(f"/r{i}/x", o["any"], f"m{i}") for i in range(3000)]
lonely.configure(many)
code, out = lonely.reload()
same(code, 0, "a table of 3,000 routes loads") or note(out)
same([lonely.get(f"/r{i}/x").status for i in (0, 1499, 2999)], [200] * 3, "and its routes work")
same(lonely.get("/r3000/x").status, 404, "and no other")
