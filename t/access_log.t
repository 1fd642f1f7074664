#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Access log: Goma's text and JSON lines, combined; every request exactly once, unmatched and broken ones included."""
from lib.goma import *

origin = Origin(lambda r: Reply(int(r["x-status"] or 200), body="ten bytes!"))
FIELDS = ["request_id", "method", "url", "http_version", "host", "client_ip", "referer", "status", "duration", "route", "user_agent"]


def start(**log):
    return Goma([route("/shop", origin, "shop", middlewares=["log"])],
                [middleware("log", "accessLog", {"headers": ["X-Ray"], "query": ["page"], "cookies": ["lang"]})],
                log={"filePath": "access.log", "level": "info", **log}, workers=1)


def lines(goma, count, marker="Proxied request"):
    found = lambda: [l for l in read(goma.path("access.log")).splitlines() if marker in l]
    wait_for(lambda: len(found()) >= count, 3 * SLOW)
    return found()


goma = start(format="json")
headers = {"User-Agent": 'curl/8 "x"', "Referer": "http://r.test/", "X-Request-ID": "id-1", "X-Ray": "77", "Cookie": "lang=en; t=1"}
goma.get("/shop/a%20b?page=2&q=1", headers)
got = lines(goma, 1)
entry = json.loads(got[0]) if got else {}
same([k for k in entry if k in FIELDS], FIELDS, "JSON: Goma's fields in Goma's order")
same([entry.get(k) for k in ("request_id", "method", "url", "http_version", "host", "client_ip", "referer", "status", "route", "user_agent")],
     ["id-1", "GET", "/shop/a b", "HTTP/1.1", "a.test", "127.0.0.1", "http://r.test/", 200, "shop", 'curl/8 "x"'], "JSON: their values")
same((entry.get("level"), entry.get("msg"), re.fullmatch(r"[\d.]+(ns|ms|s)", entry.get("duration", "")) is not None),
     ("INFO", "Proxied request", True), "JSON: level, message, duration")
same([entry.get(k) for k in ("x-ray", "page", "lang")], ["77", "2", "en"], "accessLog adds header, query and cookie fields")
goma.get("/shop", {"X-Status": "404"})
goma.get("/shop", {"X-Status": "503"})
levels = [json.loads(l)["level"] for l in lines(goma, 3)]
same(levels, ["INFO", "WARN", "ERROR"], "levels follow the status")
goma.get("/nothing")
client = goma.client()
client.send("BAD\r\n\r\n")
client.outcome()
total = wait_for(lambda: len([l for l in read(goma.path("access.log")).splitlines() if '"status"' in l]) >= 5)
expect(total, "unmatched and broken requests have their line too", read(goma.path("access.log"))[-800:])
client = goma.client()
client.send("GET /shop HTTP/1.1\r\nHost: a\r\n\r\n" * 500)
for _ in range(500):
    client.response()
same(len(lines(goma, 503, '"url":"/shop')), 503, "500 pipelined requests are 500 lines")
same(sum(1 for l in read(goma.path("access.log")).splitlines() if not json.loads(l)), 0, "every line is JSON")

goma = start()
goma.get("/shop", {"User-Agent": 'a"b', "X-Request-ID": "id 2"})
got = lines(goma, 1)
expect(got and re.match(r'time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\S* level=INFO msg="Proxied request" request_id="id 2" method=GET '
                        r'url=/shop http_version=HTTP/1.1 host=a.test client_ip=127.0.0.1 referer=\S* status=200 duration=\S+ route=shop '
                        r'user_agent="a\\"b"', got[0]), "text: Goma's line", got)

goma = start(accessFormat="combined")
goma.get("/shop/x?q=1", {"User-Agent": 'u"a', "Referer": "r"})
got = lines(goma, 1, "HTTP/1.1\"")
expect(got and re.match(r'127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET /shop/x\?q=1 HTTP/1\.1" 200 10 "r" "u(\\"|\\x22)a"',
                        got[0]), "combined: what analysers read", got)
goma = start(level="error")
goma.get("/shop")
goma.get("/shop", {"X-Status": "500"})
same(len(lines(goma, 1)), 1, "level error: only errors are logged")
