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
// see, are found by a short look at the places every two seconds; what else it cannot see by a full one every minute.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/file_tree.h"
#include "core/loop.h"
#include "core/socket.h"

namespace goma::core {

class FileWatch {
 public:
  static constexpr int64_t quiet_ms = 300;      // files are written one after the other
  static constexpr int64_t patience_ms = 1'500;  // who writes all the time is not waited for
  static constexpr int64_t places_ms = 2'000;
  static constexpr int64_t look_ms = 60'000;

  // In directories only names that this accepts count; null: all.
  using Concerns = bool (*)(std::string_view name);

  FileWatch(Loop& loop, std::function<void()> changed, Concerns concerns = nullptr);
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

  // Watches these instead of what was watched before; they were read at read_ms (wall clock) or later. A change since
  // then is told too. Links in directories lead where `reach` says.
  void watch(std::vector<std::string> paths, int64_t read_ms, Reach reach = Reach::anywhere);

 private:
  // The names in a directory that say something.
  struct Interest {
    bool all = false;
    std::set<std::string> names;
  };
  using Interests = std::map<std::string, Interest>;
  struct State {
    std::string text;           // equal while nothing changed
    int64_t newest_ms = 0;
    Interests interests;
  };
  State look() const;
  void look_at_directory(const std::string& path, State& state) const;
  void arm(const Interests& interests);
  std::string places() const;
  bool tells_something(int number, std::string_view name) const;
  void on_ready(unsigned ready);
  void on_quiet();
  void on_time();

  Descriptor notify_;
  Watch watch_;
  Timer quiet_;
  Timer time_;
  Concerns concerns_;
  Reach reach_ = Reach::anywhere;
  std::vector<std::string> paths_;
  std::map<int, Interest> watched_;
  std::string state_;
  std::string places_;
  int64_t first_event_ms_ = 0;  // of those not looked at yet; 0: none
  int64_t looked_ms_ = 0;
  Loop& loop_;
  std::function<void()> changed_;
};

}  // namespace goma::core
