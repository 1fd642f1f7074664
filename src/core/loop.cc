// SPDX-License-Identifier: Apache-2.0
//
// Trampolines from libevent into owners' methods. Every way in passes Loop::enter and Loop::leave: the clock is read
// before each callback, and deferred work runs after it.
#include "core/loop.h"

#include <cstdlib>

#include "core/loop_memory.h"

namespace goma::core {

namespace {

unsigned ready_of(short what) {
  unsigned ready = 0;
  if (what & EV_READ) ready |= ready_read;
  if (what & EV_WRITE) ready |= ready_write;
  if (what & EV_CLOSED) ready |= ready_close;
  return ready;
}

}  // namespace

Loop::Loop() {
  give_libevent_its_memory();
  event_config* config = event_config_new();
  GOMA_CHECK(config != nullptr);
  event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
  event_config_require_features(config, EV_FEATURE_ET);
  base_ = event_base_new_with_config(config);
  event_config_free(config);
  GOMA_CHECK(base_ != nullptr);
  refresh_clock();
}

Loop::~Loop() { event_base_free(base_); }

void Loop::run() {
  for (stopped_ = false; !stopped_;) {
    int how = EVLOOP_ONCE;
    while (Deferred* work = later_.pop_front()) {
      turn_.push_back(*work);
      how = EVLOOP_NONBLOCK;
    }
    event_base_loop(base_, how | EVLOOP_NO_EXIT_ON_EMPTY);
    while (Deferred* work = turn_.pop_front()) {
      enter();
      work->run_(work->owner_);
      leave();
    }
  }
}

void Loop::stop() {
  stopped_ = true;
  event_base_loopbreak(base_);
}

void Loop::refresh_clock() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  now_us_ = static_cast<int64_t>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1000;
  if (now_us_ - wall_read_us_ < 100'000 && wall_read_us_ != 0) return;
  timespec wall{};
  clock_gettime(CLOCK_REALTIME, &wall);
  wall_offset_us_ = static_cast<int64_t>(wall.tv_sec) * 1'000'000 + wall.tv_nsec / 1000 - now_us_;
  wall_read_us_ = now_us_;
}

// libevent's own cached time is a coarse clock with steps of milliseconds: no good for durations.
void Loop::enter() { refresh_clock(); }

void Loop::leave() {
  while (Deferred* work = deferred_.pop_front()) work->run_(work->owner_);
}

void Watch::start(Loop& loop, int fd, void* owner, Callback callback, bool edge) {
  GOMA_CHECK(loop_ == nullptr);
  loop_ = &loop;
  owner_ = owner;
  callback_ = callback;
  const int what = edge ? EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST : EV_READ | EV_PERSIST;
  GOMA_CHECK(event_assign(&event_, loop.base(), fd, static_cast<short>(what), &Watch::fired, this) == 0);
  GOMA_CHECK(event_add(&event_, nullptr) == 0);
}

void Watch::close() {
  if (loop_ == nullptr) return;
  event_del(&event_);
  loop_ = nullptr;
}

unsigned Watch::told_next() const { return ready_of(event_.ev_res); }

void Watch::fired(evutil_socket_t, short what, void* self) {
  auto* watch = static_cast<Watch*>(self);
  const unsigned ready = ready_of(what);
  Loop& loop = *watch->loop_;
  loop.enter();
  watch->callback_(watch->owner_, ready);
  loop.leave();
}

void Timer::assign(Loop& loop, void* owner, void (*run)(void*)) {
  stop();
  loop_ = &loop;
  owner_ = owner;
  run_ = run;
  GOMA_CHECK(evtimer_assign(&event_, loop.base(), &Timer::fired, this) == 0);
}

void Timer::start(int64_t ms) {
  GOMA_CHECK(loop_ != nullptr);
  if (ms < 0) ms = 0;
  const timeval after{static_cast<time_t>(ms / 1000), static_cast<suseconds_t>(ms % 1000 * 1000)};
  GOMA_CHECK(event_add(&event_, &after) == 0);
  running_ = true;
}

void Timer::stop() {
  if (!running_) return;
  event_del(&event_);
  running_ = false;
}

void Timer::fired(evutil_socket_t, short, void* self) {
  auto* timer = static_cast<Timer*>(self);
  timer->running_ = false;
  Loop& loop = *timer->loop_;
  loop.enter();
  timer->run_(timer->owner_);
  loop.leave();
}

void Signal::start(Loop& loop, int number, void* owner, Callback callback) {
  close();
  loop_ = &loop;
  owner_ = owner;
  callback_ = callback;
  GOMA_CHECK(evsignal_assign(&event_, loop.base(), number, &Signal::fired, this) == 0);
  GOMA_CHECK(event_add(&event_, nullptr) == 0);
}

void Signal::close() {
  if (loop_ == nullptr) return;
  event_del(&event_);
  loop_ = nullptr;
}

void Signal::fired(evutil_socket_t number, short, void* self) {
  auto* watch = static_cast<Signal*>(self);
  Loop& loop = *watch->loop_;
  loop.enter();
  watch->callback_(watch->owner_, static_cast<int>(number));
  loop.leave();
}

}  // namespace goma::core
