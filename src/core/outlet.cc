// SPDX-License-Identifier: Apache-2.0
//
// One write, four ways not to wait.
#include "core/outlet.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <ctime>

namespace goma::core {

namespace {

int64_t monotonic_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{1000} * now.tv_sec + now.tv_nsec / 1'000'000;
}

}  // namespace

Outlet::Outlet(Descriptor own) : fd_(own.get()), own_(std::move(own)) {
  struct stat about {};
  const bool known = ::fstat(fd_, &about) == 0;
  how_ = known && S_ISREG(about.st_mode) ? How::file : known && S_ISSOCK(about.st_mode) ? How::socket : How::free;
}

Outlet& Outlet::standard(int number) {
  static Outlet streams[2];
  Outlet& stream = streams[number == STDERR_FILENO ? 1 : 0];
  if (!stream.is_open()) stream = shared(number);
  return stream;
}

Outlet Outlet::shared(int number) {
  Outlet stream;
  stream.fd_ = number;
  struct stat about {};
  if (::fstat(number, &about) != 0 || S_ISREG(about.st_mode)) return stream;
  stream.how_ = S_ISSOCK(about.st_mode) ? How::socket : How::shared;
  if (stream.how_ == How::socket) return stream;
  char path[32];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", number);
  stream.own_.reset(::open(path, O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  if (!stream.own_) return stream;
  stream.fd_ = stream.own_.get();
  stream.how_ = How::free;
  return stream;
}

std::vector<int> Outlet::descriptors() { return {standard(STDOUT_FILENO).fd_, standard(STDERR_FILENO).fd_}; }

ssize_t Outlet::write(std::string_view text) {
  if (how_ == How::socket) return ::send(fd_, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (how_ != How::shared) return ::write(fd_, text.data(), text.size());
  const std::string_view piece = text.substr(0, pipe_piece);
  const iovec part{const_cast<char*>(piece.data()), piece.size()};
  const ssize_t n = ::pwritev2(fd_, &part, 1, -1, RWF_NOWAIT);
  if (n >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != EPERM)) return n;
  if (wait(0)) return ::write(fd_, piece.data(), piece.size());
  errno = EAGAIN;
  return -1;
}

bool Outlet::wait(int ms) const {
  pollfd ready{fd_, POLLOUT, 0};
  return ::poll(&ready, 1, ms) == 1 && (ready.revents & (POLLOUT | POLLERR | POLLHUP)) != 0;
}

bool Outlet::put(std::string_view text, int ms) {
  const int64_t end = monotonic_ms() + ms;
  while (!text.empty()) {
    const ssize_t n = write(text);
    if (n > 0) {
      text.remove_prefix(static_cast<size_t>(n));
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    const auto left = static_cast<int>(std::max<int64_t>(end - monotonic_ms(), 0));
    if (n == 0 || errno != EAGAIN || left == 0) return false;
    wait(left);
  }
  return true;
}

}  // namespace goma::core
