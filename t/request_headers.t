#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""requestHeaders: removes, then sets; "" deletes; Host and the forwarded chain stay the gateway's."""
from lib.goma import *

origin = Origin(lambda r: Reply(200, body=json.dumps(r.headers)))
goma = Goma([route("/", origin, middlewares=["h"]), route("/some", origin, middlewares=["only"])],
            [middleware("h", "requestHeaders", {"removeHeaders": ["X-Debug", "x-both"],
                                                "setHeaders": {"X-Env": "prod", "Cookie": "", "X-Both": "new", "Host": "evil.test",
                                                               "X-Forwarded-For": "9.9.9.9"}}),
             middleware("only", "requestHeaders", {"setHeaders": {"X-Env": "some"}}, paths=["/some/in"])])


def seen(target="/", headers=None):
    return Fields(map(tuple, json.loads(goma.get(target, headers).text)))


got = seen("/", [("x-debug", "1"), ("X-Debug", "2"), ("Cookie", "a=b"), ("X-Env", "dev"), ("x-env", "test"), ("X-Both", "old"),
                 ("X-Keep", "1")])
same(got.all("x-debug"), [], "a removed field is gone, every line of it")
same(got.all("x-env"), ["prod"], "a set field replaces every line")
same(got.all("cookie"), [], 'set to "" deletes')
same(got.all("x-both"), ["new"], "removed first, then set")
same(got.all("x-keep"), ["1"], "others stay")
same(got.all("host"), ["a.test"], "Host cannot be changed this way")
same(got.all("x-forwarded-for"), ["127.0.0.1"], "nor the forwarded chain")
same([seen(t).all("x-env") for t in ("/some/in", "/some/in/x", "/some/out")], [["some"], ["some"], []], "paths limit it")
