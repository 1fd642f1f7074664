// SPDX-License-Identifier: Apache-2.0
//
// Timeouts for thousands of connections at the price of a store. A Deadline remembers when it is due; a wheel of
// lists files it once and looks again when its slot comes up: moved meanwhile means filed anew, due means fired.
// One libevent timer drives the wheel and sleeps until the next slot that holds something.
//
// Precision is one tick (100 ms): good for timeouts, wrong for pacing (use Timer).
#pragma once

#include <array>
#include <cstdint>

#include "core/loop.h"

namespace goma::core {

class DeadlineWheel;

class Deadline {
 public:
  Deadline() = default;

  // Calls (owner->*Method)() when due. Bind once.
  template <auto Method, class Owner>
  void bind(DeadlineWheel& wheel, Owner* owner) {
    wheel_ = &wheel;
    owner_ = owner;
    run_ = [](void* o) { (static_cast<Owner*>(o)->*Method)(); };
  }
  // Due at this value of Loop::now_ms(); 0 or less means never. Requires: bound.
  void set(int64_t due_ms);
  // Due after this many milliseconds; 0 or less means never.
  void in(int64_t ms);
  void clear() { due_ms_ = 0; }
  int64_t due_ms() const { return due_ms_; }

  ListHook hook;

 private:
  friend class DeadlineWheel;
  DeadlineWheel* wheel_ = nullptr;
  void* owner_ = nullptr;
  void (*run_)(void*) = nullptr;
  int64_t due_ms_ = 0;
  int64_t filed_ms_ = 0;  // when its slot comes up
};

class DeadlineWheel {
 public:
  static constexpr int64_t tick_ms = 100;
  static constexpr size_t slots = 512;

  explicit DeadlineWheel(Loop& loop);
  DeadlineWheel(const DeadlineWheel&) = delete;
  DeadlineWheel& operator=(const DeadlineWheel&) = delete;

  Loop& loop() { return loop_; }
  void file(Deadline& deadline);

 private:
  void wake_at(int64_t tick);
  void tick();
  void turn_slot(size_t slot, int64_t now);

  Loop& loop_;
  Timer timer_;
  int64_t done_tick_ = 0;  // ticks since the epoch of now_ms that have been processed
  int64_t next_tick_ = 0;  // when the timer fires
  bool empty_ = true;
  bool turning_ = false;
  std::array<List<Deadline, &Deadline::hook>, slots> wheel_;
};

}  // namespace goma::core
