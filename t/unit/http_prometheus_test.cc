// SPDX-License-Identifier: Apache-2.0
//
// The text that Prometheus reads: families together, buckets cumulative, nothing that a name can break.
#include "http/prometheus.h"

#include <unistd.h>

#include <cstdio>
#include <map>
#include <set>

#include "core/metric.h"
#include "core/slab.h"
#include "core/text.h"

#include "check.h"

using goma::core::Metrics;
using goma::core::metric_labels;
using goma::core::ProcessTable;
using goma::core::Slab;
using goma::http::render_prometheus;
using goma::http::Scrape;
using Kind = goma::core::Metrics::Kind;

namespace {

constexpr uint64_t bounds[] = {5'000, 1'000'000, 2'500'000};

struct Bench {
  Bench() : slab(std::move(Slab::create().value())), metrics(std::move(Metrics::open(slab).value())), table(ProcessTable::open(slab).value()) {
    CHECK(metrics->acquire_stripe().ok());
    CHECK(table.enter(ProcessTable::Role::master, -1, 1'000'000));
  }
  ~Bench() { table.leave(::getpid()); }
  std::string page() {
    return render_prometheus({.metrics = *metrics,
                              .slab = slab,
                              .version = "1.2.3",
                              .generation = 4,
                              .routes = 5,
                              .middlewares = 6,
                              .now_ms = 1'090'500,
                              .visitors = 7,
                              .visitors_evicted = 8});
  }
  Slab slab;
  std::unique_ptr<Metrics> metrics;
  ProcessTable table;
};

bool has_line(const std::string& page, std::string_view line) {
  for (const std::string_view one : goma::core::split(page, '\n')) {
    if (one == line) return true;
  }
  return false;
}

void counters_and_gauges() {
  Bench b;
  b.metrics->describe("gateway_requests_total", Kind::counter, "Requests.");
  b.metrics->add(b.metrics->counter("gateway_requests_total", metric_labels({{"name", "a\"b"}, {"method", "GET"}})), 3);
  b.metrics->set(b.metrics->gauge("goma_level"), -2);
  const std::string page = b.page();
  CHECK(has_line(page, "# HELP gateway_requests_total Requests."));
  CHECK(has_line(page, "# TYPE gateway_requests_total counter"));
  CHECK(has_line(page, "gateway_requests_total{name=\"a\\\"b\",method=\"GET\"} 3"));
  CHECK(has_line(page, "# TYPE goma_level gauge"));
  CHECK(has_line(page, "goma_level -2"));
}

void buckets_are_cumulative_and_seconds() {
  Bench b;
  b.metrics->describe("d_seconds", Kind::histogram, "D.", bounds);
  const Metrics::Histogram h = b.metrics->histogram("d_seconds", "name=\"a\"");
  for (const uint64_t us : {1'000u, 500'000u, 9'000'000u}) b.metrics->observe(h, us);
  const std::string page = b.page();
  CHECK(has_line(page, "# TYPE d_seconds histogram"));
  CHECK(has_line(page, "d_seconds_bucket{name=\"a\",le=\"0.005\"} 1"));
  CHECK(has_line(page, "d_seconds_bucket{name=\"a\",le=\"1\"} 2"));
  CHECK(has_line(page, "d_seconds_bucket{name=\"a\",le=\"2.5\"} 2"));
  CHECK(has_line(page, "d_seconds_bucket{name=\"a\",le=\"+Inf\"} 3"));
  CHECK(has_line(page, "d_seconds_sum{name=\"a\"} 9.501000"));
  CHECK(has_line(page, "d_seconds_count{name=\"a\"} 3"));
  b.metrics->observe(b.metrics->histogram("d_seconds"), 1);
  CHECK(has_line(b.page(), "d_seconds_bucket{le=\"+Inf\"} 1"));
}

void families_stay_together() {
  Bench b;
  for (int i = 0; i < 3; ++i) {
    b.metrics->counter("one_total", metric_labels({{"n", std::to_string(i)}}));
    b.metrics->counter("two_total", metric_labels({{"n", std::to_string(i)}}));
  }
  std::set<std::string> seen;
  std::string current;
  const std::string page = b.page();
  for (const std::string_view line : goma::core::split(page, '\n')) {
    if (line.substr(0, 7) != "# TYPE ") continue;
    CHECK(seen.insert(std::string(line)).second);
  }
  CHECK(page.find("one_total{n=\"2\"} 0\n# TYPE two_total") != std::string::npos);
}

void what_is_known_only_now() {
  Bench b;
  const std::string page = b.page();
  CHECK(has_line(page, "gateway_uptime_seconds 90.5"));
  CHECK(has_line(page, "gateway_routes_count 5"));
  CHECK(has_line(page, "gateway_middlewares_count 6"));
  CHECK(has_line(page, "gateway_realtime_visitors_count 7"));
  CHECK(has_line(page, "goma_visitors_evicted_total 8"));
  CHECK(has_line(page, "goma_build_info{version=\"1.2.3\"} 1"));
  CHECK(has_line(page, "goma_config_generation 4"));
  CHECK(has_line(page, "goma_processes{role=\"master\"} 1"));
  CHECK(has_line(page, "process_start_time_seconds 1000"));
  CHECK(page.find("process_resident_memory_bytes 0\n") == std::string::npos);
  CHECK(page.find("process_open_fds 0\n") == std::string::npos);
}

void promtool_finds_nothing() {
  if (std::system("command -v promtool > /dev/null 2>&1") != 0) return;
  Bench b;
  b.metrics->describe("goma_things_total", Kind::counter, "Things with \\ and\nlines.");
  b.metrics->add(b.metrics->counter("goma_things_total", metric_labels({{"name", "\xff\n\"\\"}})));
  b.metrics->describe("gateway_request_duration_seconds", Kind::histogram, "Durations.", bounds);
  b.metrics->observe(b.metrics->histogram("gateway_request_duration_seconds", "name=\"x\""), 3);
  FILE* pipe = ::popen("promtool check metrics 2>&1 | grep -v -e gateway_routes_count -e gateway_middlewares_count -e gateway_realtime_visitors_count", "w");
  CHECK(pipe != nullptr);
  const std::string page = b.page();
  CHECK_EQ(std::fwrite(page.data(), 1, page.size(), pipe), page.size());
  // grep finds nothing but the three names that are Goma's.
  CHECK_EQ(WEXITSTATUS(::pclose(pipe)), 1);
}

void ten_thousand_series_are_all_told() {
  Bench b;
  for (int i = 0; i < 10'000; ++i) b.metrics->add(b.metrics->counter("c_total", metric_labels({{"n", std::to_string(i)}})));
  const std::string page = b.page();
  int told = 0;
  for (const std::string_view line : goma::core::split(page, '\n')) told += line.substr(0, 8) == "c_total{" ? 1 : 0;
  CHECK_EQ(told, 10'000);
}

}  // namespace

GOMA_TESTS(counters_and_gauges, buckets_are_cumulative_and_seconds, families_stay_together, what_is_known_only_now,
           promtool_finds_nothing, ten_thousand_series_are_all_told)
