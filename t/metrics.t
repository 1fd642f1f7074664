#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""/metrics: Goma's names, labels and buckets, exact over all workers, never stepping back; promtool has nothing to say."""
import shutil
import subprocess
from lib.goma import *

origin = Origin(lambda r: Reply(503 if r.target == "/shop/bad" else 200, body="x" * 100))
ROUTES = [route("/shop", origin, "shop"), route("/quiet", origin, "quiet", disableMetrics=True), route("/odd", origin, 'od"d\\ é'),
          route("/off", origin, "off", enabled=False)]
ADDED = [middleware("gen", "requestHeaders", {"setHeaders": {"X-Gen": "1"}})]
SETTINGS = {"monitoring": {"enableMetrics": True}, "log": {"level": "warn"}}
goma = Goma(ROUTES, ADDED, **SETTINGS)
SHOP = '{name="shop",method="GET"}'

reply = goma.get("/metrics")
same((reply.status, reply["content-type"]), (200, "text/plain; version=0.0.4; charset=utf-8"), "/metrics is Prometheus text")
before = goma.metrics()
same((before["gateway_routes_count"], before["gateway_middlewares_count"]), (4, 1), "routes (disabled ones too) and middlewares")
expect("gateway_requests_total" + SHOP not in before, "a route that nobody asked has no series")

for _ in range(60):  # a connection each, so both workers serve
    goma.get("/shop/a")
goma.get("/shop/bad")
goma.request("POST", "/shop/a", body=b"y" * 50)
goma.request("BREW", "/shop/a")
goma.get("/quiet")
goma.get("/odd")
goma.get("/nothing")
now = goma.metrics()
same(now["gateway_requests_total" + SHOP], 61, "every request counted once, over both workers")
same(now['gateway_response_status_total{status="200",name="shop",method="GET"}'], 60, "by status 200")
same(now['gateway_response_status_total{status="503",name="shop",method="GET"}'], 1, "by status 503")
same(now['gateway_requests_total{name="shop",method="OTHER"}'], 1, "unknown methods are one series")
same(now['gateway_request_bytes_total{name="shop",method="POST"}'], 50, "bytes of requests")
same(now["gateway_response_bytes_total" + SHOP], 6100, "bytes of answers")
same(now['gateway_requests_total{name="od\\"d\\\\ é",method="GET"}'], 1, "names are escaped")
expect(not [k for k in now if '"quiet"' in k], "disableMetrics counts nothing")
expect(not [k for k in now if k.startswith("gateway_requests_total") and "goma:" in k], "endpoints are no routes")

LE = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"]
buckets = [now.get(f'gateway_request_duration_seconds_bucket{{name="shop",method="GET",le="{le}"}}', -1) for le in LE]
same(buckets, sorted(buckets), "Goma's buckets, cumulative")
same((buckets[-1], now["gateway_request_duration_seconds_count" + SHOP]), (61, 61), "the last bucket is the count")
expect(0 < now["gateway_request_duration_seconds_sum" + SHOP] < 60 * SLOW, "the sum is in seconds", now["gateway_request_duration_seconds_sum" + SHOP])
same(now['gateway_upstream_duration_seconds_count{name="shop"}'], 63, "upstream durations by route")
same((now['goma_processes{role="master"}'], now['goma_processes{role="worker"}']), (1, 2), "processes by role")
expect(now["process_resident_memory_bytes"] > 1 << 20 and now["process_cpu_seconds_total"] >= 0, "what the processes use")
expect(now['goma_slab_bytes{state="used"}'] > 0, "shared memory")
expect(now["gateway_uptime_seconds"] >= before["gateway_uptime_seconds"], "uptime")

visitors = now["gateway_realtime_visitors_count"]
expect(visitors >= 1, "who was here is a visitor", visitors)
for number in range(30):  # over both workers
    goma.get("/shop/a", {"User-Agent": f"agent {number % 3}"})
    goma.get("/quiet", {"User-Agent": f"quiet {number}"})
    goma.get("/nothing", {"User-Agent": f"lost {number}"})
    goma.get("/readyz", {"User-Agent": f"probe {number}"})
same(goma.metrics()["gateway_realtime_visitors_count"], visitors + 3, "a visitor counts once, over both workers, and only where routes are metered")
same(goma.metrics()["goma_visitors_evicted_total"], 0, "nobody had to give way")

if shutil.which("promtool"):
    checked = subprocess.run(["promtool", "check", "metrics"], input=goma.get("/metrics").text, capture_output=True, text=True, timeout=60)
    findings = [line for line in (checked.stdout + checked.stderr).splitlines() if line and not line.startswith(("gateway_routes_count", "gateway_middlewares_count", "gateway_realtime_visitors_count"))]
    same(findings, [], "promtool finds nothing but Goma's own names")
else:
    skip("promtool check metrics", "no promtool here")

held = [goma.client() for _ in range(6)]
for client in held:
    client.get("/shop/a")
expect(wait_for(lambda: goma.metrics()["goma_connections_active"] >= 7), "open connections are counted")
before = goma.metrics()
counters = {k: v for k, v in before.items() if re.search("_total|_bucket|_count|_sum", k) and not k.startswith(("process_", "gateway_routes", "gateway_middle", "gateway_realtime"))}


def stepped_back():
    after = goma.metrics()
    return {k: (v, after.get(k)) for k, v in counters.items() if after.get(k, -1) < v}


same(goma.reload()[0], 0, "a reload")
same(stepped_back(), {}, "sets no counter back")
same(goma.metrics()["gateway_realtime_visitors_count"], before["gateway_realtime_visitors_count"], "nor visitors")
same(goma.metrics()["goma_config_generation"], before["goma_config_generation"] + 1, "and counts the generation")
same(goma.metrics()["goma_config_last_reload_success"], 1, "which succeeded")
for victim in goma.worker_pids():
    send_signal(victim, signal.SIGKILL)
    expect(wait_for(lambda: victim not in goma.worker_pids() and len(goma.worker_pids()) == 2), "a worker is killed and comes back")
same(stepped_back(), {}, "sets no counter back")
same(goma.metrics()["gateway_realtime_visitors_count"], before["gateway_realtime_visitors_count"], "nor visitors")
expect(wait_for(lambda: goma.metrics()["goma_connections_active"] <= 2), "connections of the dead are not counted", goma.metrics()["goma_connections_active"])
expect(goma.metrics()["gateway_uptime_seconds"] >= before["gateway_uptime_seconds"], "uptime goes on")
expect(sum(v for k, v in goma.metrics().items() if k.startswith("goma_worker_restarts_total")) >= 2, "restarts are counted")
total = goma.metrics()["gateway_requests_total" + SHOP]
for _ in range(10):
    goma.get("/shop/a")
same(goma.metrics()["gateway_requests_total" + SHOP], total + 10, "the new workers go on counting")
goma.write("version: 2\ngateway: [")
expect(goma.reload()[0] != 0, "a refused reload")
same(goma.metrics()["goma_config_last_reload_success"], 0, "is told")
goma.configure(ROUTES[:1], **SETTINGS)
same(goma.reload()[0], 0, "a smaller configuration")
now = goma.metrics()
same((now["gateway_routes_count"], now["gateway_middlewares_count"], now["goma_config_last_reload_success"]), (1, 0, 1), "is counted anew")
goma.baseline = {}
