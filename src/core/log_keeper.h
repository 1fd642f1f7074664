// SPDX-License-Identifier: Apache-2.0
//
// Renames and makes the file of the log in a child of the master: a disk that hangs holds up the child only. One turn at
// a time; who asks meanwhile shares the next.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/aside.h"
#include "core/service.h"
#include "core/settings.h"

namespace goma::core {

class LogKeeper {
 public:
  static constexpr int64_t patience_ms = 5'000;
  // An empty error: the file is there for everybody to open.
  using Done = std::function<void(const std::string& error)>;

  // Makes the file where it is missing, and calls done.
  void make(Loop& loop, const Fork& fork, const Plan& plan, const Settings& settings, Done done);
  // Renames a file that is full, and makes a new one; calls done when there is a new one, or one cannot be had.
  void rotate(Loop& loop, const Fork& fork, const Plan& plan, const Settings& settings, Done done);

 private:
  struct Waiter {
    bool rotate;
    Done done;
  };
  void start(Loop& loop, const Fork& fork, const Plan& plan, const Settings& settings);
  void answer(const std::vector<Waiter>& waiters, const std::string& outcome);

  Aside aside_;
  std::vector<Waiter> waiting_;
};

}  // namespace goma::core
