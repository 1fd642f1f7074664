// SPDX-License-Identifier: Apache-2.0
//
// Work runs on another thread, its end is told on the loop, and no job is ever lost.
#include "core/helper.h"

#include <atomic>
#include <thread>

#include "check.h"

using goma::core::Helper;
using goma::core::Loop;
using goma::core::Timer;

namespace {

struct Bench {
  Bench() {
    too_late.bind<&Loop::stop>(loop, &loop);
    too_late.start(5000);
  }
  Loop loop;
  Timer too_late;
};

void work_runs_elsewhere_and_done_here() {
  Bench b;
  Helper helper(b.loop);
  const std::thread::id here = std::this_thread::get_id();
  std::thread::id work, done;
  helper.run([&] { work = std::this_thread::get_id(); },
             [&] {
               done = std::this_thread::get_id();
               b.loop.stop();
             });
  CHECK(done == std::thread::id());
  b.loop.run();
  CHECK(work != std::thread::id());
  CHECK(work != here);
  CHECK(done == here);
}

void one_thread_keeps_the_order() {
  Bench b;
  Helper helper(b.loop);
  std::string order;
  for (const char c : {'a', 'b', 'c'}) helper.run([&order, c] { order += c; }, [] {});
  helper.run([] {}, [&] { b.loop.stop(); });
  b.loop.run();
  CHECK_EQ(order, "abc");
}

void done_may_ask_for_more() {
  Bench b;
  Helper helper(b.loop, 2);
  int rounds = 0;
  std::function<void()> again = [&] {
    if (++rounds == 100) {
      b.loop.stop();
    } else {
      helper.run([] {}, again);
    }
  };
  helper.run([] {}, again);
  b.loop.run();
  CHECK_EQ(rounds, 100);
}

void a_full_queue_works_here() {
  Bench b;
  Helper helper(b.loop);
  const std::thread::id here = std::this_thread::get_id();
  std::atomic<bool> go = false;
  std::atomic<int> worked = 0;
  int told = 0;
  bool worked_here = false;
  helper.run([&] { go.wait(false); }, [] {});
  const int jobs = static_cast<int>(Helper::max_waiting) + 50;
  for (int i = 0; i < jobs; ++i) {
    helper.run(
        [&] {
          ++worked;
          if (std::this_thread::get_id() == here) worked_here = true;
        },
        [&] {
          if (++told == jobs) b.loop.stop();
        });
  }
  CHECK(worked_here);
  CHECK_EQ(told, 0);
  go = true;
  go.notify_all();
  b.loop.run();
  CHECK_EQ(worked.load(), jobs);
  CHECK_EQ(told, jobs);
}

void the_end_waits_for_work_and_tells_nobody() {
  Bench b;
  std::atomic<int> worked = 0;
  int told = 0;
  {
    Helper helper(b.loop);
    for (int i = 0; i < 20; ++i) helper.run([&] { ++worked; }, [&] { ++told; });
  }
  CHECK_EQ(worked.load(), 20);
  CHECK_EQ(told, 0);
}

void without_done_nothing_is_told() {
  Bench b;
  std::atomic<int> worked = 0;
  {
    Helper helper(b.loop);
    helper.run([&] { ++worked; }, {});
  }
  CHECK_EQ(worked.load(), 1);
}

}  // namespace

GOMA_TESTS(work_runs_elsewhere_and_done_here, one_thread_keeps_the_order, done_may_ask_for_more, a_full_queue_works_here,
           the_end_waits_for_work_and_tells_nobody, without_done_nothing_is_told)
