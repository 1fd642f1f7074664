// SPDX-License-Identifier: Apache-2.0
//
// Closing, and the two flags.
#include "core/descriptor.h"

#include <fcntl.h>
#include <unistd.h>

namespace goma::core {

namespace {

void update_flag(int fd, int get, int set, int flag, bool on) {
  const int flags = ::fcntl(fd, get);
  if (flags >= 0) ::fcntl(fd, set, on ? flags | flag : flags & ~flag);
}

}  // namespace

void Descriptor::reset(int fd) {
  if (fd_ >= 0 && fd_ != fd) ::close(fd_);
  fd_ = fd;
}

void set_nonblocking(int fd, bool on) { update_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK, on); }

void set_close_on_exec(int fd, bool on) { update_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC, on); }

}  // namespace goma::core
