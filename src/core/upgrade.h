// SPDX-License-Identifier: Apache-2.0
//
// Replacing the binary under load, seen from the master that is replaced. The new master is a child that runs the binary
// anew with the listening sockets and the slab; the other end is core/predecessor.h.
//
// At any moment one of the two owns the places (pid file, control socket, state file, unix paths) and with them the duty
// to do what it is told; the other holds sockets but opens, closes and removes nothing. Five words settle it:
//
//     old master              line              new master
//     idle
//     waiting    ---- runs the binary --->
//                <----- "here" -----------      its loop runs, it sees this end of the line
//                                               loads, starts its children on the same sockets
//                <----- "ready" ----------      serves beside the old one, owns nothing
//     offered    ------ "yours" --------->      takes the places, owns them
//                <----- "taken" ----------      serves
//     handed     ------ "settled" ------->      everything that was told to the old one has been passed on
//                                               (the old one drains and leaves; its end of the line goes with it)
//
//   idle      no new master; the owner
//   waiting   it has not said a word; the owner
//   ending    it was told to end: TERM, at the deadline KILL for it and all it started; the owner
//   offered   "yours" was said. If it dies or is silent now, the places are taken back
//   handed    owns nothing, closes its sockets, drains
//
// What an order does in each:
//
//   order               idle, ending       waiting                     offered            handed
//   reload (any way)    done               waits; done when it failed, passed on when it is handed
//   reopen              done               done; the new one opens its logs again when it takes the places
//   stop, quit          done               ends the new one, then      waits, as          passed on
//                                          itself                      a reload
//   upgrade             done (ending:      refused: one is under way                      passed on
//                       waits)
//
// If the old master dies, the new one sees the end of the line: it takes the places at once, reads the configuration once more
// (nobody knows what the dead one was told last) and ends the children it left. Before "here", when nobody knows whether that binary
// looks at all, a lookout (a child that does nothing else) ends it and what it started. If the new one dies before it was handed, the old one goes on as if nothing had happened; after
// that it is an ordinary master that died (core/worker.h says what its children do).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "core/listener.h"
#include "core/loader.h"
#include "core/loop.h"
#include "core/predecessor.h"
#include "core/settings.h"
#include "core/socket.h"

namespace goma::core {

// Whom the Upgrade tells: the master.
class UpgradeListener {
 public:
  virtual ~UpgradeListener() = default;
  // The new master owns the places from now on. `status` is its line for the service manager.
  virtual void on_handed(pid_t fresh, const std::string& status) = 0;
  // There is no new master any more, and nothing of it; the places may be wrong.
  virtual void on_upgrade_failed(const std::string& reason) = 0;
  // Whether this process holds the pid file that was ours.
  virtual bool has_places(pid_t pid) const = 0;
  // It has a wish while we drain: "reopen", "quit" or "term".
  virtual void on_successor(std::string_view word) = 0;
};

class Upgrade {
 public:
  static constexpr int64_t patience_ms = 30'000;      // until "ready"
  static constexpr int64_t taking_ms = 5'000;         // until "taken"
  static constexpr int64_t ending_ms = 7'000;         // from TERM to KILL: more than a stop in a hurry takes
  enum class State { idle, waiting, ending, offered, handed };

  explicit Upgrade(UpgradeListener& listener) : listener_(listener) {}
  Upgrade(const Upgrade&) = delete;
  Upgrade& operator=(const Upgrade&) = delete;

  // Starts the binary again. Requires: idle. The listener hears of it once, perhaps at once.
  void start(Loop& loop, const Fork& fork, const Settings& settings, const Listeners& listeners, Inheritance given);
  // The new one must end; on_upgrade_failed(reason) follows when it has. Only in waiting, else nothing.
  void end(const std::string& reason);
  // Ends it now, whatever it does; not when it was handed the places.
  void kill();

  // In handed: whatever was told to this master has been passed on.
  void settled();

  State state() const { return state_; }
  // A new master lives that owns nothing yet, or may not.
  bool running() const { return state_ == State::waiting || state_ == State::ending || state_ == State::offered; }
  // The new master that was handed the places, while it lives; 0: none.
  pid_t successor() const { return state_ == State::handed && !gone_ ? pid_ : 0; }
  // A process has ended. False when it is not the new master.
  bool reaped(pid_t pid, int status);

 private:
  void end_lookout();
  void on_line(unsigned ready);
  void hear(std::string_view word);
  void offer();
  void handed(std::string_view status);
  void on_overdue();
  void fail(const std::string& reason);

  UpgradeListener& listener_;
  State state_ = State::idle;
  Descriptor line_;
  Watch watch_;
  Timer overdue_;
  pid_t pid_ = -1;
  bool gone_ = false;   // it has ended
  pid_t lookout_ = -1;
  std::string reason_;  // why it must end, or what it said about itself
};

}  // namespace goma::core
