// SPDX-License-Identifier: Apache-2.0
//
// A pipe. The answer is complete when a NUL has arrived: a child that dies in the middle has given none.
#include "core/aside.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "core/process.h"

namespace goma::core {

namespace {

// In the child: the parent reads as it can, or kills it.
void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    text.remove_prefix(static_cast<size_t>(n));
  }
}

}  // namespace

Aside::~Aside() {
  if (pid_ > 0) ::kill(pid_, SIGKILL);
}

void Aside::cancel() {
  if (pid_ > 0) ::kill(pid_, SIGKILL);
  if (running()) done_ = [](const std::optional<std::string>&) {};
  if (running()) finish(std::nullopt);
}

void Aside::start(Loop& loop, const Fork& fork, const std::string& title, int64_t patience_ms, const Work& work, Done done, std::vector<int> keep) {
  GOMA_CHECK(!running());
  done_ = std::move(done);
  heard_.clear();
  overdue_.bind<&Aside::on_overdue>(loop, this);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return overdue_.start(0);
  line_.reset(ends[0]);
  set_nonblocking(ends[0], true);
  keep.push_back(ends[1]);
  pid_ = fork(keep, [&title, &work, line = ends[1], parent = ::getpid()] {
    process::die_with(parent);
    process::set_title(title);
    write_all(line, work() + '\0');
  });
  ::close(ends[1]);
  if (pid_ < 0) return overdue_.start(0);
  watch_.open_level<&Aside::on_answer>(loop, line_.get(), this);
  overdue_.start(patience_ms);
}

void Aside::on_answer(unsigned) {
  char block[65536];
  const ssize_t n = ::read(line_.get(), block, sizeof block);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) return finish(std::nullopt);
  heard_.append(block, static_cast<size_t>(n));
  if (heard_.back() != '\0') return;
  heard_.pop_back();
  finish(std::move(heard_));
}

void Aside::on_overdue() {
  if (pid_ > 0) ::kill(pid_, SIGKILL);
  finish(std::nullopt);
}

// The child is reaped with the others.
void Aside::finish(std::optional<std::string> answer) {
  pid_ = -1;
  overdue_.stop();
  watch_.close();
  line_.reset();
  std::exchange(done_, nullptr)(std::move(answer));
}

}  // namespace goma::core
