#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Paths that may be read in several ways, and the response cache: spellings share nothing, a purge takes every copy that may be
read as what it names, and what is not surely in `paths` is not stored."""
from lib.cache import *
from lib.goma import *

TOKEN = {"Authorization": "Bearer s3cret"}
pages = Pages()
goma = Goma([route("/", pages.origin, "main", middlewares=["cache"]), route("/some", pages.origin, "some", middlewares=["part"])],
            [cache(maxTtl=60, memoryLimit="8Mi", purgeToken="s3cret"), cache("part", ["^/some/public/"], maxTtl=60, memoryLimit="8Mi")], workers=1)


def fill(*targets):
    for target in targets:
        pages.answer(target, *[page(f"{target} {n}", max_age="60") for n in (1, 2, 3)])
        goma.get(target)


def times(*targets):
    return [goma.get(target).text.rpartition(" ")[2] for target in targets]


SPELLINGS = ["/p/x", "/p%2Fx", "/p%2fx", "/%70/x", "/p%5Cx", "/p/%2fx", "/p%252Fx"]
fill(*SPELLINGS)
same(times(*SPELLINGS), ["1"] * 7, "each spelling is stored, and got what its own request had brought")
same(len({goma.get(t).text for t in SPELLINGS}), 7, "under a key of its own")

same(goma.ctl("cache", "purge", "url", "b.test/p/x")[0], 0, "a purge of another host")
same(times(*SPELLINGS), ["1"] * 7, "takes nothing")
host = "a.test"
same(goma.ctl("cache", "purge", "url", f"{host}/p/x")[0], 0, "a purge of the plain path")
same(times(*SPELLINGS), ["2"] * 6 + ["1"], "takes every copy that somebody reads as that path, and no other")

fill("/q/a", "/q%2Fa", "/%71/a%20b", "/q;v/a")
same(goma.ctl("cache", "purge", "prefix", f"{host}/%71/")[0], 0, "a purge of a prefix, oddly spelt")
same(times("/q/a", "/q%2Fa", "/%71/a%20b", "/q;v/a"), ["2", "2", "2", "1"], "takes what is below it however that is spelt")

fill("/r/a", "/r%2Fa")
same(goma.request("PURGE", "/r%2fa", TOKEN).status, 200, "PURGE of a spelling with an encoded slash")
same(times("/r/a", "/r%2Fa"), ["1", "2"], "takes that, and leaves what is another path as written")

fill("/some/public/a", "/some%2Fpublic/a", "/some/public%2Fa", "/some/public/a%2Fb", "/some/%2Fpublic/a")
same([goma.get(t)["x-goma-cache"] for t in ("/some/public/a", "/some/public/a%2Fb", "/some/public%2Fa", "/some/%2Fpublic/a")],
     ["HIT", "HIT", None, None], "`paths` of a cache want every reading: in doubt the backend is asked")
