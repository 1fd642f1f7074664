// SPDX-License-Identifier: Apache-2.0
//
// The datagrams as systemd wants them, over a path and over the abstract space.
#include "core/notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>

#include "check.h"

namespace notify = goma::core::notify;

namespace {

// A notify socket whose name is in the environment.
class Manager {
 public:
  explicit Manager(bool abstract) {
    char directory[] = "/tmp/goma-unit-XXXXXX";
    CHECK(::mkdtemp(directory) != nullptr);
    directory_ = directory;
    path_ = directory_ + "/notify";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string name = abstract ? '@' + path_ : path_;
    std::memcpy(address.sun_path, name.data(), name.size());
    if (abstract) address.sun_path[0] = '\0';
    fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size())), 0);
    ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
  }
  ~Manager() {
    ::unsetenv("NOTIFY_SOCKET");
    ::close(fd_);
    ::unlink(path_.c_str());
    ::rmdir(directory_.c_str());
  }
  std::string next() const {
    char text[1024];
    const ssize_t n = ::recv(fd_, text, sizeof text, MSG_DONTWAIT);
    return n < 0 ? "nothing" : std::string(text, static_cast<size_t>(n));
  }

 private:
  std::string directory_, path_;
  int fd_ = -1;
};

void every_message_has_its_form() {
  for (const bool abstract : {false, true}) {
    const Manager manager(abstract);
    notify::ready("generation 7");
    CHECK_EQ(manager.next(), "READY=1\nSTATUS=generation 7");
    notify::reloading();
    const std::string reloading = manager.next();
    CHECK(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="));
    CHECK(std::strtoull(reloading.c_str() + std::strlen("RELOADING=1\nMONOTONIC_USEC="), nullptr, 10) > 0);
    notify::main_pid(42);
    CHECK_EQ(manager.next(), "MAINPID=42");
    notify::stopping();
    CHECK_EQ(manager.next(), "STOPPING=1");
  }
}

void without_a_manager_nothing_happens() {
  ::unsetenv("NOTIFY_SOCKET");
  CHECK(!notify::send("READY=1"));
  ::setenv("NOTIFY_SOCKET", "relative/path", 1);
  CHECK(!notify::send("READY=1"));
  ::setenv("NOTIFY_SOCKET", "/tmp/goma-unit-there-is-no-such-socket", 1);
  CHECK(!notify::send("READY=1"));
  ::setenv("NOTIFY_SOCKET", ("/" + std::string(200, 'x')).c_str(), 1);
  CHECK(!notify::send("READY=1"));
  ::unsetenv("NOTIFY_SOCKET");
}

}  // namespace

GOMA_TESTS(every_message_has_its_form, without_a_manager_nothing_happens)
