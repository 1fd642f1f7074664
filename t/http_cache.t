#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The response cache: what is served from it, what it says, what its keys mean, and that a reload keeps it."""
from lib.goma import *
from lib.cache import *

pages = Pages()
RULES = {"all": {}, "quiet": {"disableCacheStatusHeader": True}, "params": {"includeQueryInKey": True, "queryParamsToCache": ["lang", "page"]},
         "noquery": {"includeQueryInKey": False}, "over": {"ttlPolicy": "override", "maxTtl": 77}, "only": {"cacheableStatusCodes": [203, 302]},
         "except": {"excludedResponseCodes": ["203", "300-399"]}, "private": {"cachePrivateResponses": True}, "vary": {"ignoreVary": ["User-Agent"]},
         "small": {"maxEntrySize": "1Ki"}}
caches = [cache(name, memoryLimit="16Mi", **rule) for name, rule in RULES.items()] + [
    cache("books", ["^/books/[0-9]+$"], maxTtl=120, memoryLimit="8Mi", includeQueryInKey=True, queryParamsToCache=["lang"],
          excludedResponseCodes=["404", "500-599"], ignoreVary=["User-Agent"]),
    {"name": "nowhere", "type": "httpCache"}, cache("narrow", ["^/narrow/[0-9]+$"]), middleware("prefix", "addPrefix", {"prefix": "/base"}),
    middleware("token", "requestHeaders", {"setHeaders": {"Authorization": "Bearer gateway"}})]
routes = [route(f"/{name}", pages.origin, name=name, middlewares=[name]) for name in RULES] + [
    route("/books", pages.origin, name="books", middlewares=["books"]), route("/nowhere", pages.origin, name="nowhere", middlewares=["nowhere"]), route("/narrow", pages.origin, name="narrow", middlewares=["narrow"]),
    route("/token", pages.origin, name="token", middlewares=["private", "token"]), route("/outer", pages.origin, name="outer", middlewares=["prefix", "all"]), route("/twin", pages.origin, name="twin", middlewares=["all"])]
SETTING = {"monitoring": {"enableMetrics": True}, "log": {"level": "info"}}
goma = Goma(routes, caches, entryPoints={"web": {"address": "127.0.0.1:0", "h2c": True}}, **SETTING)


def words(response):
    return [response[n] for n in ("X-Goma-Cache", "X-Cache-Status", "Cache-Status")]


def statuses(*targets, **fields):
    return [status(goma.get(t, {k.replace("_", "-"): v for k, v in fields.items()})) for t in targets]


# --- a hit

pages.answer("/all/a", page("hello" * 100, Content_Type="text/x", X_One=["1", "2"], Cache_Control="max-age=60", Server="secret"))
first, second = goma.get("/all/a"), goma.get("/all/a")
same((first.status, words(first)), (200, ["MISS", "MISS", "goma; fwd=uri-miss; stored"]), "the first request is a miss, and says so")
same((second.status, second.text), (200, "hello" * 100), "the second is answered from the store")
same(words(second)[:2], ["HIT", "HIT"], "and says so")
expect(second["Cache-Status"].startswith("goma; hit; ttl="), "in the words of RFC 9211, too", second["Cache-Status"])
same(pages.count("/all/a"), 1, "the backend was asked once")
same([second["Content-Type"], second.headers.all("X-One"), second["Cache-Control"], second["Date"], second["Server"]],
     ["text/x", ["1", "2"], "max-age=60", first["Date"], None], "all fields of the response come again")
same([int(second["Age"]) <= 60, second["X-Goma-Cache-Max-Age"], second["Content-Length"]], [True, "60", "500"], "with its age and length")
same([second["Proxied-By"], first["X-Goma-Request-ID"] != second["X-Goma-Request-ID"]], ["Goma Gateway", True], "the request id is this request's")
expect(goma.told("url=/all/a .*cache=MISS") and goma.told("url=/all/a .*cache=HIT"), "the access log tells")
metrics = goma.metrics()
same([metrics[f'goma_cache_requests_total{{outcome="{o}"}}'] for o in ("hit", "miss")] + [metrics["goma_cache_stored_total"], metrics["goma_cache_stored_bytes_total"]], [1, 1, 1, 500], "metrics count it")
same([None, [c := goma.client(), c.send("GET /all/a HTTP/1.0\r\nHost: a.test\r\n\r\n"), c.response()][2].text][1][:5], "hello", "HTTP/1.0 is served from it")

# --- bodies of all sizes, as they are

for name, body in (("empty", b""), ("one", b"x"), ("big", bytes(range(256)) * 3000)):
    pages.answer(f"/all/{name}", Reply(200, [], body))
    pages.answer(f"/all/{name}-chunked", Reply(200, [], chunks=[body[i:i + 5000] for i in range(0, len(body), 5000)]))
    for path in (f"/all/{name}", f"/all/{name}-chunked"):
        goma.get(path)
        answer = goma.get(path)
        same((status(answer), answer.body == body, answer["Content-Length"]), ("HIT", True, str(len(body))), f"{path} comes back as it was")
slow = goma.client()
slow.send("GET /all/big HTTP/1.1\r\nHost: a.test\r\n\r\n" * 20)
same([len(slow.response().body) for _ in range(20)], [768000] * 20, "pipelined and slowly read, too")

url = f"http://{goma.address[0]}:{goma.address[1]}/all/big"
run = subprocess.run(["curl", "-s", "--http2-prior-knowledge", "-H", "Host: a.test", "--limit-rate", "4M", "-D", goma.path("head"), url], timeout=PATIENCE, check=False, capture_output=True)
same((run.returncode, run.stdout == body, "x-cache-status: HIT" in read(goma.path("head"))), (0, True, True), "over HTTP/2, too")
half = goma.client()
half.send("GET /all/big HTTP/1.1\r\nHost: a.test\r\n\r\n")
half.until(b"\r\n\r\n")
half.close()
same(len(goma.get("/all/big").body), 768000, "a client that leaves in the middle takes nothing with it")

# --- keys

same(statuses("/all/q?a=1", "/all/q?a=2", "/all/q", "/all/q?", "/all/q?a=1", "/all/q?a=2", "/all/q"), ["MISS"] * 4 + ["HIT"] * 3, "the query makes a difference")
same(statuses("/params/q?lang=de&x=1", "/params/q?x=2&lang=de", "/params/q?lang=en", "/params/q?page=1&lang=de", "/params/q?lang=de&page=1"), ["MISS", "HIT", "MISS", "MISS", "HIT"], "queryParamsToCache: only these do")
same(statuses("/noquery/q?a=1", "/noquery/q?a=2"), ["MISS", "HIT"], "includeQueryInKey: false: it makes none")
same(statuses("/all/host", "/all/host", Host="b.test") + statuses("/all/host", Host="c.test") + statuses("/all/host", Host="B.TEST:80"), ["MISS", "HIT", "MISS", "HIT"], "the host does, in its plain form")
same(statuses("/all//x/../y", "/all/y", "/all/%79"), ["MISS", "HIT", "MISS"], "the path does as it goes to the backend")
same(statuses("/twin/t", "/all/t", "/twin/t"), ["MISS", "MISS", "HIT"], "each route has its own")
same(statuses("/outer/a", "/outer/a") + [pages.count("/base/outer/a")], ["MISS", "HIT", 1], "what earlier middlewares changed counts")

# --- Goma's own example (goma-config 24.9)

same(statuses("/books/1", "/books/1", "/books/1?lang=de", "/books/1?lang=de&x=1", "/books/x", "/books/x"), ["MISS", "HIT", "MISS", "HIT", None, None], "Goma's example does what it did")
pages.answer("/books/404", page(status=404))
pages.answer("/books/301", page(status=301, Location="/x"))
same(statuses("/books/404", "/books/404", "/books/301", "/books/301"), ["MISS", "MISS", "MISS", "HIT"], "only what it excludes is excluded")

# --- statuses

for rule, code, want in (("all", 200, "HIT"), ("all", 203, "HIT"), ("all", 302, "MISS"), ("all", 404, "MISS"), ("only", 203, "HIT"), ("only", 302, "HIT"), ("only", 200, "MISS"),
                         ("all", 799, "MISS"), ("except", 200, "HIT"), ("except", 203, "MISS"), ("except", 302, "MISS")):
    pages.answer(f"/{rule}/{code}", page(status=code))
    goma.get(f"/{rule}/{code}")
    answer = goma.get(f"/{rule}/{code}")
    same((answer.status, status(answer)), (code, want), f"{rule}: {code}: {want}")

# --- what is said

same(statuses("/nowhere/x", "/nowhere/x"), [None, None], "without paths nothing is cached, and nothing said")
same(statuses("/narrow/12", "/narrow/12", "/narrow/x", "/narrow/x"), ["MISS", "HIT", None, None], "with paths, these are")
goma.get("/quiet/x")
quiet = goma.get("/quiet/x")
same(words(quiet) + [quiet["X-Goma-Cache-Max-Age"]], ["HIT", None, None, "300"], "disableCacheStatusHeader: only Goma's own")
bypass = goma.get("/all/a", {"Cookie": "a=b"})
same(words(bypass) + [bypass["X-Goma-Cache-Reason"], bypass["X-Goma-Cache-Max-Age"]], ["BYPASS", "BYPASS", "goma; fwd=bypass", "credentials", None], "a request that went past it is told why")
pages.answer("/over/x", page(Cache_Control="max-age=1, s-maxage=1", Expires="0"))
goma.get("/over/x")
over = goma.get("/over/x")
same((status(over), over["Cache-Control"], over["X-Goma-Cache-Max-Age"]), ("HIT", "public, max-age=77", "77"), "ttlPolicy: override gives its own time, and says so")
pages.answer("/all/liar", page(X_Cache_Status="HIT", X_Goma_Cache="HIT", Age="3", Cache_Control="max-age=60", Cache_Status="other; hit"))
same([goma.get("/all/liar").headers.all("X-Cache-Status"), goma.get("/all/liar").headers.all("X-Cache-Status")], [["MISS"], ["HIT"]], "what a backend says of a cache is not ours")
liar = goma.get("/all/liar")
expect(3 <= int(liar["Age"]) < 60 and len(liar.headers.all("Age")) == 1 and liar.headers.all("Cache-Status")[0] == "other; hit", "ages add up", liar.headers)

# --- for each client's own

own = [goma.get("/private/x", f) for f in ({"Cookie": "u=1"}, {"Cookie": "u=2"}, {"Cookie": "u=1"}, {}, {"Authorization": "Basic a"}, {"Authorization": "Basic a"})]
same([status(r) for r in own], ["MISS", "MISS", "HIT", "MISS", "MISS", "HIT"], "cachePrivateResponses: credentials are part of the key")
pages.answer("/private/p", page(Cache_Control="private, max-age=60"))
same([status(goma.get("/private/p", f)) for f in ({"Cookie": "u=1"}, {"Cookie": "u=1"}, {}, {})], ["MISS", "HIT", "MISS", "MISS"], "what is private is kept for those with credentials")

pages.answer("/token/p", page(Cache_Control="private, max-age=60"))
same(statuses("/token/p", "/token/p"), ["MISS", "MISS"], "credentials that the gateway adds are nobody's own")

# --- Vary, sizes

pages.answer("/vary/x", page(Vary="User-Agent, X-A"))
same([status(goma.get("/vary/x", f)) for f in ({"User-Agent": "1"}, {"User-Agent": "2"}, {"X-A": "1"})], ["MISS", "HIT", "MISS"], "ignoreVary: a field that makes no difference")
pages.answer("/small/x", Reply(200, [], b"x" * 1025))
pages.answer("/small/chunked", Reply(200, [], chunks=[b"x" * 1000, b"y" * 1000]))
pages.answer("/small/fits", Reply(200, [], b"x" * 1024))
same(statuses("/small/x", "/small/x", "/small/chunked", "/small/chunked", "/small/fits", "/small/fits"), ["MISS"] * 5 + ["HIT"], "maxEntrySize: larger bodies are not stored")
same(goma.get("/small/chunked").body, b"x" * 1000 + b"y" * 1000, "but passed on whole")

# --- a reload keeps it

same(goma.reload()[0], 0, "the configuration is read again")
same(statuses("/all/a", "/params/q?lang=de&x=3"), ["HIT", "HIT"], "what was stored is still there")
same(pages.count("/all/a"), 2, "the backend was not asked again")  # once by the request with a cookie
metrics = goma.metrics()
expect(metrics["goma_cache_entries"] > 20 and metrics['goma_cache_bytes{state="room"}'] > metrics['goma_cache_bytes{state="entries"}'] > 768000, "metrics tell how full the store is")
goma.configure(routes, [{**c, "rule": {**c.get("rule", {}), **({"memoryLimit": "1Gi"} if c["name"] == "all" else {})}} for c in caches], entryPoints={"web": {"address": "127.0.0.1:0", "h2c": True}}, **SETTING)
same((goma.reload()[0], status(goma.get("/all/a"))), (0, "HIT"), "a reload that asks for a larger store goes on with the one there is")
expect(goma.told("the store for responses keeps its size until the next start"), "and the log tells")
os.kill(goma.worker_pids()[0], signal.SIGKILL)
goma.baseline = {}
expect(wait_for(lambda: len(goma.worker_pids()) == 2 and all(alive(p) for p in goma.worker_pids())), "a worker dies")
same({status(goma.get("/all/a")) for _ in range(20)}, {"HIT"}, "and what it stored is still there")
same(goma.ctl("upgrade", timeout=6 * PATIENCE)[0], 0, "the binary is replaced")
same({status(goma.get("/all/a")) for _ in range(5)}, {"HIT"}, "and it is still there")
