#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The response cache: what is served from it, what it says, what its keys mean, and that a reload keeps it."""
from lib.goma import *
from lib.cache import *

pages = Pages()
goma = Goma([route("/", pages.origin, name="all", middlewares=["cache"])], [cache(memoryLimit="16Mi")],
            monitoring={"enableMetrics": True}, log={"level": "warn"})


def words(response):
    return [response[n] for n in ("X-Goma-Cache", "X-Cache-Status", "Cache-Status")]


# --- a hit

pages.answer("/a", page("hello" * 100, Content_Type="text/x", X_One=["1", "2"], Cache_Control="max-age=60", Server="secret"))
first, second = goma.get("/a"), goma.get("/a")
same((first.status, words(first)), (200, ["MISS", "MISS", "goma; fwd=uri-miss; stored"]), "the first request is a miss, and says so")
same((second.status, second.text), (200, "hello" * 100), "the second is answered from the store")
same(words(second)[:2], ["HIT", "HIT"], "and says so")
expect(second["Cache-Status"].startswith("goma; hit; ttl="), "in the words of RFC 9211, too", second["Cache-Status"])
same(pages.count("/a"), 1, "the backend was asked once")
same([second["Content-Type"], second.headers.all("X-One"), second["Cache-Control"], second["Date"], second["Server"]],
     ["text/x", ["1", "2"], "max-age=60", first["Date"], None], "all fields of the response come again")
same([int(second["Age"]) <= 60, second["X-Goma-Cache-Max-Age"], second["Content-Length"]], [True, "60", "500"], "with its age and length")
expect(first["X-Goma-Request-ID"] != second["X-Goma-Request-ID"], "the request id is this request's")
