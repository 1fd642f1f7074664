# SPDX-License-Identifier: Apache-2.0
"""RFC 9111 as rows: what a backend answers, what is asked next, and how the cache meets that.

    rows = Rows()
    rows.check("5.2.2.1 max-age", {"Cache-Control": "max-age=60"}, "stored")

Every row is played with `httpCache: {}` and with a lifetime that is bounded, on a path of its own. A second request is met
"stored": the backend is not asked, "validated": asked with a condition, "asked": asked for all of it, "504". Time is told by
Age and Date, so that nobody has to wait.
"""
from .cache import Pages, http_date, page
from .goma import Goma, Reply, middleware, route, same

CONFIGURATIONS = {"default": {}, "bounded": {"ttlPolicy": "rfc", "maxTtl": 10 ** 8, "memoryLimit": "16Mi"}}
DAY = 86400


def lines(fields):
    return [(n, v) for n, values in fields.items() for v in (values if isinstance(values, list) else [values]) if v is not None]


def dated(fields):
    return lines({"Date": http_date(), **fields})


def text_of(status):
    return b"" if status in (204, 205, 304) else b"body"


class Rows:
    def __init__(self, **options):
        self.pages, self.number = Pages(), 0
        routes = [route(f"/{name}", self.pages.origin, name=name, middlewares=[name]) for name in CONFIGURATIONS]
        self.goma = Goma(routes, [middleware(name, "httpCache", rule, paths=["/"]) for name, rule in CONFIGURATIONS.items()], **options)

    def paths(self):
        """A fresh path in each configuration, with the configuration's name."""
        self.number += 1
        return [(name, f"/{name}/{self.number}") for name in CONFIGURATIONS]

    def met(self, path, fields=None, method="GET"):
        before = self.pages.count(path)
        answer = self.goma.request(method, path, fields or {})
        if self.pages.count(path) == before:
            return ("504" if answer.status == 504 and answer["Age"] is None else "stored"), answer
        last = self.pages.last(path)
        return ("validated" if last["If-None-Match"] or last["If-Modified-Since"] else "asked"), answer

    def check(self, name, fields, want, asked=None, first=None, status=200):
        """One response of that status and fields to `first`, then a request with `asked`."""
        for configuration, path in self.paths():
            reply = Reply(status, dated(fields), text_of(status))
            again = lambda r, f=fields: Reply(304, dated({"ETag": f.get("ETag")})) if r["If-None-Match"] or r["If-Modified-Since"] else page("new", Cache_Control="no-store")
            self.pages.answer(path, reply, again)
            self.goma.get(path, first or {})
            got, answer = self.met(path, asked)
            same((got, answer.body if got in ("stored", "validated") and answer.status == status else None), (want, text_of(status) if want in ("stored", "validated") and answer.status == status else None),
                 f"{name}: {want} ({configuration})")

    def play(self, name, answers, *steps):
        """Steps are (fields, want[, method]) after the first GET; want may be (want, status, body or fields to be found)."""
        for configuration, path in self.paths():
            self.pages.answer(path, *answers)
            got, wanted = [], []
            for fields, want, *method in steps:
                way, answer = self.met(path, fields, *method)
                want = want if isinstance(want, tuple) else (want,)
                found = [way] + [answer.status if isinstance(w, int) else answer.text if isinstance(w, str) else {n: answer[n] for n in w} for w in want[1:]]
                got.append(tuple(found))
                wanted.append(want)
            same(got, wanted, f"{name} ({configuration})")
