#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Goma's error bodies (section 15): the form follows Accept, then Content-Type; lengths are right."""
from lib.goma import *

goma = Goma([route("/", f"http://127.0.0.1:{refused_port()}"), route("/ro", f"http://127.0.0.1:{refused_port()}", methods=["GET"])],
            log={"level": "off"})
JSON = b'{"success":false,"statusCode":502,"error":"502 Bad Gateway "}\n'
TEXT = b"502 Bad Gateway \n"


def check(headers, kind, body, name, method="GET", target="/", status=502):
    reply = goma.request(method, target, headers)
    same((reply.status, (reply["content-type"] or "").split(";")[0], reply.body), (status, kind, body), name)
    same(reply["content-length"], str(len(body)), f"{name}: Content-Length")
    return reply


reply = check({}, "text/plain", TEXT, "no Accept: plain text")
same((reply["content-type"], reply["x-content-type-options"]), ("text/plain; charset=utf-8", "nosniff"), "with nosniff")
check({"Accept": "*/*"}, "text/plain", TEXT, "*/*: plain text")
check({"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}, "text/plain", TEXT, "a browser: plain text")
check({"Accept": "application/json"}, "application/json", JSON, "application/json: JSON")
check({"Content-Type": "application/json"}, "application/json", JSON, "Content-Type counts when Accept is absent")
check({"Accept": "*/*", "Content-Type": "application/json"}, "text/plain", TEXT, "and not otherwise")
for accept in ("application/xml", "text/xml", "application/xhtml+xml"):
    reply = goma.get("/", {"Accept": accept})
    same((reply.status, reply["content-type"].split(";")[0]), (502, "application/xhtml+xml"), f"{accept}: XML")
    expect(reply.text.startswith("<?xml") and "<statusCode>502</statusCode>" in reply.text
           and "<error>502 Bad Gateway </error>" in reply.text and "\n\t<success>false</success>" in reply.text,
           f"{accept}: Goma's document", reply.text)
check({"Accept": "application/json"}, "application/json",
      b'{"success":false,"statusCode":405,"error":"405 PUT method not allowed"}\n', "405 in JSON", "PUT", "/ro", 405)
reply = goma.get("/", {"Accept": "application/json"})
same(len(reply["x-goma-request-id"] or ""), 32, "an error carries the request id")
same(goma.get("/", {"X-Request-ID": "my-id-7"})["x-goma-request-id"], "my-id-7", "the client's id is kept")
same(reply["proxied-by"], "Goma Gateway", "and Proxied-By")
client = goma.client()
head = client.request("HEAD", "/")
same((head.status, client.get("/").status), (502, 502), "HEAD has no error body and the connection goes on")
