// SPDX-License-Identifier: Apache-2.0
//
// Tells when files or directories that a configuration was built from are not what they were: certificates and keys,
// which others renew. The master watches them, because only its user may look into their directories.
//
// inotify says when to look, and what is looked at is the state of the files themselves (device, number, size, times;
// links followed). So it does not matter how they are replaced - in place, by rename, by a link further up - and
// other files in the same directory cost a look and no reload. A slow second look finds what inotify cannot see.
//
// What it does not do: look into directories below a directory.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/loop.h"
#include "core/socket.h"

namespace goma::core {

class FileWatch {
 public:
  static constexpr int64_t settle_ms = 300;  // a certificate and its key are written one after the other
  static constexpr int64_t look_ms = 60'000;

  FileWatch(Loop& loop, std::function<void()> changed);
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

  // Watches these instead of what was watched before; they were read at read_ms (wall clock) or later. A change since
  // then is told too.
  void watch(std::vector<std::string> paths, int64_t read_ms);

 private:
  struct State {
    std::string text;           // equal while nothing changed
    int64_t newest_ms = 0;
  };
  State look() const;
  void on_ready(unsigned ready);
  void on_settled();
  void on_time();

  Descriptor notify_;
  Watch watch_;
  Timer settle_;
  Timer time_;
  std::vector<std::string> paths_;
  std::vector<int> watched_;
  std::string state_;
  std::function<void()> changed_;
};

}  // namespace goma::core
