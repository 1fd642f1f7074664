// SPDX-License-Identifier: Apache-2.0
//
// Replacing the binary under load: the old master starts the new one with its listening sockets and the slab, and
// goes on serving until the new one says "ready" over a pipe. If it says anything else, or nothing in time, nothing
// has happened.
//
// The whole inheritance is one environment variable, GOMA_UPGRADE, of key=value words separated by blanks.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/listener.h"
#include "core/loader.h"
#include "core/loop.h"
#include "core/service.h"
#include "core/settings.h"
#include "core/socket.h"

namespace goma::core {

// What a new master got from the old one.
struct Inheritance {
  pid_t old_master = 0;
  uint64_t generation = 0;  // of the old master
  int workers = 0;
  int slab = -1;
  int line = -1;            // where "ready" or the reason of a failure goes
  std::vector<Listening> sockets;
};

// Reads GOMA_UPGRADE and removes it from the environment; nothing when this is an ordinary start.
std::optional<Inheritance> take_inheritance();
// Tells the old master how it went; an empty reason means ready. Closes the line.
void tell_old_master(Inheritance& inheritance, const std::string& reason);

class Upgrade {
 public:
  static constexpr int64_t patience_ms = 30'000;

  // pid of the new master, or an error text.
  using Done = std::function<void(pid_t fresh, const std::string& error)>;

  Upgrade() = default;
  Upgrade(const Upgrade&) = delete;
  Upgrade& operator=(const Upgrade&) = delete;

  // Starts the binary again. Requires: not running. done is called once, later.
  void start(Loop& loop, const Fork& fork, const Settings& settings, const Listeners& listeners, Inheritance given, Done done);
  bool running() const { return pid_ > 0; }
  // The new master has ended. False when this pid is not it.
  bool reaped(pid_t pid, int status);

 private:
  void on_line(unsigned ready);
  void on_overdue();
  void finish(const std::string& error);

  Descriptor line_;
  Watch watch_;
  Timer overdue_;
  pid_t pid_ = -1;
  std::string heard_;
  Done done_;
};

}  // namespace goma::core
