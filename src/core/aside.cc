// SPDX-License-Identifier: Apache-2.0
//
// A pipe, with words behind their length: where the child is, and at last its answer. A child that dies in the middle of one
// has not said it. The pipe also tells when the child is gone: nobody else has its other end.
#include "core/aside.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "core/process.h"

namespace goma::core {

namespace {

constexpr uint64_t is_answer = uint64_t{1} << 63;  // beside the length

// In the child: the parent reads as it can, or kills it.
void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    text.remove_prefix(static_cast<size_t>(n));
  }
}

void write_word(int fd, uint64_t kind, std::string_view word) {
  const uint64_t head = kind | word.size();
  write_all(fd, std::string(reinterpret_cast<const char*>(&head), sizeof head).append(word));
}

// Takes a word that has come whole off the front; its kind, or nothing.
std::optional<uint64_t> take_word(std::string& heard, std::string& word) {
  uint64_t head = 0;
  if (heard.size() < sizeof head) return std::nullopt;
  std::memcpy(&head, heard.data(), sizeof head);
  const uint64_t size = head & ~is_answer;
  if (heard.size() - sizeof head < size) return std::nullopt;
  word = heard.substr(sizeof head, size);
  heard.erase(0, sizeof head + size);
  return head & is_answer;
}

}  // namespace

Aside::~Aside() {
  if (pid_ > 0) ::kill(pid_, SIGKILL);
}

void Aside::cancel() {
  if (pid_ > 0) ::kill(pid_, SIGKILL);
  if (running()) done_ = [](const std::optional<std::string>&) {};
  if (running()) finish(std::nullopt);
  left_.reset();
}

void Aside::start(Loop& loop, const Fork& fork, const std::string& title, int64_t patience_ms, const Work& work, Done done, std::vector<int> keep) {
  GOMA_CHECK(!running());
  done_ = std::move(done);
  heard_.clear();
  patience_ms_ = patience_ms;
  overdue_.bind<&Aside::on_overdue>(loop, this);
  if (is_left_behind()) return overdue_.start(0);
  late_ = false;
  place_.clear();
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return overdue_.start(0);
  line_.reset(ends[0]);
  set_nonblocking(ends[0], true);
  keep.push_back(ends[1]);
  pid_ = fork(keep, [this, &title, &work, line = ends[1], parent = ::getpid()] {
    process::die_with(parent);
    process::set_title(title);
    theirs_ = line;
    write_word(line, is_answer, work());
  });
  ::close(ends[1]);
  if (pid_ < 0) return overdue_.start(0);
  watch_.open_level<&Aside::on_answer>(loop, line_.get(), this);
  overdue_.start(patience_ms);
}

void Aside::at(std::string_view place) const { write_word(theirs_, 0, place); }

void Aside::on_answer(unsigned) {
  char block[65536];
  const ssize_t n = ::read(line_.get(), block, sizeof block);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) return finish(std::nullopt);
  heard_.append(block, static_cast<size_t>(n));
  std::string word;
  while (const std::optional<uint64_t> kind = take_word(heard_, word)) {
    if (*kind == is_answer) return finish(std::move(word));
    place_ = word;
    overdue_.start(patience_ms_);
  }
}

void Aside::on_overdue() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    late_ = true;
    watch_.close();
    left_ = std::move(line_);
  }
  finish(std::nullopt);
}

// What it still says is of no use; that it says no more, is.
bool Aside::is_left_behind() {
  char block[4096];
  ssize_t n = -1;
  while (left_ && (n = ::read(left_.get(), block, sizeof block)) > 0) {
  }
  if (n == 0) left_.reset();
  return static_cast<bool>(left_);
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
