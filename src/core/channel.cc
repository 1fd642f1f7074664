// SPDX-License-Identifier: Apache-2.0
//
// Messages with descriptors over SEQPACKET. A kind is the first four bytes of a packet.
#include "core/channel.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace goma::core {

namespace {

constexpr off_t max_memory_file = off_t{256} << 20;

}  // namespace

Result<std::pair<int, int>> Channel::pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0) {
    return Error::from_errno(Code::exhausted, "cannot make a socket pair", errno);
  }
  return std::pair<int, int>(fds[0], fds[1]);
}

void Channel::close() {
  watch_.close();
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
  for (Message& message : queue_) {
    for (const int fd : message.fds) ::close(fd);
  }
  queue_.clear();
}

void Channel::send(uint32_t kind, std::string_view body, const std::vector<int>& fds) {
  GOMA_CHECK(body.size() <= max_body && fds.size() <= max_fds);
  if (fd_ < 0) return;
  Message message{kind, std::string(body), fds};
  if (queue_.empty() && send_now(message)) return;
  for (int& fd : message.fds) fd = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
  queue_.push_back(std::move(message));
}

// False when the kernel has no room; a broken line counts as sent, its end is reported by reading.
bool Channel::send_now(const Message& message) {
  iovec parts[2] = {{const_cast<uint32_t*>(&message.kind), sizeof message.kind},
                    {const_cast<char*>(message.body.data()), message.body.size()}};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * max_fds)] = {};
  msghdr header{};
  header.msg_iov = parts;
  header.msg_iovlen = 2;
  if (!message.fds.empty()) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(sizeof(int) * message.fds.size());
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int) * message.fds.size());
    std::memcpy(CMSG_DATA(rights), message.fds.data(), sizeof(int) * message.fds.size());
  }
  ssize_t sent = -1;
  do {
    sent = ::sendmsg(fd_, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  return sent >= 0 || (errno != EAGAIN && errno != ENOBUFS);
}

void Channel::flush() {
  while (!queue_.empty() && send_now(queue_.front())) {
    for (const int fd : queue_.front().fds) ::close(fd);
    queue_.pop_front();
  }
}

// False at the end of the line or when there is nothing to read (then errno is EAGAIN).
bool Channel::receive(Message& message) {
  static thread_local char body[max_body];
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * max_fds)];
  iovec parts[2] = {{&message.kind, sizeof message.kind}, {body, sizeof body}};
  msghdr header{};
  header.msg_iov = parts;
  header.msg_iovlen = 2;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ssize_t n = -1;
  do {
    n = ::recvmsg(fd_, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  if (n < static_cast<ssize_t>(sizeof message.kind)) {
    if (n >= 0) errno = 0;
    return false;
  }
  message.body.assign(body, static_cast<size_t>(n) - sizeof message.kind);
  message.fds.clear();
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    message.fds.resize(count);
    std::memcpy(message.fds.data(), CMSG_DATA(part), sizeof(int) * count);
  }
  return true;
}

void Channel::ready(unsigned what) {
  if (what & ready_write) flush();
  Message message;
  while (fd_ >= 0 && receive(message)) on_message_(owner_, message);
  if (fd_ < 0 || errno == EAGAIN) return;
  close();
  on_closed_(owner_);
}

Result<int> memory_file(std::string_view content) {
  const int fd = ::memfd_create("goma-answer", MFD_CLOEXEC);
  if (fd < 0) return Error::from_errno(Code::exhausted, "cannot create a memory file", errno);
  while (!content.empty()) {
    const ssize_t n = ::write(fd, content.data(), content.size());
    if (n <= 0) {
      const int number = errno;
      ::close(fd);
      return Error::from_errno(Code::exhausted, "cannot write a memory file", number);
    }
    content.remove_prefix(static_cast<size_t>(n));
  }
  return fd;
}

Result<std::string> read_memory_file(int fd) {
  struct stat about {};
  if (::fstat(fd, &about) != 0) return Error::from_errno(Code::internal, "cannot examine a memory file", errno);
  if (!S_ISREG(about.st_mode) || about.st_size > max_memory_file) return Error{Code::invalid, "not a memory file of a size that can be read", 0};
  std::string content(static_cast<size_t>(about.st_size), '\0');
  size_t done = 0;
  while (done < content.size()) {
    const ssize_t n = ::pread(fd, content.data() + done, content.size() - done, static_cast<off_t>(done));
    if (n <= 0) return Error::from_errno(Code::internal, "cannot read a memory file", errno);
    done += static_cast<size_t>(n);
  }
  return content;
}

}  // namespace goma::core
