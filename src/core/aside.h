// SPDX-License-Identifier: Apache-2.0
//
// Work of the master that a disk or another process can hold up - looking at files on a network file system, renaming
// a log, taking the locks of the shared memory - is done aside: by a short-lived child with a deadline, whose answer is
// a text. The master waits for nobody; a child that is too late is killed, and left behind where even that takes time.
//
// One is left behind, and not one per try: as long as it is there nothing else is begun, and the answer is none at once.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/loader.h"
#include "core/loop.h"
#include "core/socket.h"

namespace goma::core {

class Aside {
 public:
  using Work = std::function<std::string()>;
  // Nothing: the child died, it was too late, or an earlier one is still left behind.
  using Done = std::function<void(std::optional<std::string> answer)>;

  Aside() = default;
  Aside(const Aside&) = delete;
  Aside& operator=(const Aside&) = delete;
  ~Aside();

  // Forks the child, in which the listed descriptors stay open; done is called once, later. The title is what ps shows.
  // It may be silent for so long. Requires: not running.
  void start(Loop& loop, const Fork& fork, const std::string& title, int64_t patience_ms, const Work& work, Done done, std::vector<int> keep = {});
  // Forgets the child, also one that was left behind; done is not called.
  void cancel();
  bool running() const { return done_ != nullptr; }

  // In the child: says what it is at now, which is also a sign of life.
  void at(std::string_view place) const;
  // After an answer that was none: whether it was too late, and what it was at; "" when it never said.
  bool was_late() const { return late_; }
  const std::string& last_place() const { return place_; }

 private:
  void on_answer(unsigned ready);
  void on_overdue();
  void finish(std::optional<std::string> answer);
  bool is_left_behind();

  int theirs_ = -1;      // in the child: its end of the line
  Descriptor line_;
  Descriptor left_;      // the line to one that was killed and may not be gone
  Watch watch_;
  Timer overdue_;
  pid_t pid_ = -1;
  int64_t patience_ms_ = 0;
  bool late_ = false;
  std::string place_;
  std::string heard_;
  Done done_;
};

}  // namespace goma::core
