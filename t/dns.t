#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Names of backends: the hosts file, several addresses, IPv6, unknown names."""
from lib.goma import *

origin = Origin(name="v4")
try:
    six = Origin(name="v6", host="::1")
except OSError:
    six = None
routes = [route("/name", f"http://localhost:{origin.port}"), route("/unknown", "http://no-such-host.invalid"),
          route("/upper", f"http://LOCALHOST:{origin.port}")]
if six:
    routes += [route("/six", six), route("/only6", f"http://localhost:{six.port}")]
goma = Goma(routes, workers=1, log={"level": "off"}, networking={"dnsCache": {"ttl": 60}})
same([goma.get("/name").text for _ in range(3)], ["v4"] * 3, "a name of the hosts file, tried on all its addresses")
same(origin.last["host"], "a.test", "the client's Host is passed on")
same(goma.get("/upper").text, "v4", "names have no case")
began = time.monotonic()
same(goma.get("/unknown").status, 502, "an unknown name is 502")
expect(time.monotonic() - began < 8 * SLOW, "in bounded time")
began = time.monotonic()
same(goma.get("/unknown").status, 502, "and again")
expect(time.monotonic() - began < 1 * SLOW, "from the negative cache")
if six:
    same(goma.get("/six").text, "v6", "an IPv6 address in brackets")
    same(goma.get("/only6").text, "v6", "the second address is tried when the first refuses")
else:
    skip("IPv6", "no ::1 here")
same(goma.reload()[0], 0, "a reload")
same(goma.get("/name").text, "v4", "keeps names working")
