// SPDX-License-Identifier: Apache-2.0
//
// Deadlines fire once, never early, and within the wheel's precision, however often they are moved.
#include "core/deadline.h"

#include <memory>
#include <vector>

#include "check.h"

using goma::core::Deadline;
using goma::core::DeadlineWheel;
using goma::core::Loop;
using goma::core::Timer;

namespace {

// A loop with a wheel that ends by itself.
struct Bench {
  explicit Bench(int64_t ms) {
    end.bind<&Loop::stop>(loop, &loop);
    end.start(ms);
  }
  Loop loop;
  DeadlineWheel wheel{loop};
  Timer end;
};

struct Alarm {
  explicit Alarm(Bench& b) : bench(b) { deadline.bind<&Alarm::fire>(b.wheel, this); }
  void fire() {
    ++fired;
    at_ms = bench.loop.now_ms();
  }
  Bench& bench;
  Deadline deadline;
  int fired = 0;
  int64_t at_ms = 0;
};

void fires_once_and_not_early() {
  Bench bench(600);
  Alarm alarm(bench);
  const int64_t due = bench.loop.now_ms() + 150;
  alarm.deadline.set(due);
  bench.loop.run();
  CHECK_EQ(alarm.fired, 1);
  CHECK(alarm.at_ms >= due);
  CHECK_EQ(alarm.deadline.due_ms(), 0);
}

void cleared_is_silent() {
  Bench bench(400);
  Alarm cleared(bench), never(bench);
  cleared.deadline.in(50);
  cleared.deadline.clear();
  never.deadline.in(0);
  bench.loop.run();
  CHECK_EQ(cleared.fired, 0);
  CHECK_EQ(never.fired, 0);
}

void later_and_earlier_are_both_heeded() {
  Bench bench(700);
  Alarm later(bench), earlier(bench);
  later.deadline.in(100);
  later.deadline.in(400);
  earlier.deadline.in(100000);
  earlier.deadline.in(100);
  const int64_t start = bench.loop.now_ms();
  bench.loop.run();
  CHECK_EQ(later.fired, 1);
  CHECK(later.at_ms - start >= 400);
  CHECK_EQ(earlier.fired, 1);
  CHECK(earlier.at_ms - start >= 100);
}

void beyond_the_horizon_is_kept() {
  Bench bench(250);
  Alarm alarm(bench);
  alarm.deadline.in(static_cast<int64_t>(DeadlineWheel::slots) * DeadlineWheel::tick_ms * 3);
  bench.loop.run();
  CHECK_EQ(alarm.fired, 0);
  CHECK(alarm.deadline.hook.linked());
}

void dead_owner_is_forgotten() {
  Bench bench(300);
  {
    Alarm alarm(bench);
    alarm.deadline.in(50);
  }
  bench.loop.run();
}

// The callback may end its own object, and the neighbour in the same slot.
struct Fatal {
  explicit Fatal(Bench& bench) { deadline.bind<&Fatal::fire>(bench.wheel, this); }
  void fire() {
    ++*count;
    victim.reset();
  }
  int* count = nullptr;
  std::unique_ptr<Fatal> victim;
  Deadline deadline;
};

void callback_may_destroy_a_neighbour() {
  Bench bench(400);
  int count = 0;
  Fatal killer(bench);
  killer.count = &count;
  killer.victim = std::make_unique<Fatal>(bench);
  killer.victim->count = &count;
  killer.deadline.in(50);
  killer.victim->deadline.in(50);
  bench.loop.run();
  CHECK_EQ(count, 1);
}

void many_moving_deadlines_fire_once() {
  std::mt19937_64 random(goma::test::seed());
  Bench bench(1200);
  std::vector<std::unique_ptr<Alarm>> alarms;
  std::vector<int64_t> due;
  for (int i = 0; i < 500; ++i) {
    alarms.push_back(std::make_unique<Alarm>(bench));
    for (int moves = 0; moves < 5; ++moves) alarms.back()->deadline.in(1 + static_cast<int64_t>(random() % 800));
    due.push_back(alarms.back()->deadline.due_ms());
  }
  bench.loop.run();
  for (size_t i = 0; i < alarms.size(); ++i) {
    CHECK_EQ(alarms[i]->fired, 1);
    CHECK(alarms[i]->at_ms >= due[i]);
  }
}

}  // namespace

GOMA_TESTS(fires_once_and_not_early, cleared_is_silent, later_and_earlier_are_both_heeded, beyond_the_horizon_is_kept,
           dead_owner_is_forgotten, callback_may_destroy_a_neighbour, many_moving_deadlines_fire_once)
