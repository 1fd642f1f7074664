// SPDX-License-Identifier: Apache-2.0
//
// One look at files and directories that are watched: their state, and inotify told to wake us where it may change. Both
// can take for ever, on a disk that does not answer: so this is done aside (core/aside.h), by a child that shares the
// inotify instance with the master (core/file_watch.h) and sends back what it found.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/file_tree.h"
#include "core/service.h"

namespace goma::core {

// The names in a directory that say something.
struct Interest {
  bool all = false;
  std::set<std::string> names;
};

// What there is to look at.
struct WatchedPaths {
  std::vector<std::string> paths;
  Reach reach = Reach::anywhere;                      // where links in directories may lead
  bool (*concerns)(std::string_view name) = nullptr;  // in directories only names that it accepts count; null: all
};

// The two that a configuration has. Relative names begin at the prefix.
WatchedPaths watched_certificates(const Plan& plan, const std::string& prefix);
WatchedPaths watched_directories(const Plan& plan, const std::string& prefix);

struct Look {
  uint64_t state = 0;               // equal while nothing changed
  int64_t newest_ms = 0;            // wall clock: when the last of all these changed
  std::map<int, Interest> watches;  // what inotify's numbers stand for
  std::string unwatched;            // a directory for which inotify had no room; "": none

  std::string pack() const;
  static std::optional<Look> unpack(std::string_view bytes);
};

// Arms inotify (-1: there is none) and then looks, so that what changes after the look finds the watch armed. Watches that it
// had before and that lead nowhere any more are taken off. `at` hears what is looked at next.
Look look_at(const WatchedPaths& what, int notify, const std::map<int, Interest>& before, const FileTree::At& at);

// The state of what was read from read_ms (wall clock) on; nothing when it may have changed since then.
std::optional<uint64_t> state_as_read(const WatchedPaths& what, int64_t read_ms);
int64_t wall_ms();

}  // namespace goma::core
