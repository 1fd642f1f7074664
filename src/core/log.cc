// SPDX-License-Identifier: Apache-2.0
//
// Formatting, the target file, and the writer thread. The target belongs to whoever writes: the thread where there
// is one, the caller where there is none. Changes of target travel as a request that the writer picks up, so no
// descriptor is closed under a running write.
#include "core/log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <ctime>
#include <deque>
#include <mutex>
#include <thread>

namespace goma::core::log {

namespace {

constexpr size_t queue_limit = size_t{4} << 20;
constexpr size_t pipe_piece = 4096;  // what a pipe takes whole, unmixed with other writers
constexpr int64_t alert_every_s = 60;

std::atomic<uint64_t> dropped{0};
std::atomic<uint64_t> failed{0};

uint64_t lines_in(std::string_view text) { return static_cast<uint64_t>(std::count(text.begin(), text.end(), '\n')); }

int64_t monotonic_s() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec;
}

// Where lines go: standard output or a file, with the memory of a torn line.
class Target {
 public:
  void open(const std::string& file) {
    file_ = file;
    reopen();
  }
  void reopen() {
    if (file_.empty()) return use(STDOUT_FILENO);
    const int fd = ::open(file_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
    if (fd >= 0) return use(fd);
    alert(errno);
  }
  // The descriptor is not ours any more.
  void forget() { fd_ = STDOUT_FILENO; }
  // Writes whole lines; what does not go out is dropped and counted. Waits for room only when told to.
  void put(std::string_view lines, bool may_wait) {
    while (!lines.empty()) {
      const std::string_view piece = regular_ ? lines : first_piece(lines);
      lines.remove_prefix(piece.size());
      if (!may_wait && !room()) {
        dropped += lines_in(piece);
        continue;
      }
      put_piece(piece);
    }
  }

 private:
  void use(int fd) {
    if (fd_ > STDERR_FILENO) ::close(fd_);
    fd_ = fd;
    struct stat about {};
    regular_ = ::fstat(fd, &about) == 0 && S_ISREG(about.st_mode);
  }
  static std::string_view first_piece(std::string_view lines) {
    if (lines.size() <= pipe_piece) return lines;
    const size_t end = lines.rfind('\n', pipe_piece - 1);
    if (end != std::string_view::npos) return lines.substr(0, end + 1);
    const size_t long_line = lines.find('\n');
    return lines.substr(0, long_line == std::string_view::npos ? lines.size() : long_line + 1);
  }
  bool room() const {
    if (regular_) return true;
    pollfd ready{fd_, POLLOUT, 0};
    return ::poll(&ready, 1, 0) == 1;
  }
  void put_piece(std::string_view piece) {
    if (torn_) {
      const ssize_t mended = ::write(fd_, "\n", 1);
      torn_ = mended != 1;
    }
    std::string_view rest = piece;
    while (!rest.empty()) {
      const ssize_t n = ::write(fd_, rest.data(), rest.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN && wait_for_room()) continue;
      if (n <= 0) {
        const int number = n < 0 ? errno : ENOSPC;
        torn_ = rest.size() < piece.size() && piece[piece.size() - rest.size() - 1] != '\n';
        dropped += lines_in(rest);
        ++failed;
        alert(number);
        return;
      }
      rest.remove_prefix(static_cast<size_t>(n));
    }
  }
  // A target that somebody made non-blocking is waited for a little while.
  bool wait_for_room() const {
    pollfd ready{fd_, POLLOUT, 0};
    return ::poll(&ready, 1, 1000) == 1 && (ready.revents & POLLOUT) != 0;
  }
  void alert(int number) {
    const int64_t now = monotonic_s();
    if (alerted_s_ != 0 && now - alerted_s_ < alert_every_s) return;
    alerted_s_ = now;
    std::string line = "time=";
    append_time(line);
    line += fmt::format(" level=ERROR msg=\"alert: cannot write the log\" target={} error=\"{}\" dropped_lines={}\n",
                        file_.empty() ? "stdout" : file_, std::strerror(number), dropped.load());
    pollfd ready{STDERR_FILENO, POLLOUT, 0};
    if (::poll(&ready, 1, 0) != 1) return;
    if (::write(STDERR_FILENO, line.data(), line.size()) < 0) return;
  }

  std::string file_;
  int fd_ = STDOUT_FILENO;
  bool regular_ = false;
  bool torn_ = false;
  int64_t alerted_s_ = 0;
};

// The writer thread and its queue.
class Sink {
 public:
  explicit Sink(Target& target) : target_(target), thread_([this] { run(); }) {}

  bool put(std::string_view lines) {
    {
      std::lock_guard lock(mutex_);
      if (size_ + lines.size() > queue_limit) {
        dropped += lines_in(lines);
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
  void change(std::string file) {
    {
      std::lock_guard lock(mutex_);
      file_ = std::move(file);
      change_ = true;
    }
    wake_.notify_one();
  }
  // True when everything was written and the thread is gone; otherwise it is left to die with the process.
  bool stop() {
    std::unique_lock lock(mutex_);
    stop_ = true;
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

 private:
  void run() {
    pthread_setname_np(pthread_self(), "log");
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return change_ || stop_ || !queue_.empty(); });
      if (!queue_.empty()) {
        std::string piece = std::move(queue_.front());
        queue_.pop_front();
        lock.unlock();
        target_.put(piece, true);
        lock.lock();
        size_ -= piece.size();
      } else if (change_) {
        change_ = false;
        const std::string file = file_;
        lock.unlock();
        target_.open(file);
        lock.lock();
      } else {
        done_ = true;
        ended_.notify_one();
        return;
      }
    }
  }

  Target& target_;
  std::mutex mutex_;
  std::condition_variable wake_, ended_;
  std::deque<std::string> queue_;
  size_t size_ = 0;
  std::string file_;
  bool change_ = false, stop_ = false, done_ = false;
  std::thread thread_;
};

struct State {
  Options options;
  Target target;
  std::unique_ptr<Sink> sink;
};

State& state() {
  static State* const kept = std::make_unique<State>().release();  // outlives every static destructor
  return *kept;
}

constexpr std::string_view level_words[] = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "OFF"};

void format_text(std::string& line, Level level, std::string_view message, std::initializer_list<Field> fields) {
  line += "time=";
  append_time(line);
  line.append(" level=").append(level_words[static_cast<size_t>(level)]).append(" msg=");
  append_text_value(line, message);
  for (const Field& field : fields) {
    line.append(" ").append(field.key()).append("=");
    if (field.numeric()) {
      line += std::to_string(field.number());
    } else {
      append_text_value(line, field.text());
    }
  }
}

void format_json(std::string& line, Level level, std::string_view message, std::initializer_list<Field> fields) {
  line += "{\"time\":\"";
  append_time(line);
  line.append("\",\"level\":\"").append(level_words[static_cast<size_t>(level)]).append("\",\"msg\":");
  append_json_string(line, message);
  for (const Field& field : fields) {
    line += ',';
    append_json_string(line, field.key());
    line += ':';
    if (field.numeric()) {
      line += std::to_string(field.number());
    } else {
      append_json_string(line, field.text());
    }
  }
  line += '}';
}

}  // namespace

Level parse_level(std::string_view word) {
  constexpr std::string_view words[] = {"trace", "debug", "info", "warn", "error", "off"};
  std::string lower(word);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  for (size_t i = 0; i < std::size(words); ++i) {
    if (lower == words[i]) return static_cast<Level>(i);
  }
  return Level::info;
}

void configure(const Options& options) {
  State& s = state();
  const bool same_file = options.file == s.options.file;
  s.options = options;
  threshold.store(options.level, std::memory_order_relaxed);
  if (!same_file) reopen();
}

void start_thread() {
  State& s = state();
  if (s.sink == nullptr) s.sink = std::make_unique<Sink>(s.target);
}

void stop_thread() {
  State& s = state();
  if (s.sink == nullptr) return;
  std::unique_ptr<Sink> sink = std::move(s.sink);
  if (!sink->stop()) sink.release();  // its thread still writes: it goes with the process
}

void reopen() {
  State& s = state();
  if (s.sink != nullptr) {
    s.sink->change(s.options.file);
  } else {
    s.target.open(s.options.file);
  }
}

void after_fork() {
  state().target.forget();
  reopen();
}

bool write_lines(std::string_view lines) {
  State& s = state();
  if (s.sink != nullptr) return s.sink->put(lines);
  const uint64_t before = dropped.load();
  s.target.put(lines, false);
  return dropped.load() == before;
}

void write(Level level, std::string_view message, std::initializer_list<Field> fields) {
  std::string line;
  line.reserve(256);
  if (state().options.json) {
    format_json(line, level, message, fields);
  } else {
    format_text(line, level, message, fields);
  }
  line += '\n';
  write_lines(line);
}

uint64_t dropped_lines() { return dropped.load(); }
uint64_t failed_writes() { return failed.load(); }

void append_time(std::string& line) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm local{};
  localtime_r(&now.tv_sec, &local);
  const long minutes = local.tm_gmtoff / 60;
  const long away = minutes < 0 ? -minutes : minutes;
  fmt::format_to(std::back_inserter(line), "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}{}{:02}:{:02}", local.tm_year + 1900,
                 local.tm_mon + 1, local.tm_mday, local.tm_hour, local.tm_min, local.tm_sec, now.tv_nsec / 1'000'000,
                 minutes < 0 ? '-' : '+', away / 60, away % 60);
}

void append_text_value(std::string& line, std::string_view value) {
  const bool plain = !value.empty() && std::all_of(value.begin(), value.end(), [](char c) {
    return c > ' ' && c != '"' && c != '=' && c != '\\' && c != 0x7f;
  });
  if (plain) {
    line += value;
  } else {
    append_json_string(line, value);
  }
}

void append_json_string(std::string& line, std::string_view value) {
  line += '"';
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      line.append(1, '\\').append(1, c);
    } else if (c == '\n') {
      line += "\\n";
    } else if (c == '\t') {
      line += "\\t";
    } else if (c == '\r') {
      line += "\\r";
    } else if (byte < 0x20 || byte == 0x7f) {
      fmt::format_to(std::back_inserter(line), "\\u{:04x}", byte);
    } else {
      line += c;
    }
  }
  line += '"';
}

}  // namespace goma::core::log
