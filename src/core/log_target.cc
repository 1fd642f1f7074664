// SPDX-License-Identifier: Apache-2.0
//
// Opening, writing, losing. Changes of target travel as a request that the thread picks up, so no descriptor is closed
// under a running write.
#include "core/log_target.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>

#include "core/safe_open.h"

namespace goma::core::log {

std::atomic<uint64_t> dropped{0}, failed{0};

uint64_t lines_in(std::string_view text) { return static_cast<uint64_t>(std::count(text.begin(), text.end(), '\n')); }

namespace {

constexpr size_t queue_limit = size_t{4} << 20;
constexpr int64_t alert_every_ms = 60'000;
constexpr int64_t try_every_ms = 1'000;
constexpr int64_t notice_every_ms = 1'000;
constexpr int look_up_ms = 50;           // how soon a write that waits sees that it shall not
constexpr int hurry_ms = 300;
constexpr auto opening_patience = std::chrono::milliseconds(200);

int64_t monotonic_ms() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{1000} * now.tv_sec + now.tv_nsec / 1'000'000;
}

Result<Descriptor> open_target(const Options& options) {
  constexpr int flags = O_WRONLY | O_APPEND;
  if (is_own_descriptor(options.file)) {
    Descriptor again(::open(options.file.c_str(), flags | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
    return again ? Result<Descriptor>(std::move(again)) : Error::from_errno(Code::refused, options.file, errno);
  }
  Result<Spot> spot = Spot::find(options.file, options.owner, Spot::Last::followed);
  if (!spot) return spot.error();
  return spot->open(flags, Spot::Kind::file_or_stream, 0640);
}

// With the cause in words, where errno has only a number.
const char* reason_of(int number) {
  if (number == ENXIO || number == EPIPE) return "nobody reads it";
  if (number == EAGAIN) return "its reader is too slow";
  return std::strerror(number);
}

}  // namespace

// ---------------------------------------------------------------- the target

void Target::open(const Options& options) {
  options_ = options;
  state_ = State::open;
  if (const int number = standard_stream(options.file); number > 0) return use(nullptr, Outlet::standard(number));
  Result<Descriptor> fd = open_target(options);
  tried_ms_ = monotonic_ms();
  if (fd) {
    auto own = std::make_unique<Outlet>(std::move(fd).value());
    Outlet& outlet = *own;
    return use(std::move(own), outlet);
  }
  why_ = fd.error().system;
  if (why_ != ENXIO) return;
  state_ = State::unread;
  own_.reset();
  outlet_ = nullptr;
}

void Target::use(std::unique_ptr<Outlet> own, Outlet& outlet) {
  own_ = std::move(own);
  outlet_ = &outlet;
  torn_ = false;
}

void Target::forget() {
  own_.reset();
  outlet_ = nullptr;
  state_ = State::open;
}

bool Target::due() const { return state_ == State::unread && monotonic_ms() - tried_ms_ >= try_every_ms; }

void Target::lose(std::string_view lines, int number) {
  const uint64_t n = lines_in(lines);
  dropped += n;
  lost_ += n;
  why_ = number;
  going_ = false;
}

std::string_view Target::first_piece(std::string_view lines) {
  if (lines.size() <= Outlet::pipe_piece) return lines;
  const size_t end = lines.rfind('\n', Outlet::pipe_piece - 1);
  if (end != std::string_view::npos) return lines.substr(0, end + 1);
  const size_t long_line = lines.find('\n');
  return lines.substr(0, long_line == std::string_view::npos ? lines.size() : long_line + 1);
}

// False when something of it did not go out.
template <class MayWait>
bool Target::put_piece(std::string_view piece, MayWait& may_wait) {
  std::string_view rest = piece;
  if (torn_) torn_ = outlet_->write("\n") != 1;
  while (!rest.empty()) {
    const ssize_t n = outlet_->write(rest);
    if (n > 0) {
      rest.remove_prefix(static_cast<size_t>(n));
      continue;
    }
    const int number = n < 0 ? errno : ENOSPC;
    if (number == EINTR || (number == EAGAIN && may_wait(*outlet_))) continue;
    torn_ = rest.size() < piece.size() && piece[piece.size() - rest.size() - 1] != '\n';
    if (number != EAGAIN) ++failed;
    lose(rest, number);
    return false;
  }
  return going_ = true;
}

template <class MayWait>
void Target::put(std::string_view lines, MayWait may_wait) {
  if (state_ == State::open && outlet_ == nullptr) outlet_ = &Outlet::standard(STDOUT_FILENO);
  while (!lines.empty() && outlet_ != nullptr) {
    const std::string_view piece = outlet_->is_file() ? lines : first_piece(lines);
    lines.remove_prefix(piece.size());
    if (put_piece(piece, may_wait) || why_ != EPIPE || own_ == nullptr) continue;
    state_ = State::unread;  // the FIFO's reader is gone; another one may come
    tried_ms_ = monotonic_ms();
    outlet_ = nullptr;
  }
  if (outlet_ == nullptr) own_.reset();
  if (!lines.empty()) lose(lines, ENXIO);
}

std::string Target::tell(uint64_t more) {
  lost_ += more;
  const int64_t now = monotonic_ms();
  if (why_ != 0 && (alerted_ms_ == 0 || now - alerted_ms_ >= alert_every_ms)) {
    alerted_ms_ = now;
    const bool reader = why_ == ENXIO || why_ == EPIPE || why_ == EAGAIN;
    std::string line = "time=";
    append_time(line);
    line += fmt::format(" level={} msg=\"{}\" target={} error=\"{}\" dropped_lines={}\n", reader ? "WARN" : "ERROR",
                        reader ? "lines of the log are dropped" : "alert: cannot write the log",
                        options_.file.empty() ? "stdout" : options_.file, reason_of(why_), dropped.load());
    Outlet::standard(STDERR_FILENO).put(line, 0);
  }
  why_ = 0;
  if (!going_ || lost_ == 0 || now - noticed_ms_ < notice_every_ms) return {};
  noticed_ms_ = now;
  return format_line(options_.json, Level::warn, "lines of the log were dropped; it goes on here", {{"dropped_lines", std::exchange(lost_, 0)}});
}

void put_now(Target& target, std::string_view lines) {
  if (target.due()) target.open(Options(target.options()));
  const auto never = [](const Outlet&) { return false; };
  target.put(lines, never);
  if (const std::string owed = target.tell(); !owed.empty()) target.put(owed, never);
}

// ---------------------------------------------------------------- the thread

Sink::Sink(Target& target) : target_(target) {
  sigset_t all, before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);  // signals belong to the loop
  thread_ = std::thread([this] { run(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  std::unique_lock lock(mutex_);
  ended_.wait(lock, [this] { return begun_; });
}

bool Sink::put(std::string_view lines) {
  {
    std::lock_guard lock(mutex_);
    if (size_ + lines.size() > queue_limit) {
      dropped += lines_in(lines);
      overflowed_ += lines_in(lines);
      return false;
    }
    size_ += lines.size();
    // Small lines join the last piece, so that one write carries many.
    if (!queue_.empty() && queue_.back().size() + lines.size() <= 65536) {
      queue_.back().append(lines);
      return true;
    }
    queue_.emplace_back(lines);
  }
  wake_.notify_one();
  return true;
}

void Sink::change(const Options& options) {
  {
    std::lock_guard lock(mutex_);
    options_ = options;
    change_ = true;
    hurry_ = true;
  }
  wake_.notify_one();
}

bool Sink::stop() {
  std::unique_lock lock(mutex_);
  stop_ = true;
  hurry_ = true;
  wake_.notify_one();
  if (!ended_.wait_for(lock, std::chrono::milliseconds(500), [this] { return done_; })) {
    queue_.clear();
    thread_.detach();
    return false;
  }
  lock.unlock();
  thread_.join();
  return true;
}

void Sink::hold() {
  std::unique_lock lock(mutex_);
  ended_.wait_for(lock, opening_patience, [this] { return !opening_; });  // later it is the disk that it waits for
  lock.release();
}

// The lock is open while the disk answers.
void Sink::open(std::unique_lock<std::mutex>& lock, const Options& options) {
  opening_ = true;
  lock.unlock();
  target_.open(options);
  lock.lock();
  opening_ = false;
  ended_.notify_all();
}

// Writes current_, of which so many bytes were counted in the queue, and then what the log owes about losses. The lock is
// open while the kernel writes.
void Sink::write(std::unique_lock<std::mutex>& lock, size_t counted) {
  const auto may_wait = [this](const Outlet& outlet) {
    if (hurry_ && (hurried_ms_ += look_up_ms) > hurry_ms) return false;
    outlet.wait(look_up_ms);
    return true;
  };
  for (size_t taken = counted; !current_.empty(); taken = 0) {
    lock.unlock();
    target_.put(current_, may_wait);
    lock.lock();
    size_ -= taken;
    current_ = target_.tell(std::exchange(overflowed_, 0));
  }
}

void Sink::run() {
  ::pthread_setname_np(::pthread_self(), "log");
  std::unique_lock lock(mutex_);
  begun_ = true;
  ended_.notify_all();
  for (;;) {
    wake_.wait(lock, [this] { return change_ || stop_ || !queue_.empty(); });
    if (!queue_.empty()) {
      if (target_.due()) open(lock, Options(target_.options()));
      current_ = std::move(queue_.front());
      queue_.pop_front();
      write(lock, current_.size());
    } else if (change_) {
      change_ = false;
      open(lock, Options(options_));
      hurry_ = stop_ || change_;
      hurried_ms_ = 0;
      current_ = target_.tell();
      write(lock, 0);
    } else {
      done_ = true;
      ended_.notify_all();
      return;
    }
  }
}

}  // namespace goma::core::log
