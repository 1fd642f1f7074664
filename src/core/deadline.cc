// SPDX-License-Identifier: Apache-2.0
//
// The wheel. A deadline beyond the horizon is filed in the farthest slot and filed again when that comes up.
#include "core/deadline.h"

namespace goma::core {

void Deadline::set(int64_t due_ms) {
  due_ms_ = due_ms > 0 ? due_ms : 0;
  if (due_ms_ == 0) return;
  // Filed early enough already: the slot will find the new time. Filed too late: move.
  if (hook.linked() && filed_ms_ <= due_ms_ + DeadlineWheel::tick_ms) return;
  hook.unlink();
  wheel_->file(*this);
}

void Deadline::in(int64_t ms) {
  if (ms <= 0) {
    clear();
    return;
  }
  set(wheel_->loop().now_ms() + ms);
}

DeadlineWheel::DeadlineWheel(Loop& loop) : loop_(loop), done_tick_(loop.now_ms() / tick_ms), next_tick_(done_tick_) {
  timer_.bind<&DeadlineWheel::tick>(loop, this);
}

void DeadlineWheel::file(Deadline& deadline) {
  if (empty_) {
    empty_ = false;
    done_tick_ = loop_.now_ms() / tick_ms;
  }
  int64_t at = deadline.due_ms_ / tick_ms + 1;
  if (at <= done_tick_) at = done_tick_ + 1;
  const int64_t last = done_tick_ + static_cast<int64_t>(slots) - 1;
  if (at > last) at = last;
  deadline.filed_ms_ = at * tick_ms;
  wheel_[static_cast<size_t>(at) % slots].push_back(deadline);
  if (!turning_ && (!timer_.running() || at < next_tick_)) wake_at(at);
}

void DeadlineWheel::wake_at(int64_t tick) {
  next_tick_ = tick;
  timer_.start(tick * tick_ms - loop_.now_ms());
}

void DeadlineWheel::tick() {
  const int64_t now_tick = loop_.now_ms() / tick_ms;
  int64_t from = done_tick_ + 1;
  if (now_tick - from >= static_cast<int64_t>(slots)) from = now_tick - static_cast<int64_t>(slots) + 1;
  turning_ = true;
  for (int64_t at = from; at <= now_tick; ++at) {
    done_tick_ = at;
    turn_slot(static_cast<size_t>(at) % slots, loop_.now_ms());
  }
  turning_ = false;
  // Sleep until the next slot that holds something.
  empty_ = true;
  for (int64_t at = done_tick_ + 1; at < done_tick_ + static_cast<int64_t>(slots) && empty_; ++at) {
    if (wheel_[static_cast<size_t>(at) % slots].empty()) continue;
    empty_ = false;
    wake_at(at);
  }
}

void DeadlineWheel::turn_slot(size_t slot, int64_t now) {
  List<Deadline, &Deadline::hook> due;
  due.take(wheel_[slot]);
  while (Deadline* deadline = due.pop_front()) {
    if (deadline->due_ms_ == 0) continue;
    if (deadline->due_ms_ > now) {
      file(*deadline);
      continue;
    }
    deadline->due_ms_ = 0;
    deadline->run_(deadline->owner_);  // may destroy it
  }
}

}  // namespace goma::core
