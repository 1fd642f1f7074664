// SPDX-License-Identifier: Apache-2.0
//
// Work of the master that a disk or another process can hold up - looking at files on a network file system, renaming
// a log, taking the locks of the shared memory - is done aside: by a short-lived child with a deadline, whose answer is
// a text. The master waits for nobody; a child that is too late is killed, and left behind where even that takes time.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/loader.h"
#include "core/loop.h"
#include "core/socket.h"

namespace goma::core {

class Aside {
 public:
  using Work = std::function<std::string()>;
  // Nothing: the child died, or it was too late.
  using Done = std::function<void(std::optional<std::string> answer)>;

  Aside() = default;
  Aside(const Aside&) = delete;
  Aside& operator=(const Aside&) = delete;
  ~Aside();

  // Forks the child, in which the listed descriptors stay open; done is called once, later. The title is what ps shows.
  // Requires: not running.
  void start(Loop& loop, const Fork& fork, const std::string& title, int64_t patience_ms, const Work& work, Done done, std::vector<int> keep = {});
  // Forgets the child; done is not called.
  void cancel();
  bool running() const { return done_ != nullptr; }

 private:
  void on_answer(unsigned ready);
  void on_overdue();
  void finish(std::optional<std::string> answer);

  Descriptor line_;
  Watch watch_;
  Timer overdue_;
  pid_t pid_ = -1;
  std::string heard_;
  Done done_;
};

}  // namespace goma::core
