// SPDX-License-Identifier: Apache-2.0
//
// What is counted, under which names: Goma's of goma-config 14.1, and ours.
#include "http/route_metrics.h"


#include <memory>
#include <span>
#include <vector>

#include "core/metric.h"
#include "core/slab.h"
#include "http/exchange.h"

#include "check.h"

using goma::core::Metrics;
using goma::core::Slab;
using goma::http::Method;

namespace {

struct Bench {
  Slab slab = std::move(Slab::create().value());
  std::unique_ptr<Metrics> metrics = std::move(Metrics::open(slab).value());
  goma::http::ServerMetrics server{*metrics};

  Bench() { CHECK(metrics->acquire_stripe().ok()); }
  int64_t value(std::string_view family, std::string_view labels = {}) const { return metrics->value(family, labels); }
  // The buckets, the rest and the sum of a histogram; empty when there is no such series.
  std::vector<uint64_t> histogram(std::string_view family, std::string_view labels) const {
    std::vector<uint64_t> found;
    metrics->visit([&](const Metrics::Family& f, std::string_view l, std::span<const uint64_t> values) {
      if (f.name == family && l == labels) found.assign(values.begin(), values.end());
    });
    return found;
  }
  size_t series() const { return metrics->series(); }
};

void a_route_counts_by_method_and_status() {
  Bench b;
  goma::http::RouteMetrics route(*b.metrics, "orders");
  route.record(Method::get, 200, 7'000, 6'000, 0, 100);
  route.record(Method::get, 200, 60'000'000, -1, 0, 10);
  route.record(Method::get, 404, 1'000, 1'000, 0, 1);
  route.record(Method::other, 502, -3, -1, 50, 2);
  CHECK_EQ(b.value("gateway_requests_total", "name=\"orders\",method=\"GET\""), 3);
  CHECK_EQ(b.value("gateway_requests_total", "name=\"orders\",method=\"OTHER\""), 1);
  CHECK_EQ(b.value("gateway_response_status_total", "status=\"200\",name=\"orders\",method=\"GET\""), 2);
  CHECK_EQ(b.value("gateway_response_status_total", "status=\"404\",name=\"orders\",method=\"GET\""), 1);
  CHECK_EQ(b.value("gateway_response_status_total", "status=\"502\",name=\"orders\",method=\"OTHER\""), 1);
  CHECK_EQ(b.value("gateway_request_bytes_total", "name=\"orders\",method=\"OTHER\""), 50);
  CHECK_EQ(b.value("gateway_response_bytes_total", "name=\"orders\",method=\"GET\""), 111);
  const std::vector<uint64_t> took = b.histogram("gateway_request_duration_seconds", "name=\"orders\",method=\"GET\"");
  CHECK(took == std::vector<uint64_t>({1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 60'008'000}));
  const std::vector<uint64_t> upstream = b.histogram("gateway_upstream_duration_seconds", "name=\"orders\"");
  CHECK(upstream == std::vector<uint64_t>({1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7'000}));
}

void a_route_that_serves_nothing_takes_no_room() {
  Bench b;
  const size_t before = b.series();
  goma::http::RouteMetrics quiet(*b.metrics, "quiet");
  CHECK_EQ(b.series(), before);
}

void a_second_life_finds_the_same_series() {
  Bench b;
  { goma::http::RouteMetrics(*b.metrics, "a\"b").record(Method::get, 200, 1, 1, 0, 0); }
  const size_t before = b.series();
  goma::http::RouteMetrics again(*b.metrics, "a\"b");
  again.record(Method::get, 200, 1, 1, 0, 0);
  CHECK_EQ(b.series(), before);
  CHECK_EQ(b.value("gateway_requests_total", "name=\"a\\\"b\",method=\"GET\""), 2);
}

void a_backend_counts() {
  Bench b;
  goma::http::PeerMetrics peer(*b.metrics, "127.0.0.1:9000");
  peer.opened();
  peer.failed(goma::http::Failure::Kind::connect);
  peer.failed(goma::http::Failure::Kind::connect);
  peer.ejected();
  peer.levels(5, 3, 2, 1);
  const std::string_view backend = "backend=\"127.0.0.1:9000\"";
  CHECK_EQ(b.value("goma_backend_connections_opened_total", backend), 1);
  CHECK_EQ(b.value("goma_backend_errors_total", "backend=\"127.0.0.1:9000\",reason=\"connect\""), 2);
  CHECK_EQ(b.value("gateway_backend_ejections_total", backend), 1);
  CHECK_EQ(b.value("goma_backend_connections", backend), 5);
  CHECK_EQ(b.value("goma_backend_connections_idle", backend), 3);
  CHECK_EQ(b.value("goma_backend_queue_length", backend), 2);
  CHECK_EQ(b.value("goma_backend_addresses_stale", backend), 1);
}

void a_worker_counts() {
  Bench b;
  b.server.accepted();
  b.server.accepted();
  b.server.closed();
  b.server.refused(goma::http::Refusal::descriptors);
  b.server.exchange(static_cast<size_t>(goma::http::Ending::no_route));
  b.server.parse_error("both-lengths");
  b.server.parse_error("both-lengths");
  b.server.tunnel_opened();
  b.server.tunnel_closed();
  b.server.tunnel_opened();
  b.server.sent(7);
  CHECK_EQ(b.value("goma_connections_accepted_total"), 2);
  CHECK_EQ(b.value("goma_connections_active"), 1);
  CHECK_EQ(b.value("goma_connections_refused_total", "reason=\"descriptors\""), 1);
  CHECK_EQ(b.value("goma_requests_total", fmt::format("end=\"{}\"", goma::http::ending_name(goma::http::Ending::no_route))), 1);
  CHECK_EQ(b.value("goma_parse_errors_total", "reason=\"both-lengths\""), 2);
  CHECK_EQ(b.value("goma_tunnels_opened_total"), 2);
  CHECK_EQ(b.value("goma_tunnels_active"), 1);
  CHECK_EQ(b.value("goma_sent_bytes_total"), 7);
}

void every_family_is_described() {
  Bench b;
  goma::http::RouteMetrics route(*b.metrics, "r");
  route.record(Method::get, 200, 1, 1, 0, 0);
  goma::http::PeerMetrics peer(*b.metrics, "p");
  peer.failed(goma::http::Failure::Kind::tls);
  b.server.parse_error("x");
  size_t seen = 0;
  b.metrics->visit([&](const Metrics::Family& family, std::string_view, std::span<const uint64_t>) {
    const std::string name(family.name);
    CHECK_EQ(name + (family.help.empty() ? " has no help" : ""), name);
    CHECK_EQ(name + (family.kind == Metrics::Kind::counter ? "" : " no counter"), name + (name.ends_with("_total") ? "" : " no counter"));
    ++seen;
  });
  CHECK(seen > 30);
}

}  // namespace

GOMA_TESTS(a_route_counts_by_method_and_status, a_route_that_serves_nothing_takes_no_room, a_second_life_finds_the_same_series, a_backend_counts,
           a_worker_counts, every_family_is_described)
