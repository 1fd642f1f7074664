#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Small promises of the pages that no other play keeps."""
from lib.goma import *
from lib import h2
from lib.cache import Pages, cache, page, status

pages = Pages()
a, b = Origin(name="a"), Origin(name="b")
SETTINGS = {"maxConcurrentStreams": 7, "streamWindow": 70_000, "connectionWindow": 90_000}
goma = Goma([route("/tagged", pages.origin, middlewares=["cache"]), route("/turns", [(a, 3), (b, 1)])], [cache(tagHeaders=["X-Parts"])], workers=1,
            entryPoints={"web": {"address": "127.0.0.1:0", "h2c": True}}, networking={"http2": SETTINGS}, monitoring={"enableReadiness": False, "enableMetrics": True})

same("".join(goma.get("/turns").text for _ in range(8)), "aabaaaba", "concepts: with weights 3 and 1 the order is a a b a")
same([goma.request(m, "/turns").status for m in ("TRACE", "CONNECT")], [405, 405], "concepts: TRACE and CONNECT are answered with 405")
same((goma.get("/readyz").status, goma.get("/healthz").status), (404, 200), "enableReadiness: false takes /readyz away, and that alone")
expect(f'goma_backend_connections{{backend="{a.host}:{a.port}"}}' in goma.metrics(), "metrics: a backend is its host and port")

peer = h2.H2(Client(goma.address))
peer.start()
same(peer.settings.get(h2.INITIAL_WINDOW_SIZE), 70_000, "http2.streamWindow is what a client may send ahead")
opened = lambda: [int.from_bytes(f.payload, "big") for f in peer.frames if f.kind == h2.WINDOW_UPDATE and f.stream == 0]
expect(peer.wait(opened) and opened() == [90_000 - 65_535], "http2.connectionWindow, over all streams", opened())
same(peer.settings.get(h2.MAX_CONCURRENT_STREAMS), 7, "http2.maxConcurrentStreams is told")

for name, fields in (("mine", {"X-Parts": "book-1, book-2"}), ("others", {"Cache-Tag": "book-1"})):
    pages.answer(f"/tagged/{name}", page("x", max_age="60", **fields))
    goma.get(f"/tagged/{name}")
same(goma.ctl("cache", "purge", "tag", "book-2")[0], 0, "a tag is purged")
same([status(goma.get(f"/tagged/{name}")) for name in ("mine", "others")], ["MISS", "HIT"], "httpCache.tagHeaders names the fields of tags, in place of the usual ones")
