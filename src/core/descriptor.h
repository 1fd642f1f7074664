// SPDX-License-Identifier: Apache-2.0
//
// A file descriptor that closes itself.
#pragma once

namespace goma::core {

// Owns a file descriptor.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    reset(other.release());
    return *this;
  }
  ~Descriptor() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  // Gives the descriptor away.
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }
  // Closes the one it has and takes another (-1: none).
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

void set_nonblocking(int fd, bool on);
void set_close_on_exec(int fd, bool on);

}  // namespace goma::core
