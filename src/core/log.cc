// SPDX-License-Identifier: Apache-2.0
//
// Formatting, and the one log of a process: its options, its target, its thread.
#include "core/log.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <iterator>
#include <memory>

#include "core/log_target.h"

namespace goma::core::log {

namespace {

struct State {
  Options options;
  Target target;
  std::unique_ptr<Sink> sink;
  Sink* inherited = nullptr;  // of the process that forked this one: its thread is not here
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

int standard_stream(std::string_view file) {
  if (file.empty() || file == "/dev/stdout" || file == "/dev/fd/1" || file == "/proc/self/fd/1") return STDOUT_FILENO;
  return file == "/dev/stderr" || file == "/dev/fd/2" || file == "/proc/self/fd/2" ? STDERR_FILENO : 0;
}

bool is_own_descriptor(std::string_view file) { return file.starts_with("/proc/self/fd/") || file.starts_with("/dev/fd/"); }

void configure(const Options& options) {
  State& s = state();
  const bool same_target = options.file == s.options.file && options.json == s.options.json && options.owner == s.options.owner;
  s.options = options;
  threshold.store(options.level, std::memory_order_relaxed);
  if (!same_target) reopen();
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
    s.sink->change(s.options);
  } else {
    s.target.open(s.options);
  }
}

Forking::Forking() {
  if (state().sink != nullptr) state().sink->hold();
}

Forking::~Forking() {
  if (state().sink != nullptr) state().sink->release();
}

void after_fork() {
  State& s = state();
  if (s.sink != nullptr) s.inherited = s.sink.release();
  s.target.forget();
  reopen();
}

bool write_lines(std::string_view lines) {
  State& s = state();
  if (s.sink != nullptr) return s.sink->put(lines);
  const uint64_t before = dropped.load();
  put_now(s.target, lines);
  return dropped.load() == before;
}

std::string format_line(bool json, Level level, std::string_view message, std::initializer_list<Field> fields) {
  std::string line;
  line.reserve(256);
  if (json) {
    format_json(line, level, message, fields);
  } else {
    format_text(line, level, message, fields);
  }
  return line += '\n';
}

void write(Level level, std::string_view message, std::initializer_list<Field> fields) {
  write_lines(format_line(state().options.json, level, message, fields));
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
