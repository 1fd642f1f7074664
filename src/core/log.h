// SPDX-License-Identifier: Apache-2.0
//
// The log: Goma's two forms (slog text and JSON), one line per event, one write(2) per line or batch.
//
// The one idea: logging never blocks and never fails anything. In the processes that serve a writer thread takes batches
// from a bounded queue and opens the file (core/log_target.h); who has no thread does not wait for room. What cannot be
// written is dropped, counted, told once a minute on standard error, and told by the log when it goes on.
//
// It does not rotate: the manager does, and then everybody reopens.
#pragma once

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>

namespace goma::core::log {

enum class Level : unsigned char { trace, debug, info, warn, error, off };

// The level of a word in any case; an unknown word is info, as Goma has it.
Level parse_level(std::string_view word);

// One key and its value; the views must live until the call returns.
class Field {
 public:
  Field(std::string_view key, std::string_view value) : key_(key), text_(value) {}
  Field(std::string_view key, const std::string& value) : key_(key), text_(value) {}
  Field(std::string_view key, const char* value) : key_(key), text_(value) {}
  template <class T>
    requires std::is_integral_v<T>
  Field(std::string_view key, T value) : key_(key), number_(static_cast<int64_t>(value)), numeric_(true) {}

  std::string_view key() const { return key_; }
  std::string_view text() const { return text_; }
  int64_t number() const { return number_; }
  bool numeric() const { return numeric_; }

 private:
  std::string_view key_;
  std::string_view text_;
  int64_t number_ = 0;
  bool numeric_ = false;
};

struct Options {
  Level level = Level::error;
  bool json = false;
  std::string file;    // "" = standard output
  unsigned owner = 0;  // the workers' user: the file may be its as well as root's
};

// Uses these options from now on, in this process. A file that cannot be opened keeps the old target; the next
// reopen() tries again. Safe while lines are being written.
void configure(const Options& options);
// Starts the writer thread of this process; until then lines are written by the caller.
void start_thread();
// Writes what is queued, waiting at most half a second, and ends the thread.
void stop_thread();
// The file was moved: open its name again.
void reopen();
// Lives around fork(2) in a process that has a writer thread: the child finds no lock held. It must call after_fork.
class Forking {
 public:
  Forking();
  Forking(const Forking&) = delete;
  Forking& operator=(const Forking&) = delete;
  ~Forking();
};
// In a forked child whose inherited descriptors were closed, but for Outlet::descriptors(): opens the target anew. It has
// no writer thread yet.
void after_fork();

inline std::atomic<Level> threshold{Level::info};
inline bool enabled(Level level) { return level >= threshold.load(std::memory_order_relaxed); }

void write(Level level, std::string_view message, std::initializer_list<Field> fields);

inline void debug(std::string_view message, std::initializer_list<Field> fields = {}) {
  if (enabled(Level::debug)) write(Level::debug, message, fields);
}
inline void info(std::string_view message, std::initializer_list<Field> fields = {}) {
  if (enabled(Level::info)) write(Level::info, message, fields);
}
inline void warn(std::string_view message, std::initializer_list<Field> fields = {}) {
  if (enabled(Level::warn)) write(Level::warn, message, fields);
}
inline void error(std::string_view message, std::initializer_list<Field> fields = {}) {
  if (enabled(Level::error)) write(Level::error, message, fields);
}

// Whole lines, ready to be written, to the same target as the log: the access log's way in. Never blocks; false when
// they were dropped (and counted).
bool write_lines(std::string_view lines);

// Lines dropped since the process began because the queue was full or the target could not take them.
uint64_t dropped_lines();
// Writes that failed (disk full, broken pipe).
uint64_t failed_writes();

// 1 or 2 when this is a name of standard output or error ("" is output), else 0. They are not opened but used: a worker
// that has become another user could not open what the master was given.
int standard_stream(std::string_view file);
// Whether it names an open descriptor of this process ("/proc/self/fd/5").
bool is_own_descriptor(std::string_view file);

// A whole line with its end.
std::string format_line(bool json, Level level, std::string_view message, std::initializer_list<Field> fields);

// Building blocks for who formats lines itself. The text form quotes when needed; both escape control characters, so
// that a value can never begin a second line.
void append_text_value(std::string& line, std::string_view value);
void append_json_string(std::string& line, std::string_view value);
// "2026-08-04T10:00:00.000+00:00" of now.
void append_time(std::string& line);

}  // namespace goma::core::log
