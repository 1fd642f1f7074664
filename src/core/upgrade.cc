// SPDX-License-Identifier: Apache-2.0
//
// The texts of addresses may hold anything but a blank, so a socket is one word: "socket=FD,TEXT".
#include "core/upgrade.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <sstream>

namespace goma::core {

namespace {

constexpr const char* variable = "GOMA_UPGRADE";

std::string describe(const Inheritance& given) {
  std::string text = fmt::format("master={} generation={} workers={} slab={} line={}", given.old_master, given.generation,
                                 given.workers, given.slab, given.line);
  for (const Listening& socket : given.sockets) text += fmt::format(" socket={},{}", socket.fd, socket.text);
  return text;
}

// Runs in the forked child: becomes the new binary, or ends with 127.
void become_new(const Settings& settings, const Inheritance& given) {
  std::vector<int> fds = {given.slab, given.line};
  for (const Listening& socket : given.sockets) fds.push_back(socket.fd);
  for (const int fd : fds) ::fcntl(fd, F_SETFD, 0);
  ::setenv(variable, describe(given).c_str(), 1);
  std::vector<std::string> words = settings.arguments;
  words.insert(words.begin(), settings.binary);
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  ::execv(settings.binary.c_str(), pointers.data());
  const std::string reason = fmt::format("cannot run {}: {}", settings.binary, std::strerror(errno));
  if (::write(given.line, reason.data(), reason.size()) < 0) ::_exit(126);
  ::_exit(127);
}

}  // namespace

std::optional<Inheritance> take_inheritance() {
  const char* value = std::getenv(variable);
  if (value == nullptr) return std::nullopt;
  Inheritance given;
  std::istringstream words(value);
  std::string word;
  while (words >> word) {
    const size_t equals = word.find('=');
    if (equals == std::string::npos) continue;
    const std::string key = word.substr(0, equals);
    const std::string rest = word.substr(equals + 1);
    const long number = std::strtol(rest.c_str(), nullptr, 10);
    if (key == "master") given.old_master = static_cast<pid_t>(number);
    if (key == "generation") given.generation = static_cast<uint64_t>(number);
    if (key == "workers") given.workers = static_cast<int>(number);
    if (key == "slab") given.slab = static_cast<int>(number);
    if (key == "line") given.line = static_cast<int>(number);
    const size_t comma = rest.find(',');
    if (key == "socket" && comma != std::string::npos) given.sockets.push_back({rest.substr(comma + 1), static_cast<int>(number)});
  }
  ::unsetenv(variable);
  for (const Listening& socket : given.sockets) set_close_on_exec(socket.fd, true);
  set_close_on_exec(given.line, true);
  set_close_on_exec(given.slab, true);
  return given;
}

void tell_old_master(Inheritance& inheritance, const std::string& reason) {
  const std::string text = reason.empty() ? "ready" : reason;
  if (inheritance.line < 0 || ::write(inheritance.line, text.data(), text.size()) < 0) return;
  ::close(inheritance.line);
  inheritance.line = -1;
}

void Upgrade::start(Loop& loop, const Fork& fork, const Settings& settings, const Listeners& listeners, Inheritance given, Done done) {
  GOMA_CHECK(!running());
  done_ = std::move(done);
  heard_.clear();
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return finish(fmt::format("cannot make a pipe: {}", std::strerror(errno)));
  line_.reset(ends[0]);
  set_nonblocking(ends[0], true);
  given.line = ends[1];
  std::vector<int> keep = {given.line, given.slab};
  for (const auto& [text, group] : listeners.groups()) {
    for (const int fd : group.fds) {
      given.sockets.push_back({text, fd});
      keep.push_back(fd);
    }
  }
  pid_ = fork(keep, [&settings, &given] { become_new(settings, given); });
  const int number = errno;
  ::close(ends[1]);
  if (pid_ < 0) return finish(fmt::format("cannot fork: {}", std::strerror(number)));
  watch_.open_level<&Upgrade::on_line>(loop, line_.get(), this);
  overdue_.bind<&Upgrade::on_overdue>(loop, this);
  overdue_.start(patience_ms);
}

void Upgrade::on_line(unsigned) {
  char block[4096];
  const ssize_t n = ::read(line_.get(), block, sizeof block);
  if (n < 0) return;
  if (n > 0) heard_.append(block, static_cast<size_t>(n));
  if (heard_ == "ready") return finish({});
  if (n == 0) watch_.close();  // it will be reaped
}

void Upgrade::on_overdue() {
  ::kill(pid_, SIGTERM);  // it takes its children along
  finish(fmt::format("the new binary was not ready within {} s", patience_ms / 1000));
}

bool Upgrade::reaped(pid_t pid, int status) {
  if (pid != pid_) return false;
  if (watch_.is_open()) on_line(0);
  if (pid_ < 0) return true;
  const std::string how = WIFSIGNALED(status) ? fmt::format("signal {}", WTERMSIG(status)) : fmt::format("exit code {}", WEXITSTATUS(status));
  finish(heard_.empty() ? fmt::format("the new binary ended before it was ready: {}", how) : heard_);
  return true;
}

void Upgrade::finish(const std::string& error) {
  const pid_t fresh = std::exchange(pid_, -1);
  overdue_.stop();
  watch_.close();
  line_.reset();
  if (done_) std::exchange(done_, nullptr)(fresh, error);
}

}  // namespace goma::core
