// SPDX-License-Identifier: Apache-2.0
//
// A path or, with a leading '@', a name in the abstract space.
#include "core/notify.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace goma::core::notify {

bool send(std::string_view text) {
  const char* place = std::getenv("NOTIFY_SOCKET");
  if (place == nullptr || (place[0] != '/' && place[0] != '@')) return false;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const size_t length = std::strlen(place);
  if (length >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, place, length);
  if (place[0] == '@') address.sun_path[0] = '\0';
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return false;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  const ssize_t sent = ::sendto(fd, text.data(), text.size(), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address), size);
  ::close(fd);
  return sent == static_cast<ssize_t>(text.size());
}

void ready(std::string_view status_line) { send(fmt::format("READY=1\nSTATUS={}", status_line)); }

void reloading() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  send(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", static_cast<int64_t>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1000));
}

void stopping() { send("STOPPING=1"); }
void status(std::string_view text) { send(fmt::format("STATUS={}", text)); }
void main_pid(pid_t pid) { send(fmt::format("MAINPID={}", pid)); }
void handed(pid_t pid, std::string_view text) { send(fmt::format("MAINPID={}\nSTATUS={}", pid, text)); }

}  // namespace goma::core::notify
