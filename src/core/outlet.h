// SPDX-License-Identifier: Apache-2.0
//
// Where text goes out without ever waiting for who reads it: a file, a FIFO, a terminal, a socket, or one of the standard
// streams, which belong to others too.
//
// Standard output and error are often a pipe or a terminal that is shared with the shell; making that non-blocking would
// break the others. So it is opened once more (/proc/self/fd/1), which gives a description of our own. Where that
// is not allowed the kernel is asked not to wait (RWF_NOWAIT), and where it does not know that, poll(2) goes first.
#pragma once

#include <sys/types.h>

#include <string_view>
#include <vector>

#include "core/descriptor.h"

namespace goma::core {

class Outlet {
 public:
  static constexpr size_t pipe_piece = 4096;  // what a pipe takes whole, unmixed with other writers

  Outlet() = default;
  // Takes a descriptor that was opened without blocking.
  explicit Outlet(Descriptor own);
  // A descriptor that others use too, which stays theirs.
  static Outlet shared(int fd);
  // 1 or 2. The first call in the life of a program opens them; children that keep `descriptors()` may use them after
  // they have become another user.
  static Outlet& standard(int number);
  static std::vector<int> descriptors();

  bool is_open() const { return fd_ >= 0; }
  // A file on a disk takes any size; others want pieces of pipe_piece.
  bool is_file() const { return how_ == How::file; }
  // As write(2): what went out, or -1 with errno; EAGAIN when there is no room now.
  ssize_t write(std::string_view text);
  // Waits until there is room, at most so long. True when there is.
  bool wait(int ms) const;
  // Writes what can be written within this time; false when something was left.
  bool put(std::string_view text, int ms);

 private:
  enum class How : unsigned char { file, free, socket, shared };  // free: opened without blocking
  int fd_ = -1;
  How how_ = How::file;
  Descriptor own_;
};

}  // namespace goma::core
