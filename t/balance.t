#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Round robin per route, and weights."""
import collections
from lib.goma import *

o = [Origin(name=f"o{i}") for i in range(3)]
goma = Goma([route("/rr", o[:2], "rr"), route("/rr3", o, "rr3"), route("/w", [(o[0], 3), (o[1], 1), (o[2], 0)], "w"), route("/one", o[0], "one")],
            workers=1, log={"level": "error"})
client = goma.client()
texts = lambda target, n: [client.get(target).text for _ in range(n)]
got = texts("/rr", 8)
same(got, ["o0", "o1"] * 4, "two backends alternate")
got = texts("/rr3", 9)
same(collections.Counter(got), {"o0": 3, "o1": 3, "o2": 3}, "three take turns")
client2 = [client.get(t).text for t in ("/rr", "/rr3", "/rr", "/rr3", "/rr", "/rr3")]
expect(client2[0] != client2[2] and client2[2] != client2[4], "one route's turn is not moved by another's", client2)
count = collections.Counter(texts("/w", 400))
expect(270 <= count["o0"] <= 330 and 70 <= count["o1"] <= 130 and not count["o2"], "weights 3:1:0", count)
o[0].stop()
got = texts("/rr", 4)
same(got, ["o1"] * 4, "a backend that refuses is passed over")
