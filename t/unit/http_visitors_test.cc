// SPDX-License-Identifier: Apache-2.0
//
// Everybody counts once, within the window, over all processes; who gives way is told.
#include "http/visitors.h"

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <string>

#include "core/slab.h"

#include "check.h"

using goma::core::Slab;
using goma::http::Visitors;

namespace {

constexpr int64_t start = 1'000;

struct Bench {
  Slab slab = std::move(Slab::create().value());
  Visitors visitors = Visitors::open(slab).value();
};

void note_many(Visitors& visitors, int n, int64_t now) {
  for (int i = 0; i < n; ++i) visitors.note("10.0.0.1", "agent " + std::to_string(i), now);
}

void nobody_has_been_here() {
  Bench b;
  CHECK_EQ(b.visitors.count(1), 0);
  CHECK_EQ(b.visitors.count(start), 0);
  CHECK_EQ(b.visitors.evicted(), 0);
}

void address_and_agent_make_a_visitor() {
  Bench b;
  for (int i = 0; i < 10; ++i) b.visitors.note("10.0.0.1", "a", start + i);
  CHECK_EQ(b.visitors.count(start + 9), 1);
  b.visitors.note("10.0.0.2", "a", start);
  b.visitors.note("10.0.0.1", "b", start);
  b.visitors.note("10.0.0.1", {}, start);
  b.visitors.note("10.0.0.1a", {}, start);
  b.visitors.note("10.0.0.", "1a", start);
  CHECK_EQ(b.visitors.count(start + 9), 6);
}

void every_byte_of_an_agent_counts() {
  Bench b;
  uint64_t made = 0;
  for (size_t size = 0; size <= 50; ++size) {
    b.visitors.note("::1", std::string(size, 'a'), start);
    b.visitors.note("::1", std::string(size, '\0'), start);
    made += size == 0 ? 1 : 2;
    for (size_t at = 0; at < size; ++at, ++made) {
      std::string agent(size, 'a');
      agent[at] = 'b';
      b.visitors.note("::1", agent, start);
    }
  }
  CHECK_EQ(b.visitors.count(start), made);
}

void who_stays_away_is_no_longer_counted() {
  Bench b;
  b.visitors.set_window(60);
  note_many(b.visitors, 100, start);
  note_many(b.visitors, 10, start + 30);
  CHECK_EQ(b.visitors.count(start + 59), 100);
  CHECK_EQ(b.visitors.count(start + 60), 10);
  CHECK_EQ(b.visitors.count(start + 90), 0);
  note_many(b.visitors, 3, start + 500);
  CHECK_EQ(b.visitors.count(start + 500), 3);
}

void a_window_is_at_least_thirty_seconds() {
  Bench b;
  b.visitors.set_window(1);
  b.visitors.note("::1", "a", start);
  CHECK_EQ(b.visitors.count(start + 29), 1);
  CHECK_EQ(b.visitors.count(start + 30), 0);
  b.visitors.set_window(INT64_MAX);
  CHECK_EQ(b.visitors.count(start + 1'000'000), 1);
}

// A worker whose clock was read a moment earlier does not make a visitor older.
void time_does_not_step_back() {
  Bench b;
  b.visitors.set_window(30);
  b.visitors.note("::1", "a", start + 1);
  b.visitors.note("::1", "a", start);
  CHECK_EQ(b.visitors.count(start + 30), 1);
}

void the_oldest_gives_way_and_is_told() {
  Bench b;
  constexpr int many = 400'000;  // cells: 262'144
  note_many(b.visitors, many, start);
  CHECK(b.visitors.count(start) <= Visitors::bucket_count * Visitors::bucket_cells);
  CHECK(b.visitors.count(start) > Visitors::bucket_count * Visitors::bucket_cells * 9 / 10);
  const uint64_t known = b.visitors.count(start) + b.visitors.evicted();
  CHECK(known <= many && known > many - 5);  // two that look the same in one bucket: once in a thousand runs
  // Those of a later second displace somebody older, never each other.
  const uint64_t evicted = b.visitors.evicted();
  for (int i = 0; i < 1'000; ++i) b.visitors.note("::1", std::to_string(i), start + 1);
  CHECK(b.visitors.evicted() > evicted + 800);
  CHECK_EQ(b.visitors.count(start + 300), 1'000);
}

void who_is_past_the_window_gives_way_unnoticed() {
  Bench b;
  note_many(b.visitors, 400'000, start);
  const uint64_t evicted = b.visitors.evicted();
  CHECK(evicted > 0);
  for (int i = 0; i < 10'000; ++i) b.visitors.note("::1", std::to_string(i), start + 300);
  CHECK_EQ(b.visitors.evicted(), evicted);
  CHECK_EQ(b.visitors.count(start + 300), 10'000);
}

void a_hundred_thousand_are_counted_to_one_in_a_hundred() {
  Bench b;
  note_many(b.visitors, 100'000, start);
  CHECK(b.visitors.count(start) > 99'000);
}

void all_processes_count_together() {
  Bench b;
  constexpr int processes = 4;
  pid_t children[processes];
  for (pid_t& child : children) {
    child = ::fork();
    if (child != 0) continue;
    Visitors own = Visitors::open(b.slab).value();
    for (int round = 0; round < 20; ++round) note_many(own, 5'000, start + round);
    ::_exit(0);
  }
  for (const pid_t child : children) {
    int status = -1;
    CHECK(::waitpid(child, &status, 0) == child);
    CHECK_EQ(status, 0);
  }
  CHECK_EQ(b.visitors.count(start + 19), 5'000);
  CHECK_EQ(b.visitors.evicted(), 0);
}

void a_slab_that_is_attached_again_knows_them() {
  Bench b;
  note_many(b.visitors, 50, start);
  Slab attached = std::move(Slab::attach(::dup(b.slab.fd())).value());
  Visitors again = Visitors::open(attached).value();
  CHECK_EQ(again.count(start), 50);
  note_many(again, 60, start);
  CHECK_EQ(b.visitors.count(start), 60);
}

void a_slab_without_room_is_an_error() {
  Slab slab = std::move(Slab::create(size_t{1} << 20).value());
  CHECK(!Visitors::open(slab).ok());
}

// Told, not judged: a machine that is busy would fail it.
void what_it_costs() {
  Bench b;
  const std::string agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";
  const auto begin = std::chrono::steady_clock::now();
  constexpr int rounds = 1'000'000;
  std::string ip = "203.0.113.100";
  for (int i = 0; i < rounds; ++i) {
    ip[10] = static_cast<char>('0' + i % 10);
    ip[11] = static_cast<char>('0' + i / 10 % 10);
    ip[12] = static_cast<char>('0' + i / 100 % 10);
    b.visitors.note(ip, agent, start + i / 10'000);
  }
  const auto took = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - begin).count();
  std::printf("# note: %.1f ns\n", static_cast<double>(took) / rounds);
  CHECK_EQ(b.visitors.count(start + 99), 1'000);
}

}  // namespace

GOMA_TESTS(nobody_has_been_here, address_and_agent_make_a_visitor, every_byte_of_an_agent_counts, who_stays_away_is_no_longer_counted,
           a_window_is_at_least_thirty_seconds, time_does_not_step_back, the_oldest_gives_way_and_is_told,
           who_is_past_the_window_gives_way_unnoticed, a_hundred_thousand_are_counted_to_one_in_a_hundred, all_processes_count_together,
           a_slab_that_is_attached_again_knows_them, a_slab_without_room_is_an_error, what_it_costs)
