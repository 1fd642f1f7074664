// SPDX-License-Identifier: Apache-2.0
//
// Tells when files or directories that a configuration was built from are not what they were. The master watches
// them, because only its user may look into their directories.
//
// inotify says when to look, and what is looked at is the state of the files themselves (device, number, size, times;
// links followed). So it does not matter how they are replaced - in place, by rename, by a link further up, by a volume that
// comes and goes - and other files in the same directory cost a look and no reload.
//
// Every directory on the way to a path is watched for the one name that leads on, every link's way as well, and below a
// directory everything. So what is not there is awaited in the nearest directory that is. Mounts, which inotify does not
// see, are told by the kernel's table of them; what else it cannot see is found by a look every minute.
//
// The looking is done aside (core/file_look.h): a disk may not answer. Then the log says which directory that is, and it is looked
// at again from time to time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/aside.h"
#include "core/file_look.h"
#include "core/loop.h"
#include "core/socket.h"

namespace goma::core {

class FileWatch {
 public:
  static constexpr int64_t quiet_ms = 300;      // files are written one after the other
  static constexpr int64_t patience_ms = 1'500;  // who writes all the time is not waited for
  static constexpr int64_t look_ms = 60'000;
  static constexpr int64_t silence_ms = 5'000;  // of a directory that is looked at
  static constexpr int64_t again_ms = 10'000;   // after that

  FileWatch(Loop& loop, Fork fork, std::function<void()> changed);
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

  // Watches these instead of what was watched before. They are known in this state (state_as_read): another one that
  // they are in now is told too.
  void watch(WatchedPaths what, std::optional<uint64_t> state);

 private:
  void look();
  void on_looked(const std::optional<std::string>& answer);
  void note(Look seen);
  void complain();
  bool tells_something(int number, std::string_view name) const;
  void on_ready(unsigned ready);
  void on_mounts(unsigned ready);
  void look_soon();

  Loop& loop_;
  Fork fork_;
  std::function<void()> changed_;
  Descriptor notify_, mounts_;
  Watch notify_watch_, mounts_watch_;
  Timer quiet_;
  Timer time_;
  Aside aside_;
  WatchedPaths what_;
  std::map<int, Interest> watched_;
  bool looked_ = false;
  bool again_ = false;            // something happened while it was looked at
  std::optional<uint64_t> state_;
  int64_t first_event_ms_ = 0;    // of those not looked at yet; 0: none
  std::optional<std::string> silent_, unwatched_;  // what the log has said
};

}  // namespace goma::core
