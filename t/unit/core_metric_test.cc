// SPDX-License-Identifier: Apache-2.0
//
// Counters are exact over processes and never step back; gauges of the dead are gone; nobody's labels fill the memory.
#include "core/metric.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <map>
#include <vector>

#include "core/slab.h"

#include "check.h"

using goma::core::Metrics;
using goma::core::metric_labels;
using goma::core::Slab;
using Kind = goma::core::Metrics::Kind;

namespace {

constexpr uint64_t bounds[] = {5'000, 10'000, 1'000'000};

struct Bench {
  Bench() : slab(std::move(Slab::create().value())), metrics(std::move(Metrics::open(slab).value())) {}
  Slab slab;
  std::unique_ptr<Metrics> metrics;

  // Everything that visit tells, as FAMILY{LABELS} to values.
  std::map<std::string, std::vector<uint64_t>> all() const {
    std::map<std::string, std::vector<uint64_t>> found;
    metrics->visit([&](const Metrics::Family& family, std::string_view labels, std::span<const uint64_t> values) {
      const bool is_new = found.emplace(fmt::format("{}{{{}}}", family.name, labels), std::vector<uint64_t>(values.begin(), values.end())).second;
      CHECK(is_new);
    });
    return found;
  }
  // The value that a process started now counts up to before it ends by the signal (0: regularly).
  pid_t child(const std::function<void(Metrics&)>& work, int by_signal) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      if (!metrics->acquire_stripe().ok()) ::_exit(9);
      work(*metrics);
      if (by_signal != 0) ::kill(::getpid(), by_signal);
      metrics->release_stripe(::getpid());
      ::_exit(0);
    }
    int status = 0;
    CHECK(::waitpid(pid, &status, 0) == pid);
    CHECK(by_signal != 0 ? WIFSIGNALED(status) : (WIFEXITED(status) && WEXITSTATUS(status) == 0));
    return pid;
  }
};

void adds_and_finds_again() {
  Bench b;
  CHECK(b.metrics->acquire_stripe().ok());
  const Metrics::Cell cell = b.metrics->counter("requests_total", "name=\"a\"");
  CHECK(cell.index != 0);
  b.metrics->add(cell);
  b.metrics->add(cell, 9);
  CHECK_EQ(b.metrics->counter("requests_total", "name=\"a\"").index, cell.index);
  CHECK(b.metrics->counter("requests_total", "name=\"b\"").index != cell.index);
  CHECK_EQ(b.metrics->value("requests_total", "name=\"a\""), 10);
  CHECK_EQ(b.metrics->value("requests_total", "name=\"never\""), 0);
  CHECK_EQ(b.metrics->value("never"), 0);
}

void gauges_are_signed() {
  Bench b;
  CHECK(b.metrics->acquire_stripe().ok());
  const Metrics::Cell cell = b.metrics->gauge("level");
  b.metrics->set(cell, -5);
  b.metrics->sub(cell, 2);
  CHECK_EQ(b.metrics->value("level"), -7);
}

void one_kind_per_family() {
  Bench b;
  b.metrics->describe("h_seconds", Kind::histogram, "H.", bounds);
  CHECK_EQ(b.metrics->counter("h_seconds").index, 0u);
  b.metrics->counter("c_total");
  CHECK_EQ(b.metrics->gauge("c_total", "x=\"1\"").index, 0u);
  CHECK_EQ(b.metrics->histogram("undescribed").count, 0u);
}

void histograms_sort_into_buckets() {
  Bench b;
  CHECK(b.metrics->acquire_stripe().ok());
  b.metrics->describe("h_seconds", Kind::histogram, "H.", bounds);
  const Metrics::Histogram h = b.metrics->histogram("h_seconds", "name=\"a\"");
  for (const uint64_t us : {uint64_t{0}, uint64_t{5'000}, uint64_t{5'001}, uint64_t{1'000'000}, uint64_t{1'000'001}}) b.metrics->observe(h, us);
  const std::vector<uint64_t> expected = {2, 1, 1, 1, 2'010'002};
  CHECK(b.all()["h_seconds{name=\"a\"}"] == expected);
  b.metrics->observe(Metrics::Histogram(), 7);  // into the void
}

void before_a_stripe_everything_goes_into_the_void() {
  Bench b;
  const Metrics::Cell cell = b.metrics->counter("c_total");
  b.metrics->add(cell, 5);
  CHECK_EQ(b.metrics->value("c_total"), 0);
}

void stripes_add_up_and_outlive_their_processes() {
  Bench b;
  const auto count = [](Metrics& m) {
    const Metrics::Cell requests = m.counter("requests_total", "name=\"a\"");
    for (int i = 0; i < 1000; ++i) m.add(requests);
    m.set(m.gauge("connections"), 7);
  };
  b.child(count, 0);
  CHECK_EQ(b.metrics->value("requests_total", "name=\"a\""), 1000);
  CHECK_EQ(b.metrics->value("connections"), 0);
  const pid_t killed = b.child(count, SIGKILL);
  CHECK_EQ(b.metrics->value("requests_total", "name=\"a\""), 2000);
  CHECK_EQ(b.metrics->value("connections"), 7);
  CHECK_EQ(b.metrics->stripes_taken(), 1u);
  b.metrics->release_stripe(killed);
  CHECK_EQ(b.metrics->value("requests_total", "name=\"a\""), 2000);
  CHECK_EQ(b.metrics->value("connections"), 0);
  CHECK_EQ(b.metrics->stripes_taken(), 0u);
  b.child(count, SIGKILL);
  b.metrics->release_dead_stripes();
  CHECK_EQ(b.metrics->stripes_taken(), 0u);
  CHECK_EQ(b.metrics->value("requests_total", "name=\"a\""), 3000);
}

void an_inherited_stripe_is_not_given_back() {
  Bench b;
  CHECK(b.metrics->acquire_stripe().ok());
  const Metrics::Cell cell = b.metrics->gauge("level");
  b.metrics->set(cell, 3);
  b.child([](Metrics& m) { m.set(m.gauge("level"), 4); }, 0);
  CHECK_EQ(b.metrics->value("level"), 3);
  CHECK_EQ(b.metrics->stripes_taken(), 1u);
  const pid_t pid = ::fork();
  if (pid == 0) {
    b.metrics.reset();  // never took its own
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  CHECK_EQ(b.metrics->stripes_taken(), 1u);
  CHECK_EQ(b.metrics->value("level"), 3);
}

void at_most_64_stripes() {
  Bench b;
  std::vector<std::unique_ptr<Metrics>> others;
  for (size_t i = 0; i < Metrics::max_stripes; ++i) {
    others.push_back(std::move(Metrics::open(b.slab).value()));
    CHECK(others.back()->acquire_stripe().ok());
  }
  CHECK(!b.metrics->acquire_stripe().ok());
  b.metrics->add(b.metrics->counter("c_total"));  // harmless
  CHECK_EQ(b.metrics->value("c_total"), 0);
  others.clear();
  CHECK(b.metrics->acquire_stripe().ok());
}

void parallel_makers_agree() {
  Bench b;
  std::vector<pid_t> children;
  for (int c = 0; c < 4; ++c) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      if (!b.metrics->acquire_stripe().ok()) ::_exit(1);
      for (int i = 0; i < 2000; ++i) b.metrics->add(b.metrics->counter("c_total", metric_labels({{"n", std::to_string(i % 500)}})));
      ::_exit(0);
    }
    children.push_back(pid);
  }
  for (const pid_t pid : children) {
    int status = 0;
    ::waitpid(pid, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  const auto all = b.all();
  CHECK_EQ(all.size(), 500u);
  for (const auto& [name, values] : all) CHECK_EQ(values[0], 16u);
}

void killed_while_making_series_leaves_no_double() {
  Bench b;
  uint64_t before = 0;
  for (int round = 0; round < 20; ++round) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      static_cast<void>(b.metrics->acquire_stripe().ok());
      for (int i = 0;; ++i) b.metrics->add(b.metrics->counter("c_total", metric_labels({{"n", std::to_string(i % 20'000)}})));
    }
    ::usleep(1000);
    ::kill(pid, SIGKILL);
    int status = 0;
    ::waitpid(pid, &status, 0);
    b.metrics->release_stripe(pid);
    uint64_t total = 0;
    for (const auto& [name, values] : b.all()) total += values[0];  // all() checks that no series is there twice
    CHECK(total >= before);
    before = total;
  }
  CHECK(before > 0);
}

void a_full_directory_keeps_totals() {
  Bench b;
  CHECK(b.metrics->acquire_stripe().ok());
  b.metrics->describe("h_seconds", Kind::histogram, "H.", bounds);
  const size_t wanted = Metrics::max_series + 100;
  for (size_t i = 0; i < wanted; ++i) b.metrics->add(b.metrics->counter("c_total", metric_labels({{"path", std::to_string(i)}})));
  b.metrics->observe(b.metrics->histogram("h_seconds", "name=\"late\""), 1);
  CHECK(b.metrics->overflowed() > 0);
  CHECK(b.metrics->series() <= Metrics::max_series);
  const auto all = b.all();
  uint64_t total = 0;
  for (const auto& [name, values] : all) total += name.substr(0, 7) == "c_total" ? values[0] : 0;
  CHECK_EQ(total, wanted);
  CHECK(all.count("c_total{overflow=\"true\"}") == 1);
  CHECK_EQ(all.at("h_seconds{overflow=\"true\"}")[0], 1u);
}

void long_labels_overflow_too() {
  Bench b;
  const std::string large(100'000, 'x');
  for (int i = 0; i < 100; ++i) b.metrics->counter("c_total", metric_labels({{"n", large + std::to_string(i)}}));
  CHECK(b.metrics->overflowed() > 0);
}

void families_have_an_end() {
  Bench b;
  for (size_t i = 0; i < Metrics::max_families; ++i) CHECK(b.metrics->counter("family" + std::to_string(i)).index != 0);
  CHECK_EQ(b.metrics->counter("one_more").index, 0u);
}

void a_group_lies_side_by_side() {
  Bench b;
  b.metrics->counter("odd_total");
  Metrics::Wanted group[] = {{"requests_total", "name=\"a\"", Kind::counter}, {"bytes_total", "name=\"a\"", Kind::counter}, {"level", "name=\"a\"", Kind::gauge}};
  b.metrics->reserve(group);
  CHECK_EQ(group[0].index % 8, 0u);
  CHECK_EQ(group[1].index, group[0].index + 1);
  CHECK_EQ(group[2].index, group[0].index + 2);
  CHECK_EQ(b.metrics->counter("bytes_total", "name=\"a\"").index, group[1].index);
}

void labels_are_escaped() {
  CHECK_EQ(metric_labels({{"name", "a\"b\\c\nd"}, {"method", "GET"}}), "name=\"a\\\"b\\\\c\\nd\",method=\"GET\"");
  CHECK_EQ(metric_labels({{"name", "\xff"}}), "name=\"\xEF\xBF\xBD\"");
  CHECK_EQ(metric_labels({{"name", "\xC3\xA4"}}), "name=\"\xC3\xA4\"");
}

void help_and_kind_are_told() {
  Bench b;
  b.metrics->describe("c_total", Kind::counter, "First.");
  b.metrics->describe("c_total", Kind::gauge, "Second.");
  b.metrics->counter("c_total");
  b.metrics->visit([](const Metrics::Family& family, std::string_view, std::span<const uint64_t>) {
    CHECK_EQ(family.help, "First.");
    CHECK(family.kind == Kind::counter);
  });
  CHECK_EQ(b.metrics->series(), 1u);
}

}  // namespace

GOMA_TESTS(adds_and_finds_again, gauges_are_signed, one_kind_per_family, histograms_sort_into_buckets,
           before_a_stripe_everything_goes_into_the_void, stripes_add_up_and_outlive_their_processes,
           an_inherited_stripe_is_not_given_back, at_most_64_stripes, parallel_makers_agree,
           killed_while_making_series_leaves_no_double, a_full_directory_keeps_totals, long_labels_overflow_too,
           families_have_an_end, a_group_lies_side_by_side, labels_are_escaped, help_and_kind_are_told)
