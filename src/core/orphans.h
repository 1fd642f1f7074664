// SPDX-License-Identifier: Apache-2.0
//
// Children of another master of this place, known from its state file. While that master lives they are its own business; when it
// has died they are told to leave as soon as somebody else serves, and killed when they do not. A process is a pid with its
// start time, so nobody is ever taken for somebody else.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/loop.h"

namespace goma::core {

class Orphans {
 public:
  // `gone` is called when the last of those who were told to leave has left.
  Orphans(Loop& loop, std::function<void()> gone);
  Orphans(const Orphans&) = delete;
  Orphans& operator=(const Orphans&) = delete;

  // Adds those in this state file that live.
  void read(const std::string& path);
  // QUIT for all; KILL for who is there after so long.
  void end(int64_t patience_ms);
  // KILL for all, told or not.
  void kill();
  // Some were told to leave and are still there.
  bool ending() const { return look_.running(); }

  std::vector<pid_t> pids() const;
  // Those that live, as lines of a state file.
  std::string lines() const;

 private:
  struct Orphan {
    pid_t pid;
    uint64_t start_time;
    bool lives() const;
  };

  void on_look();
  void on_overdue() { kill(); }

  std::function<void()> gone_;
  std::vector<Orphan> all_;
  Timer look_, overdue_;
};

}  // namespace goma::core
