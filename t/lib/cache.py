# SPDX-License-Identifier: Apache-2.0
"""A backend for plays about the response cache: every path has answers of its own, and remembers who asked."""
import email.utils
import threading
import time

from .goma import Origin, Reply, middleware, route


def http_date(offset=0):
    return email.utils.formatdate(time.time() + offset, usegmt=True)


class Pages:
    """answer(path, first, second, ...): what a path answers, in turn; the last stays. Each is a Reply, bytes, None (close)
    or a function of the request. Others get "page N", N counting requests for that path."""

    def __init__(self):
        self.lock = threading.Lock()
        self.answers, self.asked = {}, {}
        self.origin = Origin(self.handle)

    def answer(self, path, *answers):
        with self.lock:
            self.answers[path], self.asked[path] = list(answers), []

    def handle(self, request):
        path = request.target.partition("?")[0]
        with self.lock:
            asked = self.asked.setdefault(path, [])
            asked.append(request)
            number = len(asked)
            answers = self.answers.get(path)
            answer = answers[min(number, len(answers)) - 1] if answers else None
        if not answers:
            return page(f"page {number}")
        return answer(request) if callable(answer) else answer

    def count(self, path):
        with self.lock:
            return len(self.asked.get(path, []))

    def last(self, path):
        with self.lock:
            return self.asked[path][-1]


def page(body="page", status=200, **fields):
    """A Reply with Date; max_age="60" is Cache-Control: max-age=60, other fields with - for _."""
    headers = [("Date", http_date())] if "Date" not in fields else []
    for name, value in fields.items():
        headers += [(name.replace("_", "-"), value)] if not isinstance(value, list) else [(name.replace("_", "-"), v) for v in value]
    return Reply(status, headers, body)


def cache(name="cache", paths=("/",), **rule):
    """As in a Goma file: what says nothing is fresh for maxTtl, 300 s, unless a ttlPolicy is given."""
    if "ttlPolicy" not in rule:
        rule.setdefault("maxTtl", 300)
    return middleware(name, "httpCache", rule, paths=list(paths))


def status(response):
    return response["X-Cache-Status"]
