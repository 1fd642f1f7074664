#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One fetch per key and host: a thousand clients ask for what is not stored, on two workers, and the backend hears one."""
import threading
from lib.goma import *
from lib.cache import *

pages = Pages()
RULES = {"cold": {"coalesce": "60s"}, "short": {"coalesce": "300ms"}, "off": {"coalesce": "0s"}, "stale": {"maxTtl": 1, "staleIfError": "1h", "coalesce": "60s"}}
goma = Goma([route(f"/{name}", pages.origin, name=name, middlewares=[name]) for name in RULES],
            [cache(name, memoryLimit="16Mi", **rule) for name, rule in RULES.items()], monitoring={"enableMetrics": True}, log={"level": "warn"})
go = threading.Event()


def held(answer):
    """Answers when the test says so."""
    def handler(request):
        go.wait(PATIENCE)
        return answer(request) if callable(answer) else answer
    return handler


def crowd(target, n, fields=None, until=None):
    """n clients ask at once; the backend answers when all of them have. What each got."""
    go.clear()
    clients = [goma.client() for _ in range(n)]
    for client in clients:
        client.send(f"GET {target} HTTP/1.1\r\nHost: a.test\r\n" + "".join(f"{k}: {v}\r\n" for k, v in (fields or {}).items()) + "\r\n")
    wait_for(until or (lambda: pages.count(target) >= 1))
    go.set()
    answers = [client.response() for client in clients]
    for client in clients:
        client.close()
    return answers


# --- one for all

pages.answer("/cold/one", held(page("the one", Cache_Control="max-age=60")))
WAITED = 'goma_cache_requests_total{outcome="waited"}'
answers = crowd("/cold/one", 1000, until=lambda: goma.metrics().get(WAITED) == 999)
same({(a.status, a.text) for a in answers}, {(200, "the one")}, "a thousand clients get the response")
same(pages.count("/cold/one"), 1, "the backend was asked once")
same(sorted({status(a) for a in answers}), ["HIT", "MISS"], "one was a miss")
same(sum("collapsed" in a["Cache-Status"] for a in answers), 999, "the others waited for it")

# --- variants of one URL

pages.answer("/cold/vary", held(lambda r: page(r["X-Kind"] or "none", Cache_Control="max-age=60", Vary="X-Kind")))
go.clear()
clients = [goma.client() for _ in range(40)]
for i, client in enumerate(clients):
    client.send(f"GET /cold/vary HTTP/1.1\r\nHost: a.test\r\nX-Kind: k{i % 4}\r\n\r\n")
wait_for(lambda: pages.count("/cold/vary") >= 1)
go.set()
same([c.response().text for c in clients], [f"k{i % 4}" for i in range(40)], "who waited gets its own variant")
same(pages.count("/cold/vary"), 4, "each was fetched once")

# --- what is fetched while it is changed

pages.answer("/cold/change", lambda r: Reply(204) if r.method == "POST" else held(page("old", Cache_Control="max-age=60"))(r) if pages.count("/cold/change") == 1 else page("new", Cache_Control="max-age=60"))
go.clear()
early = goma.client()
early.send("GET /cold/change HTTP/1.1\r\nHost: a.test\r\n\r\n")
wait_for(lambda: pages.count("/cold/change") == 1)
goma.request("POST", "/cold/change", {}, b"x")
go.set()
same((early.response().text, goma.get("/cold/change").text), ("old", "new"), "what was asked for before a change is not stored after it")

# --- what cannot be stored holds nobody up

pages.answer("/cold/private", held(page("mine", Cache_Control="private")))
answers = crowd("/cold/private", 60)
same(({a.text for a in answers}, pages.count("/cold/private")), ({"mine"}, 60), "what is private goes to each from the backend")
pages.answer("/cold/private2", lambda r: page("x", Cache_Control="private"))
goma.get("/cold/private2")

# --- the backend fails

pages.answer("/cold/dead", held(None))
answers = crowd("/cold/dead", 200)
same({a.status for a in answers}, {502}, "an error of the backend is the answer to all who waited")
asked = pages.count("/cold/dead")
expect(asked <= 8, "who waited did not ask again", asked)

pages.answer("/stale/dead", page("old", Cache_Control="max-age=1"), held(None))
goma.get("/stale/dead")
wait_for(lambda: status(goma.get("/stale/dead", {"Cache-Control": "only-if-cached"})) != "HIT")
answers = crowd("/stale/dead", 100)
same({(a.status, a.text, status(a)) for a in answers}, {(200, "old", "STALE")}, "or what is stale, where that may stand in")

# --- whoever waits too long goes on its own

pages.answer("/short/slow", held(page("slow", Cache_Control="max-age=60")))
answers = crowd("/short/slow", 10, until=lambda: pages.count("/short/slow") == 10)
same({a.text for a in answers}, {"slow"}, "who has waited long enough asks for itself")
pages.answer("/off/x", held(page("x", Cache_Control="max-age=60")))
crowd("/off/x", 10, until=lambda: pages.count("/off/x") == 10)
same(pages.count("/off/x"), 10, "coalesce: 0s: nobody waits")

# --- the one that fetches leaves; its worker dies

pages.answer("/cold/left", held(page("whole", Cache_Control="max-age=60")))
go.clear()
leader = goma.client()
leader.send("GET /cold/left HTTP/1.1\r\nHost: a.test\r\n\r\n")
wait_for(lambda: pages.count("/cold/left") == 1)
follower = goma.client()
follower.send("GET /cold/left HTTP/1.1\r\nHost: a.test\r\n\r\n")
leader.close()
wait_for(lambda: pages.count("/cold/left") == 2)
go.set()
same(follower.response().text, "whole", "when the client that fetches leaves, the next one fetches")

pages.answer("/cold/killed", held(page("alive", Cache_Control="max-age=60")))
go.clear()
clients = [goma.client() for _ in range(20)]
for client in clients:
    client.send("GET /cold/killed HTTP/1.1\r\nHost: a.test\r\n\r\n")
wait_for(lambda: pages.count("/cold/killed") == 1)
for pid in goma.worker_pids()[:1]:
    os.kill(pid, signal.SIGKILL)
goma.baseline = {}
wait_for(lambda: len(goma.worker_pids()) == 2 and all(alive(p) for p in goma.worker_pids()))
go.set()
texts = []
for client in clients:
    try:
        texts.append(client.response().text)
    except (OSError, Closed, Timeout):
        pass
expect(texts and set(texts) == {"alive"}, "a killed worker leaves no lease behind", texts)
expect(wait_for(lambda: status(goma.get("/cold/killed")) == "HIT"), "and the response is stored")


def in_halves(request):
    request.connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nCache-Control: max-age=60\r\n\r\n" + b"1" * 50000)
    go.wait(PATIENCE)
    request.connection.send(b"2" * 50000)
    request.connection.close()


pages.answer("/cold/half", in_halves, page("whole", Cache_Control="max-age=60"))
go.clear()
client = goma.client()
client.send("GET /cold/half HTTP/1.1\r\nHost: a.test\r\n\r\n")
client.until(b"\r\n\r\n")
before = goma.worker_pids()
for pid in before:
    os.kill(pid, signal.SIGKILL)
go.set()
expect(wait_for(lambda: len(goma.worker_pids()) == 2 and not set(goma.worker_pids()) & set(before) and all(alive(p) for p in goma.worker_pids())), "workers die while they fill")
same({goma.get("/cold/half").text for _ in range(5)}, {"whole"}, "and half a body is not served")
