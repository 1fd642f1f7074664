// SPDX-License-Identifier: Apache-2.0
//
// System calls of a stream: one receive, one send, and splice for large bodies.
#include "core/stream.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace goma::core {

namespace {

size_t total(const iovec* pieces, int count) {
  size_t n = 0;
  for (int i = 0; i < count; ++i) n += pieces[i].iov_len;
  return n;
}

// The C library's recv and send are cancellation points, which costs two atomic operations each in a process that has
// threads. Nobody cancels threads here.
ssize_t receive(int fd, void* into, size_t room) { return ::syscall(SYS_recvfrom, fd, into, room, 0, nullptr, nullptr); }

ssize_t send_flat(int fd, const void* data, size_t n) { return ::syscall(SYS_sendto, fd, data, n, MSG_NOSIGNAL, nullptr, 0); }

// The kernel takes one flat buffer faster than a vector; below a page or so the copy is cheaper than the vector.
constexpr size_t flat_bytes = 4096;

ssize_t send_pieces(int fd, const iovec* pieces, int count, size_t all) {
  if (count == 1) return send_flat(fd, pieces[0].iov_base, pieces[0].iov_len);
  if (all <= flat_bytes) {
    char flat[flat_bytes];
    char* out = flat;
    for (int i = 0; i < count; ++i) out = static_cast<char*>(mempcpy(out, pieces[i].iov_base, pieces[i].iov_len));
    return send_flat(fd, flat, all);
  }
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces);
  message.msg_iovlen = static_cast<size_t>(count);
  return ::sendmsg(fd, &message, MSG_NOSIGNAL);
}

bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOTCONN; }

}  // namespace

void Stream::take(Stream& other) {
  close();
  other.watch_.close();
  fd_ = std::exchange(other.fd_, -1);
  rest_ = std::exchange(other.rest_, std::string());
  rest_sent_ = std::exchange(other.rest_sent_, 0);
  pipe_ = std::move(other.pipe_);
  sealed_ = std::move(other.sealed_);
  received_ = other.received_;
  sent_ = other.sent_;
  peer_closed_ = other.peer_closed_;
  shutdown_wanted_ = other.shutdown_wanted_;
}

void Stream::close() {
  watch_.close();
  if (sealed_) {
    if (fd_ >= 0 && !peer_closed_ && rest_.empty()) say_end();
    sealed_.reset();
  }
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
  if (pipe_) buffers_.pipes.give(std::move(pipe_));
  rest_ = std::string();
  rest_sent_ = 0;
}

void Stream::reset() {
  if (fd_ < 0) return;
  const linger abort{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
  if (sealed_) sealed_->ended = true;
  close();
}

bool Stream::shutdown_write() {
  shutdown_wanted_ = true;
  if (sealed_) say_end();
  if (backlog() != 0) return true;
  return ::shutdown(fd_, SHUT_WR) == 0 || errno == ENOTCONN;
}

bool Stream::is_broken() const {
  int error = 0;
  socklen_t length = sizeof error;
  return ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error != 0;
}

Stream::Read Stream::read(char* into, size_t room) {
  if (sealed_) return read_sealed(into, room);
  const ssize_t n = receive(fd_, into, room);
  if (n > 0) {
    received_ += static_cast<uint64_t>(n);
    return {Io::ok, static_cast<size_t>(n), static_cast<size_t>(n) == room || peer_closed_};
  }
  if (n == 0) return {Io::eof};
  if (errno == EINTR) return {Io::ok, 0, true};
  return {would_block() ? Io::blocked : Io::failed};
}

Stream::Io Stream::write(std::string_view data) {
  const iovec piece{const_cast<char*>(data.data()), data.size()};
  return write(&piece, 1);
}

Stream::Io Stream::write(const iovec* pieces, int count) {
  if (sealed_) return write_sealed(pieces, count);
  if (backlog() != 0) return keep(pieces, count, 0);
  const size_t all = total(pieces, count);
  if (all == 0) return Io::ok;
  ssize_t n = send_pieces(fd_, pieces, count, all);
  if (n < 0) {
    if (!would_block() && errno != EINTR) return Io::failed;
    n = 0;
  }
  sent_ += static_cast<uint64_t>(n);
  if (static_cast<size_t>(n) == all) return Io::ok;
  return keep(pieces, count, static_cast<size_t>(n));
}

Stream::Io Stream::keep(const iovec* pieces, int count, size_t skip) {
  for (int i = 0; i < count; ++i) {
    const size_t length = pieces[i].iov_len;
    if (skip >= length) {
      skip -= length;
      continue;
    }
    rest_.append(static_cast<const char*>(pieces[i].iov_base) + skip, length - skip);
    skip = 0;
  }
  return Io::blocked;
}

Stream::Io Stream::flush() {
  if (sealed_ && !sealed_->held.empty()) rest_.append(std::exchange(sealed_->held, std::string()));
  while (rest_sent_ < rest_.size()) {
    const ssize_t n = send_flat(fd_, rest_.data() + rest_sent_, rest_.size() - rest_sent_);
    if (n < 0) {
      if (errno == EINTR) continue;
      return would_block() ? Io::blocked : Io::failed;
    }
    sent_ += static_cast<uint64_t>(n);
    rest_sent_ += static_cast<size_t>(n);
  }
  if (rest_sent_ != 0) {
    rest_ = std::string();
    rest_sent_ = 0;
  }
  if (pipe_) {
    const Io state = drain_pipe();
    if (state != Io::ok) return state;
  }
  if (shutdown_wanted_ && ::shutdown(fd_, SHUT_WR) != 0 && errno != ENOTCONN) return Io::failed;
  return Io::ok;
}

Stream::Io Stream::drain_pipe() {
  while (pipe_->inside > 0) {
    const ssize_t n = ::splice(pipe_->out(), nullptr, fd_, nullptr, pipe_->inside, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (n <= 0) {
      if (n < 0 && errno == EINTR) continue;
      return n < 0 && would_block() ? Io::blocked : Io::failed;
    }
    sent_ += static_cast<uint64_t>(n);
    pipe_->inside -= static_cast<size_t>(n);
  }
  buffers_.pipes.give(std::move(pipe_));
  return Io::ok;
}

Stream::Read Stream::splice_from(Stream& source, size_t max) {
  if (backlog() != 0) return {Io::blocked};
  if (!pipe_) pipe_ = buffers_.pipes.take();
  if (!pipe_) return {Io::failed};
  const size_t want = max < Pipe::capacity ? max : Pipe::capacity;
  ssize_t n;
  do {
    n = ::splice(source.fd_, nullptr, pipe_->in(), nullptr, want, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
  } while (n < 0 && errno == EINTR);
  if (n <= 0) {
    buffers_.pipes.give(std::move(pipe_));
    if (n == 0) return {Io::eof};
    return {would_block() ? Io::blocked : Io::failed};
  }
  source.received_ += static_cast<uint64_t>(n);
  pipe_->inside = static_cast<size_t>(n);
  if (drain_pipe() == Io::failed) return {Io::failed};
  return {Io::ok, static_cast<size_t>(n), true};
}

}  // namespace goma::core
