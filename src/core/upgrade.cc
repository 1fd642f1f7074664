// SPDX-License-Identifier: Apache-2.0
//
// The old master's end of the line. A message is a word; whatever is none of ours is the reason why it cannot serve.
#include "core/upgrade.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "core/log.h"
#include "core/process.h"

namespace goma::core {

namespace {

constexpr std::string_view taken_word = "taken ";

// Runs in the forked child: becomes the new binary, or ends with 127. It is alone in its process group, so that what it starts can
// be ended with it.
void become_new(const Settings& settings, const Inheritance& given) {
  ::setpgid(0, 0);
  std::vector<int> fds = {given.slab, given.line};
  for (const Listening& socket : given.sockets) fds.push_back(socket.fd);
  for (const int fd : fds) ::fcntl(fd, F_SETFD, 0);
  ::setenv(upgrade_variable, given.describe().c_str(), 1);
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

// Runs in another child: when the old master dies, so does the new one.
void lookout(pid_t old_master, pid_t fresh) {
  process::set_title("goma: lookout");
  process::wait_for_death_of(old_master);
  ::kill(-fresh, SIGKILL);
  ::kill(fresh, SIGKILL);
}

std::string how_it_ended(int status) {
  return WIFSIGNALED(status) ? fmt::format("signal {}", WTERMSIG(status)) : fmt::format("exit code {}", WEXITSTATUS(status));
}

}  // namespace

void Upgrade::start(Loop& loop, const Fork& fork, const Settings& settings, const Listeners& listeners, Inheritance given) {
  GOMA_CHECK(state_ == State::idle);
  state_ = State::waiting;
  reason_.clear();
  gone_ = false;
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    return fail(fmt::format("cannot make a socket pair: {}", std::strerror(errno)));
  }
  line_.reset(ends[0]);
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
  if (pid_ < 0) return fail(fmt::format("cannot fork: {}", std::strerror(number)));
  lookout_ = fork({}, [old = given.old_master, fresh = pid_] { lookout(old, fresh); });
  watch_.open_level<&Upgrade::on_line>(loop, line_.get(), this);
  overdue_.bind<&Upgrade::on_overdue>(loop, this);
  overdue_.start(patience_ms);
}

void Upgrade::end(const std::string& reason) {
  if (state_ != State::waiting) return;
  state_ = State::ending;
  reason_ = reason;
  ::kill(pid_, SIGTERM);  // a goma takes its children along
  overdue_.start(ending_ms);
}

void Upgrade::kill() {
  if (!running() || pid_ <= 0) return;
  ::kill(-pid_, SIGKILL);
  ::kill(pid_, SIGKILL);
}

void Upgrade::end_lookout() {
  if (lookout_ > 0) ::kill(lookout_, SIGKILL);
  lookout_ = -1;
}

void Upgrade::on_line(unsigned) {
  char word[4096];
  while (line_) {
    const ssize_t n = ::recv(line_.get(), word, sizeof word, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n > 0) {
      hear({word, static_cast<size_t>(n)});
      continue;
    }
    watch_.close();
    line_.reset();
    // A build that knows no more than "ready" has taken the places before it said so, and hangs up.
    if (state_ == State::offered && listener_.has_places(pid_)) return hear(taken_word);
  }
}

void Upgrade::hear(std::string_view word) {
  if (word == "here") return end_lookout();
  if (word == "ready") return offer();
  if (word.starts_with(taken_word)) return handed(word.substr(taken_word.size()));
  if (state_ == State::handed) return listener_.on_successor(word);
  if (reason_.empty()) reason_ = word;
}

// What it hears when it was told to end meanwhile is its TERM alone: whoever has no "yours" takes nothing.
void Upgrade::offer() {
  if (state_ != State::waiting) return;
  state_ = State::offered;
  end_lookout();
  constexpr std::string_view yours = "yours";
  if (::write(line_.get(), yours.data(), yours.size()) < 0) log::debug("the new binary does not listen");
  overdue_.start(taking_ms);
}

void Upgrade::handed(std::string_view status) {
  if (state_ != State::offered) return;
  state_ = State::handed;
  overdue_.stop();
  listener_.on_handed(pid_, std::string(status));
}

void Upgrade::settled() {
  constexpr std::string_view word = "settled";
  if (line_ && ::write(line_.get(), word.data(), word.size()) < 0) log::debug("the new binary does not listen");
}

void Upgrade::on_overdue() {
  switch (state_) {
    case State::waiting:
      return end(fmt::format("the new binary was not ready within {} s", patience_ms / 1000));
    case State::offered:
      reason_ = fmt::format("the new binary did not take over within {} s", taking_ms / 1000);
      return kill();
    case State::ending:
      return kill();
    case State::idle:
    case State::handed:
      return;
  }
}

bool Upgrade::reaped(pid_t pid, int status) {
  if (pid == lookout_) lookout_ = -1;
  if (pid != pid_) return false;
  gone_ = true;
  if (watch_.is_open() && state_ != State::handed) {
    // One that took the places and ended well was told to: that is obeyed. One that died is as if it had never been.
    const bool well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!well && state_ == State::offered) state_ = State::ending;
    on_line(0);
  }
  pid_ = -1;
  if (state_ == State::handed) return true;
  ::kill(-pid, SIGKILL);  // what it started and left behind
  fail(reason_.empty() ? fmt::format("the new binary ended before it was ready: {}", how_it_ended(status)) : reason_);
  return true;
}

void Upgrade::fail(const std::string& reason) {
  const std::string why = reason;
  state_ = State::idle;
  end_lookout();
  pid_ = -1;
  overdue_.stop();
  watch_.close();
  line_.reset();
  listener_.on_upgrade_failed(why);
}

}  // namespace goma::core
