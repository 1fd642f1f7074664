// SPDX-License-Identifier: Apache-2.0
//
// The event loop: RAII over libevent's readiness, timers and signals. Nobody else includes event headers.
//
// Two rules make the hot path cheap. A Watch is registered once, edge-triggered, for reading, writing and the
// peer's close together, and stays so until the descriptor is closed: no epoll_ctl per message. Timeouts of
// connections are Deadlines (core/deadline.h), not Timers: moving one is a store.
//
// Deferred work runs after the callback that asked for it, before the loop waits again. That is how objects end
// without being destroyed on their own stack. Work for the end of the turn runs when all callbacks of one wake-up have
// run: that is how what several of them produced leaves in one system call.
#pragma once

#include <event2/event.h>
#include <event2/event_struct.h>

#include <cstdint>
#include <ctime>
#include <type_traits>

#include "core/list.h"

namespace goma::core {

class Loop;

// What a Watch reports; a set of bits.
enum Ready : unsigned {
  ready_read = 1,
  ready_write = 2,
  ready_close = 4,  // the peer closed its writing side, or the connection failed
};

// Something to be run once after the current callback. Destroying it cancels it.
class Deferred {
 public:
  Deferred() = default;
  template <auto Method, class Owner>
  void bind(Owner* owner) {
    owner_ = owner;
    run_ = [](void* o) { (static_cast<Owner*>(o)->*Method)(); };
  }
  bool pending() const { return hook.linked(); }
  void cancel() { hook.unlink(); }

  ListHook hook;

 private:
  friend class Loop;
  void* owner_ = nullptr;
  void (*run_)(void*) = nullptr;
};

class Loop {
 public:
  // Creates the kernel object; aborts when that fails. Create it after fork().
  Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  ~Loop();

  // Runs until stop().
  void run();
  void stop();
  // The monotonic clock, read at the start of every callback.
  int64_t now_ms() const { return now_us_ / 1000; }
  int64_t now_us() const { return now_us_; }
  // The wall clock at the same moment (within 100 ms of a step of the machine's clock).
  timespec wall() const {
    const int64_t us = now_us_ + wall_offset_us_;
    return {static_cast<time_t>(us / 1'000'000), us % 1'000'000 * 1000};
  }
  // Reads both clocks again; for code that ran long.
  void refresh_clock();
  // Runs the bound method after the current callback; asking twice is one run.
  void defer(Deferred& work) {
    if (!work.pending()) deferred_.push_back(work);
  }
  // Runs the bound method when every descriptor and timer that is ready now has been served; asking twice is one run.
  void at_turn_end(Deferred& work) {
    if (!work.pending()) turn_.push_back(work);
  }
  // Runs it when all that is ready by then has been served once more: for who has had its share of this turn, and work
  // left. Asking twice is one run.
  void next_turn(Deferred& work) {
    if (!work.pending()) later_.push_back(work);
  }
  // Bytes that one connection may receive before others have theirs.
  static constexpr uint64_t share_of_turn = 1024 * 1024;

  event_base* base() { return base_; }
  // For the callback trampolines only.
  void enter();
  void leave();

 private:
  event_base* base_;
  int64_t now_us_ = 0;
  int64_t wall_offset_us_ = 0;
  int64_t wall_read_us_ = 0;
  List<Deferred, &Deferred::hook> deferred_;
  List<Deferred, &Deferred::hook> turn_;
  List<Deferred, &Deferred::hook> later_;
  bool stopped_ = false;
};

// A descriptor's readiness, edge-triggered (open) or level-triggered (open_level). Does not own the descriptor.
// Destroying or closing it forgets the descriptor; do that before close(2).
class Watch {
 public:
  Watch() = default;
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch() { close(); }

  // Calls (owner->*Method)(unsigned ready) on every edge: reading, writing, peer's close.
  template <auto Method, class Owner>
  void open(Loop& loop, int fd, Owner* owner) {
    start(loop, fd, owner, [](void* o, unsigned ready) { (static_cast<Owner*>(o)->*Method)(ready); }, true);
  }
  // The same, level-triggered and for reading only: listening sockets, pipes, control connections.
  template <auto Method, class Owner>
  void open_level(Loop& loop, int fd, Owner* owner) {
    start(loop, fd, owner, [](void* o, unsigned ready) { (static_cast<Owner*>(o)->*Method)(ready); }, false);
  }
  bool is_open() const { return loop_ != nullptr; }
  // What the kernel has said already and the callback is still to hear in this turn of the loop; a set of Ready bits.
  unsigned untold() const { return loop_ == nullptr || (event_.ev_evcallback.evcb_flags & EVLIST_ACTIVE) == 0 ? 0 : told_next(); }
  void close();

 private:
  using Callback = void (*)(void*, unsigned);
  void start(Loop& loop, int fd, void* owner, Callback callback, bool edge);
  unsigned told_next() const;
  static void fired(evutil_socket_t fd, short what, void* self);

  event event_;
  Loop* loop_ = nullptr;
  void* owner_ = nullptr;
  Callback callback_ = nullptr;
};

// One libevent timer. For the few; connections use Deadline.
class Timer {
 public:
  Timer() = default;
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { stop(); }

  template <auto Method, class Owner>
  void bind(Loop& loop, Owner* owner) {
    assign(loop, owner, [](void* o) { (static_cast<Owner*>(o)->*Method)(); });
  }
  // Runs once after ms milliseconds; starting again moves it. Requires: bound.
  void start(int64_t ms);
  void stop();
  bool running() const { return running_; }

 private:
  void assign(Loop& loop, void* owner, void (*run)(void*));
  static void fired(evutil_socket_t fd, short what, void* self);

  event event_;
  Loop* loop_ = nullptr;
  void* owner_ = nullptr;
  void (*run_)(void*) = nullptr;
  bool running_ = false;
};

// A Unix signal, delivered as a callback on the loop with its number.
class Signal {
 public:
  Signal() = default;
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;
  ~Signal() { close(); }

  template <auto Method, class Owner>
  void open(Loop& loop, int number, Owner* owner) {
    start(loop, number, owner, [](void* o, int n) { (static_cast<Owner*>(o)->*Method)(n); });
  }
  void close();

 private:
  using Callback = void (*)(void*, int);
  void start(Loop& loop, int number, void* owner, Callback callback);
  static void fired(evutil_socket_t number, short what, void* self);

  event event_;
  Loop* loop_ = nullptr;
  void* owner_ = nullptr;
  Callback callback_ = nullptr;
};

}  // namespace goma::core
