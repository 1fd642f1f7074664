// SPDX-License-Identifier: Apache-2.0
//
// Workers and the manager say that they live: their loops leave the time in the process table, four times a second, and
// the master looks. Who is silent for too long hangs: it is told to leave its stack and die (core/stack_trace.h), and its
// place has a fresh process at once, on the same sockets, whose queues have waited.
//
// The one idea: only a process's own silence counts. What the machine did not let it do is taken off: the time in which
// the master itself was late (a suspended or overloaded machine), and the time in which the process waited for a
// processor. A debugger's prey is left alone. One process is given up in a second, so that what ails all of them is not
// answered by ending all of them.
//
//   quiet      it beats
//   suspect    silent for a while: its share of the processors is watched
//   given up   told to die; killed when it does not
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <vector>

#include "core/family.h"
#include "core/loop.h"
#include "core/metric.h"

namespace goma::core {

class Heartbeat {
 public:
  static constexpr int64_t interval_ms = 250;  // between two beats of a process

  // The references must outlive it. Looks once a second from now on.
  Heartbeat(Loop& loop, Family& family, Metrics& metrics);
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;

  // How long a process may be silent; 0: for ever.
  void allow(int64_t limit_ms);

 private:
  struct Watch {
    int64_t beat_ms = 0;         // the last one; when it was missed first, where there is none
    bool beats = false;          // it has an entry
    int64_t late_ms = 0;         // of the master, until then
    bool suspect = false;
    uint64_t waited_ns = 0;      // for a processor, when it became suspect
    uint64_t ran_ns = 0;         // on one, at the last look
    int64_t ran_ms = 0;          // when it was seen to run last
    int64_t given_up_ms = 0;
    bool spared = false;         // the log has said why it is left alone
    bool present = false;
  };

  void look();
  void look_at(Child& child, int64_t late_before);
  int64_t own_silence(const Child& child, Watch& watch);
  int64_t waited_ms(const Child& child, Watch& watch);
  void judge(Child& child);
  void give_up(Child& child, Watch& watch);
  void finish(const Child& child, const Watch& watch);
  void show(const Child& child, int64_t lag_ms);

  Loop& loop_;
  Family& family_;
  Metrics& metrics_;
  Timer timer_;
  std::map<pid_t, Watch> watches_;
  int64_t limit_ms_ = 0;
  int64_t due_ms_ = 0;     // when the next look was to be
  int64_t next_ms_ = 0;    // when it shall be
  int64_t late_ms_ = 0;    // by how much looks were late, in all
  int64_t resting_ms_ = 0; // nobody is given up before
  Child* worst_ = nullptr;
  int64_t worst_ms_ = 0;   // its own silence
  Metrics::Cell hangs_;
  std::vector<Metrics::Cell> lags_;  // by slot, the manager's first
};

}  // namespace goma::core
