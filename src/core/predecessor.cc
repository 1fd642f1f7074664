// SPDX-License-Identifier: Apache-2.0
//
// The texts of addresses may hold anything but a blank, so a socket is one word: "socket=FD,TEXT".
#include "core/predecessor.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <sstream>

#include "core/log.h"
#include "core/process.h"

namespace goma::core {

std::string Inheritance::describe() const {
  std::string text = fmt::format("master={} generation={} workers={} slab={} line={}", old_master, generation, workers, slab, line);
  for (const Listening& socket : sockets) text += fmt::format(" socket={},{}", socket.fd, socket.text);
  return text;
}

std::optional<Inheritance> take_inheritance() {
  const char* value = std::getenv(upgrade_variable);
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
  ::unsetenv(upgrade_variable);
  for (const Listening& socket : given.sockets) set_close_on_exec(socket.fd, true);
  set_close_on_exec(given.line, true);
  set_close_on_exec(given.slab, true);
  return given;
}

void Predecessor::open(Loop& loop, const Inheritance& given, Events events) {
  events_ = std::move(events);
  pid_ = given.old_master;
  start_time_ = process::start_time(pid_);
  line_.reset(given.line);
  struct stat about {};
  understands_ = ::fstat(given.line, &about) == 0 && S_ISSOCK(about.st_mode);
  overdue_.bind<&Predecessor::on_overdue>(loop, this);
  if (!understands_) return;
  watch_.open_level<&Predecessor::on_line>(loop, given.line, this);
  say("here");
}

void Predecessor::ready() {
  say("ready");
  if (understands_) return overdue_.start(patience_ms);
  leave();
}

void Predecessor::say(std::string_view word) {
  if (line_ && ::write(line_.get(), word.data(), word.size()) < 0) log::debug("the old master does not listen");
}

void Predecessor::leave() {
  watch_.close();
  overdue_.stop();
  line_.reset();
}

void Predecessor::kill() {
  if (present() && start_time_ != 0 && process::start_time(pid_) == start_time_) ::kill(pid_, SIGKILL);
}

void Predecessor::on_line(unsigned) {
  char word[64];
  const ssize_t n = ::recv(line_.get(), word, sizeof word, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    leave();
    return events_.gone(settled_);
  }
  overdue_.stop();
  const std::string_view heard(word, static_cast<size_t>(n));
  if (heard == "yours") return events_.yours();
  if (heard != "settled") return;
  settled_ = true;
  events_.settled();
}

void Predecessor::on_overdue() { events_.silent(); }

}  // namespace goma::core
