// SPDX-License-Identifier: Apache-2.0
//
// Tells when files or directories that a configuration was built from are not what they were: certificates and keys,
// which others renew. The master watches them, because only its user may look into their directories.
//
// inotify says when to look, and what is looked at is the state of the files themselves (device, number, size, times;
// links followed). So it does not matter how they are replaced - in place, by rename, by a link further up - and
// other files in the same directory cost a look and no reload. A slow second look finds what inotify cannot see.
//
// The looking is done aside, because the disk may hang; so is adding watches, which walks the paths.
//
// What it does not do: look into directories below a directory.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/aside.h"
#include "core/loop.h"
#include "core/socket.h"

namespace goma::core {

class FileWatch {
 public:
  static constexpr int64_t settle_ms = 300;  // a certificate and its key are written one after the other
  static constexpr int64_t look_ms = 60'000;

  static constexpr int64_t patience_ms = 20'000;

  FileWatch(Loop& loop, Fork fork, std::function<void()> changed);
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

  // Watches these instead of what was watched before; they were read at read_ms (wall clock) or later. A change since
  // then is told too.
  void watch(std::vector<std::string> paths, int64_t read_ms);

 private:
  void look(bool first);
  void looked(const std::string& seen, bool first);
  void on_ready(unsigned ready);
  void on_settled() { look(false); }
  void on_time();

  Loop& loop_;
  Fork fork_;
  Aside aside_;
  bool again_ = false;  // something changed while it was looked at
  int64_t read_ms_ = 0;
  Descriptor notify_;
  Watch watch_;
  Timer settle_;
  Timer time_;
  std::vector<std::string> paths_;
  std::string state_;   // equal while nothing changed
  std::function<void()> changed_;
};

}  // namespace goma::core
