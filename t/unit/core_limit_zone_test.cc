// SPDX-License-Identifier: Apache-2.0
//
// Exact over threads and processes, one cell per key, bans that stay, and nothing that a kill can leave behind.
#include "core/limit_zone.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "core/slab.h"

#include "check.h"

using goma::core::LimitZone;
using goma::core::Slab;

namespace {

constexpr int64_t second = 1'000'000'000;
constexpr int64_t start = 1'000 * second;

struct Bench {
  explicit Bench(size_t bytes = LimitZone::default_bytes) : zone(LimitZone::open(slab, bytes).value()) {}
  uint64_t id(int n) { return zone.id("key", std::to_string(n)); }
  Slab slab = std::move(Slab::create().value());
  LimitZone zone;
};

void a_bucket_holds_its_capacity_and_refills() {
  Bench b;
  const uint64_t id = b.id(1);
  for (int i = 0; i < 5; ++i) {
    const LimitZone::Level level = b.zone.take(id, start, second, 5 * second);
    CHECK(level.taken);
    CHECK_EQ(level.debt_ns, (i + 1) * second);
  }
  for (int i = 0; i < 3; ++i) {
    const LimitZone::Level level = b.zone.take(id, start + second - 1, second, 5 * second);
    CHECK(!level.taken);
    CHECK_EQ(level.debt_ns, 4 * second + 1);  // refused ones do not lengthen the wait
  }
  CHECK(b.zone.take(id, start + second, second, 5 * second).taken);
  CHECK(!b.zone.take(id, start + second, second, 5 * second).taken);
  int taken = 0;
  while (b.zone.take(id, start + 100 * second, second, 5 * second).taken) ++taken;
  CHECK_EQ(taken, 5);
  CHECK(b.zone.take(b.id(2), start, second, second).taken);
}

void over_time_exactly_the_rate_is_let_in() {
  Bench b;
  const uint64_t id = b.id(1);
  int taken = 0;
  for (int64_t ms = 0; ms <= 30'000; ++ms) {  // 10 asked per millisecond, 1 allowed, 1100 at once
    for (int i = 0; i < 10; ++i) taken += b.zone.take(id, start + ms * 1'000'000, 1'000'000, 1'100 * 1'000'000LL).taken;
  }
  CHECK_EQ(taken, 1'100 + 30'000);
}

void counts_end_with_their_time() {
  Bench b;
  const uint64_t id = b.id(1);
  for (uint32_t i = 1; i <= 3; ++i) CHECK_EQ(*b.zone.count(id, start, 3, start + second), i);
  CHECK(!b.zone.count(id, start + second - 1, 3, start + 2 * second));
  CHECK_EQ(b.zone.counted(id, start + second - 1), 3u);
  CHECK_EQ(b.zone.counted(id, start + second), 0u);
  CHECK_EQ(*b.zone.count(id, start + second, 3, start + 2 * second, true), 1u);
  CHECK_EQ(*b.zone.count(id, start + second, 3, start + 4 * second, true), 2u);
  CHECK_EQ(b.zone.counted(id, start + 4 * second - 1), 2u);
  b.zone.forget_count(id);
  CHECK_EQ(b.zone.counted(id, start + second), 0u);
  b.zone.forget_count(id);
}

void a_ban_holds_until_it_ends() {
  Bench b;
  const uint64_t id = b.id(1);
  CHECK_EQ(b.zone.banned_until(id, start), 0);
  b.zone.ban(id, start, start + second);
  CHECK_EQ(b.zone.banned_until(id, start + second - 1), start + second);
  CHECK_EQ(b.zone.banned_until(id, start + second), 0);
  b.zone.ban(id, start, start + 5 * second);
  CHECK_EQ(b.zone.usage(start).bans, 1u);
  CHECK_EQ(b.zone.banned_until(id, start + second), start + 5 * second);
}

void a_ban_can_be_lifted() {
  Bench b;
  const uint64_t id = b.id(1);
  CHECK(!b.zone.lift_ban(id, start));
  b.zone.ban(id, start, start + second);
  CHECK(b.zone.lift_ban(id, start));
  CHECK_EQ(b.zone.banned_until(id, start), 0);
  CHECK(!b.zone.lift_ban(id, start));
}

void what_others_took_becomes_debt() {
  Bench b;
  const uint64_t id = b.id(1);
  CHECK(b.zone.take(id, start, second, 5 * second).taken);
  b.zone.raise(id, start, start + 7 * second);
  CHECK_EQ(b.zone.take(id, start, second, 5 * second).debt_ns, 7 * second);
  CHECK(!b.zone.take(id, start + 3 * second - 1, second, 5 * second).taken);
  CHECK(b.zone.take(id, start + 3 * second, second, 5 * second).taken);
  b.zone.raise(id, start + 3 * second, start + 4 * second);  // less than is known
  CHECK_EQ(b.zone.take(id, start + 3 * second, second, 5 * second).debt_ns, 5 * second);
  CHECK_EQ(b.zone.full_at(id), start + 8 * second);
}

void counts_go_by_steps_and_back() {
  Bench b;
  const uint64_t id = b.id(1);
  CHECK_EQ(*b.zone.count(id, start, 10, start + second, false, 4), 4u);
  CHECK_EQ(*b.zone.count(id, start, 5, start + second, false, 4), 8u);
  CHECK(!b.zone.count(id, start, 8, start + second));
  b.zone.uncount(id, start, 3);
  CHECK_EQ(b.zone.counted(id, start), 5u);
  b.zone.uncount(id, start, 30);
  CHECK_EQ(b.zone.counted(id, start), 0u);
  b.zone.set_count(id, start, 7, start + 2 * second);
  CHECK_EQ(b.zone.counted(id, start + second), 7u);
  b.zone.uncount(id, start + 2 * second, 1);  // it counts no more
  CHECK_EQ(b.zone.counted(id, start + 2 * second), 0u);
}

void one_id_has_a_level_a_count_and_a_ban() {
  Bench b;
  const uint64_t id = b.id(1);
  CHECK(b.zone.take(id, start, second, second).taken);
  CHECK(b.zone.count(id, start, 1, start + second).has_value());
  b.zone.ban(id, start, start + second);
  CHECK_EQ(b.zone.usage(start).live, 3u);
  CHECK_EQ(b.zone.usage(start + second).live, 0u);
}

void another_opening_sees_the_same() {
  Bench b;
  b.zone.ban(b.id(1), start, start + second);
  LimitZone again = LimitZone::open(b.slab).value();
  CHECK_EQ(again.id("key", "1"), b.id(1));
  CHECK_EQ(again.banned_until(again.id("key", "1"), start), start + second);
}

// What is forgotten soonest gives way; what matters no more gives way without being counted.
void a_full_zone_forgets_the_soonest_first() {
  Bench b(8192);
  const uint64_t cells = b.zone.usage(start).cells;
  for (int i = 0; i < 20'000; ++i) b.zone.take(b.id(i), start, second, 2 * second);
  CHECK_EQ(b.zone.usage(start).live, cells);
  CHECK_EQ(b.zone.usage(start).evicted, 20'000 - cells);
  for (int i = 20'000; i < 40'000; ++i) b.zone.take(b.id(i), start + 2 * second, second, 2 * second);
  CHECK_EQ(b.zone.usage(start).evicted, 2 * (20'000 - cells));
  const uint64_t kept = b.id(99'999);
  for (int i = 0; i < 60; ++i) CHECK(b.zone.take(kept, start + 2 * second, second, 60 * second).taken);
  for (int i = 40'000; i < 60'000; ++i) b.zone.take(b.id(i), start + 2 * second, second, 2 * second);
  CHECK(!b.zone.take(kept, start + 2 * second, second, 60 * second).taken);
  CHECK_EQ(b.zone.usage(start).doubled, 0u);
}

void bans_in_force_never_give_way() {
  Bench b(8192);
  const uint64_t cells = b.zone.usage(start).cells;
  int bans = 0;
  while (b.zone.usage(start).bans < cells) b.zone.ban(b.id(bans++), start, start + second);
  const uint64_t crowded = b.zone.usage(start).crowded;
  CHECK_EQ(crowded, static_cast<uint64_t>(bans) - cells);
  const LimitZone::Level level = b.zone.take(b.id(-1), start, second, second);
  CHECK(level.taken);  // it cannot be remembered, and is not refused for that
  CHECK_EQ(b.zone.usage(start).crowded, crowded + 1);
  CHECK_EQ(b.zone.usage(start).bans, cells);
  CHECK(b.zone.take(b.id(-1), start + second, second, second).taken);
  CHECK(!b.zone.take(b.id(-1), start + second, second, second).taken);
}

// Many threads, new keys all the time: every key lets in exactly its capacity.
void new_keys_are_exact_over_threads() {
  Bench b;
  constexpr int keys = 20'000;
  std::vector<std::atomic<int>> taken(keys);
  std::vector<std::thread> threads;
  std::atomic<int> at = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < keys; ++i) {
        ++at;
        while (at.load() < 4 * i) std::this_thread::yield();  // all of them at the same key
        for (int n = 0; n < 3; ++n) taken[static_cast<size_t>(i)] += b.zone.take(b.id(i), start, second, 5 * second).taken;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::atomic<int>& n : taken) CHECK_EQ(n.load(), 5);
  CHECK_EQ(b.zone.usage(start).doubled, 0u);
  CHECK_EQ(b.zone.usage(start).live, static_cast<uint64_t>(keys));
}

// New keys of one bucket met in another order by every thread: where two choose different cells for one key, a third may
// find either, and what it takes must not go with the one that is given up.
void new_keys_of_one_bucket_are_exact_over_threads() {
  Bench b;
  constexpr int rounds = 20'000;
  constexpr size_t keys = 4;
  const auto id = [](int round, size_t key) { return (static_cast<uint64_t>(round) << 40) * 977 + key * 8; };
  std::vector<std::array<std::atomic<int>, keys>> taken(rounds);
  std::vector<std::thread> threads;
  std::atomic<int> at = 0;
  for (size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < rounds; ++i) {
        ++at;
        while (at.load() < 4 * i) std::this_thread::yield();
        for (size_t n = 0; n < 3 * keys; ++n) {
          const size_t key = (t + n) % keys;
          taken[static_cast<size_t>(i)][key] += b.zone.take(id(i, key), start, second, 5 * second).taken;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& round : taken) {
    for (const std::atomic<int>& n : round) CHECK_EQ(n.load(), 5);
  }
  CHECK_EQ(b.zone.usage(start).doubled, 0u);
}

// Processes that count and are killed at any instant: what they were let take is what the zone knows, within the one
// that each may have been about to report.
void a_kill_leaves_nothing_half_done() {
  Bench b;
  auto* taken = static_cast<std::atomic<int64_t>*>(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  CHECK(taken != MAP_FAILED);
  constexpr int rounds = 40;
  for (int round = 0; round < rounds; ++round) {
    const pid_t pid = ::fork();
    CHECK(pid >= 0);
    if (pid == 0) {
      for (int i = 0;; ++i) {
        if (b.zone.take(b.id(i % 7), start, 1'000, int64_t{1} << 60).taken) ++*taken;
      }
    }
    ::usleep(static_cast<useconds_t>(500 + round * 137 % 2'000));
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  int64_t known = 0;
  for (int i = 0; i < 7; ++i) known += b.zone.take(b.id(i), start, 1'000, 1'000).debt_ns / 1'000;
  CHECK(known >= taken->load());
  CHECK(known <= taken->load() + rounds);
  CHECK_EQ(b.zone.usage(start).doubled, 0u);
  ::munmap(taken, 4096);
}

// Half a million keys fill half of the cells: few give way, and a decision costs little more than the misses of the cache.
void half_a_million_keys_have_room() {
  Bench b;
  constexpr int keys = 500'000;
  std::vector<uint64_t> ids(keys);
  for (int i = 0; i < keys; ++i) ids[static_cast<size_t>(i)] = b.id(i);
  int64_t took = 0;
  for (int round = 0; round < 2; ++round) {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    took = -(now.tv_sec * second + now.tv_nsec);
    for (const uint64_t id : ids) CHECK(b.zone.take(id, start, second, 10 * second).taken);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    took += now.tv_sec * second + now.tv_nsec;
  }
  std::printf("# note: %.1f ns for a key that is known\n", static_cast<double>(took) / keys);
  timespec before{}, after{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
  const LimitZone::Usage usage = b.zone.usage(start);
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
  std::printf("# note: %.1f ms for a look at all cells\n", static_cast<double>((after.tv_sec - before.tv_sec) * second + after.tv_nsec - before.tv_nsec) / 1e6);
  CHECK(usage.live + usage.evicted >= keys);
  CHECK(usage.evicted < keys / 50);
  CHECK_EQ(usage.doubled, 0u);
}

}  // namespace

GOMA_TESTS(a_bucket_holds_its_capacity_and_refills, over_time_exactly_the_rate_is_let_in, counts_end_with_their_time,
           a_ban_holds_until_it_ends, a_ban_can_be_lifted, what_others_took_becomes_debt, counts_go_by_steps_and_back, one_id_has_a_level_a_count_and_a_ban, another_opening_sees_the_same,
           a_full_zone_forgets_the_soonest_first, bans_in_force_never_give_way, new_keys_are_exact_over_threads, new_keys_of_one_bucket_are_exact_over_threads,
           half_a_million_keys_have_room, a_kill_leaves_nothing_half_done)
