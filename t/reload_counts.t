#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a reload says it has changed: routes and middlewares whose meaning is another one, not those whose text is."""
from lib.goma import *

FIRST = """version: 2
gateway:
  entryPoints: {web: {address: "127.0.0.1:0"}}
  routes:
    - {name: a, path: /a, target: "http://127.0.0.1:9", middlewares: [h, r]}
    - {name: b, path: /b, backends: [{endpoint: "http://127.0.0.1:9"}]}
middlewares:
  - {name: h, type: requestHeaders, rule: {setHeaders: {X-One: "1", X-Two: "2", Authorization: Bearer one}}}
  - {name: r, type: rateLimit, rule: {requestsPerUnit: 5, unit: minute}}
  - {name: c, type: httpCache, paths: [/], rule: {memoryLimit: 16Mi, purgeToken: one}}
"""
SAME = """# the same, said otherwise
middlewares:
  - {name: c, type: httpCache, paths: ["/"], rule: {purgeToken: 'one', memoryLimit: 16384Ki}}
  - name: r
    type: ratelimit
    rule: {UNIT: Minute, requestsPerUnit: "5", burst: 0, banAfter: 0, headers: yes, keyStrategy: {source: ip}}
  - name: h   # first
    type: requestHeaders
    rule:
      removeHeaders: []
      setHeaders:
        "X-Two": 2
        Authorization: "Bearer one"
        X-One: 1
gateway:
  routes:
    - name: b
      path: "/b"
      priority: 0
      backends:
        - {weight: 0, endpoint: 'http://127.0.0.1:9'}
    - path: /a
      enabled: true
      disabled: false
      security: {tls: {}, forwardHostHeaders: true}
      target: http://127.0.0.1:9
      middlewares:
        - h
        - r
      hosts: []
      name: a
  entryPoints: {web: {address: "127.0.0.1:0"}}
"""
NOTHING = "2 routes (+0 -0 ~0), 3 middlewares (+0 -0 ~0)"

goma = Goma(text=FIRST)


def reload(text, wanted, name):
    goma.write(text)
    code, out, err = goma.ctl("reload")
    expect(code == 0 and wanted in out, name, out + err)


reload(FIRST, NOTHING, "the same text changes nothing")
reload(SAME, NOTHING, "nor do order, comments, quotes, spellings and defaults written out")
reload(SAME.replace("Bearer one", "Bearer two"), "2 routes (+0 -0 ~0), 3 middlewares (+0 -0 ~1)", "a secret that is another one changes its middleware")
reload(SAME.replace("purgeToken: 'one'", "purgeToken: two"), "3 middlewares (+0 -0 ~2)", "each is compared with what served")
reload(SAME.replace("purgeToken: 'one'", "purgeToken: two").replace("banAfter: 0", "banAfter: 3"), "3 middlewares (+0 -0 ~1)", "a key of a rule changes its middleware")
reload(FIRST, "3 middlewares (+0 -0 ~2)", "back again")
reload(FIRST.replace("path: /b", "path: /B"), "2 routes (+0 -0 ~1), 3 middlewares (+0 -0 ~0)", "a route that serves another path is changed")
reload(FIRST.replace("name: b", "name: d").replace("[h, r]", "[r, h]"), "2 routes (+1 -1 ~1), 3 middlewares (+0 -0 ~0)", "new, gone and changed by the order of its middlewares")
reload(FIRST.replace("{name: c, type: httpCache", "{name: d, type: httpCache"), "2 routes (+1 -1 ~1), 3 middlewares (+1 -1 ~0)", "middlewares that are new and gone")
goma.write(FIRST)
answer = goma.ctl_json("reload")
same((answer["routes"], answer["added"], answer["changed"], answer["middlewares"]), (2, 0, 0, {"count": 3, "added": 1, "removed": 1, "changed": 0}), "programs hear it too")
expect("reloaded: generation" in goma.status()["last_reload"]["text"] and "middlewares (+1 -1 ~0)" in goma.status()["last_reload"]["text"], "so does the status")
