// SPDX-License-Identifier: Apache-2.0
//
// The loop on real descriptors: edges are reported once, deferred work runs before the next wait, timers move and
// stop, signals arrive as callbacks.
#include "core/loop.h"

#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <string>

#include "check.h"

using goma::core::Deferred;
using goma::core::Loop;
using goma::core::ready_close;
using goma::core::ready_read;
using goma::core::ready_write;
using goma::core::Signal;
using goma::core::Timer;
using goma::core::Watch;

namespace {

struct Pair {
  Pair() { CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd) == 0); }
  ~Pair() {
    for (int one : fd) {
      if (one >= 0) ::close(one);
    }
  }
  int fd[2];
};

// Ends the loop after a while, so that a test that waits for nothing fails instead of hanging.
struct Guard {
  Guard(Loop& loop, int64_t ms) : loop_(loop) {
    timer_.bind<&Guard::fire>(loop, this);
    timer_.start(ms);
  }
  void fire() {
    fired = true;
    loop_.stop();
  }
  bool fired = false;
  Loop& loop_;
  Timer timer_;
};

struct Watcher {
  explicit Watcher(Loop& l) : loop(l) {}
  void on_ready(unsigned what) {
    ++calls;
    seen |= what;
    if ((seen & wanted) == wanted) loop.stop();
  }
  Loop& loop;
  Watch watch;
  unsigned seen = 0;
  unsigned wanted = 0;
  int calls = 0;
};

void reports_write_then_read_then_close() {
  Loop loop;
  Pair pair;
  Guard guard(loop, 5000);
  Watcher watcher(loop);
  watcher.watch.open<&Watcher::on_ready>(loop, pair.fd[0], &watcher);
  for (unsigned wanted : {unsigned{ready_write}, unsigned{ready_read}, unsigned{ready_close}}) {
    watcher.wanted = wanted;
    watcher.seen = 0;
    if (wanted == ready_read) CHECK_EQ(::write(pair.fd[1], "x", 1), 1);
    if (wanted == ready_close) CHECK_EQ(::shutdown(pair.fd[1], SHUT_WR), 0);
    loop.run();
    CHECK((watcher.seen & wanted) != 0);
  }
  CHECK(!guard.fired);
}

// Unread data is reported once: no busy loop while somebody pauses reading.
void edge_is_reported_once() {
  Loop loop;
  Pair pair;
  Watcher watcher(loop);
  watcher.wanted = ~0u;
  watcher.watch.open<&Watcher::on_ready>(loop, pair.fd[0], &watcher);
  CHECK_EQ(::write(pair.fd[1], "x", 1), 1);
  Guard guard(loop, 30);
  loop.run();
  CHECK(watcher.calls <= 2);
  CHECK((watcher.seen & ready_read) != 0);
}

void level_is_reported_until_read() {
  Loop loop;
  Pair pair;
  struct Reader {
    void on_ready(unsigned) {
      char one;
      if (::read(fd, &one, 1) == 1) text.push_back(one);
      if (text.size() == 3) loop.stop();
    }
    Loop& loop;
    int fd;
    std::string text;
    Watch watch;
  };
  Reader reader{loop, pair.fd[0], {}, {}};
  CHECK_EQ(::write(pair.fd[1], "abc", 3), 3);
  Guard guard(loop, 5000);
  reader.watch.open_level<&Reader::on_ready>(loop, pair.fd[0], &reader);
  loop.run();
  CHECK_EQ(reader.text, "abc");
}

void closed_watch_is_silent() {
  Loop loop;
  Pair pair;
  Watcher watcher(loop);
  watcher.watch.open<&Watcher::on_ready>(loop, pair.fd[0], &watcher);
  watcher.watch.close();
  CHECK(!watcher.watch.is_open());
  CHECK_EQ(::write(pair.fd[1], "x", 1), 1);
  Guard guard(loop, 20);
  loop.run();
  CHECK_EQ(watcher.calls, 0);
}

// Deferred work runs in the same callback, once however often it is asked for, and work may defer more.
struct Chain {
  explicit Chain(Loop& l) : loop(l) {
    timer.bind<&Chain::start>(loop, this);
    first.bind<&Chain::one>(this);
    second.bind<&Chain::two>(this);
    third.bind<&Chain::three>(this);
    timer.start(0);
  }
  void start() {
    began_us = loop.now_us();
    loop.defer(first);
    loop.defer(first);
    loop.defer(third);
    third.cancel();
    text += 's';
  }
  void one() {
    text += '1';
    loop.defer(second);
  }
  void two() {
    text += '2';
    same_callback = loop.now_us() == began_us;  // the clock is read once per callback
    loop.stop();
  }
  void three() { text += '3'; }

  Loop& loop;
  Timer timer;
  Deferred first, second, third;
  int64_t began_us = 0;
  bool same_callback = false;
  std::string text;
};

void deferred_work_runs_in_the_same_callback() {
  Loop loop;
  Guard guard(loop, 5000);
  Chain chain(loop);
  loop.run();
  CHECK_EQ(chain.text, "s12");
  CHECK(chain.same_callback);
}

void timer_moves_and_stops() {
  Loop loop;
  struct Late {
    void fire() { ++fired; }
    int fired = 0;
    Timer timer;
  };
  Late moved, stopped;
  moved.timer.bind<&Late::fire>(loop, &moved);
  stopped.timer.bind<&Late::fire>(loop, &stopped);
  moved.timer.start(1);
  moved.timer.start(100000);
  stopped.timer.start(1);
  stopped.timer.stop();
  CHECK(!stopped.timer.running());
  Guard guard(loop, 20);
  const int64_t before = loop.now_ms();
  loop.run();
  CHECK_EQ(moved.fired, 0);
  CHECK_EQ(stopped.fired, 0);
  CHECK(loop.now_ms() - before >= 19);
}

void signal_is_a_callback() {
  Loop loop;
  struct Catcher {
    void caught(int number) {
      got = number;
      loop.stop();
    }
    Loop& loop;
    int got = 0;
    Signal watch;
  };
  Catcher catcher{loop, 0, {}};
  catcher.watch.open<&Catcher::caught>(loop, SIGUSR1, &catcher);
  Guard guard(loop, 5000);
  ::raise(SIGUSR1);
  loop.run();
  CHECK_EQ(catcher.got, SIGUSR1);
}

// Of two descriptors that become ready at once, the first to be told sees that the other is about to be.
void what_is_untold_can_be_seen() {
  Loop loop;
  Pair first, second;
  struct Look {
    void on_ready(unsigned) {
      if (seen != 0) return;
      seen = other->untold();
    }
    Watch watch;
    Watch* other = nullptr;
    unsigned seen = 0;
  };
  Look a, b;
  a.other = &b.watch;
  b.other = &a.watch;
  Guard guard(loop, 20);
  a.watch.open_level<&Look::on_ready>(loop, first.fd[0], &a);
  b.watch.open_level<&Look::on_ready>(loop, second.fd[0], &b);
  CHECK_EQ(a.watch.untold(), 0u);
  CHECK(::write(first.fd[1], "x", 1) == 1 && ::write(second.fd[1], "x", 1) == 1);
  loop.run();
  CHECK_EQ(a.seen | b.seen, unsigned{ready_read});
  a.watch.close();
  b.watch.close();
  CHECK_EQ(a.watch.untold(), 0u);
}

// Works on for ever, a turn each; ends with the other's event.
struct Greedy {
  explicit Greedy(Loop& l) : loop(l) { again.bind<&Greedy::work>(this); }
  void work() {
    ++turns;
    loop.next_turn(again);
    loop.next_turn(again);
  }
  void on_ready(unsigned) { loop.stop(); }
  Loop& loop;
  Deferred again;
  int turns = 0;
};

void what_is_left_waits_for_the_others() {
  Loop loop;
  Guard guard(loop, 5000);
  Greedy greedy(loop);
  Pair pair;
  Watch watch;
  greedy.work();
  CHECK_EQ(::write(pair.fd[1], "x", 1), 1);
  watch.open<&Greedy::on_ready>(loop, pair.fd[0], &greedy);
  loop.run();
  CHECK(!guard.fired);
  CHECK(greedy.turns >= 1 && greedy.turns <= 3);
}

}  // namespace

GOMA_TESTS(what_is_untold_can_be_seen, reports_write_then_read_then_close, edge_is_reported_once, level_is_reported_until_read,
           closed_watch_is_silent, deferred_work_runs_in_the_same_callback, what_is_left_waits_for_the_others, timer_moves_and_stops,
           signal_is_a_callback)
