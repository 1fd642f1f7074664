// SPDX-License-Identifier: Apache-2.0
//
// The access log: one line per exchange, whatever became of it, written when it is over. Goma's keys in Goma's order,
// then the fields that accessLog middlewares added, then goma's own; as slog text, as JSON, or as "combined". The
// message is Goma's "Proxied request"; requests that no route served, which Goma does not log, have another one.
//
// The one idea: a line is formatted once into the worker's buffer and leaves with many others, when the buffer is
// full or a second has passed. Nothing here waits, allocates or calls the system per line.
//
// The invariant: text that a client chose cannot end a line, start a key or break JSON; a line never exceeds
// max_line, because texts are cut before that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <functional>
#include <memory>
#include <string_view>

#include "core/loop.h"
#include "http/config.h"
#include "http/exchange.h"

namespace goma::http {

struct AccessLogSettings {
  enum class Format : unsigned char { text, json, combined };
  static constexpr int none = 1000;

  Format format = Format::text;
  int lowest_status = 0;  // exchanges below it are not logged; `none` logs nothing
};

// What the configuration asks for. log.access on and off say it outright. With auto a level that the file or the
// environment names decides as in Goma (a line's level is INFO, from 400 WARN, from 500 ERROR); without one every
// exchange is logged, although the error log then keeps to errors.
AccessLogSettings access_log_settings(const Config& config);

// What one line can tell. Views stay valid during the call; microseconds; negative upstream_us: no backend was asked.
struct AccessEntry {
  std::string_view request_id;
  std::string_view method;
  std::string_view url;       // decoded path without query
  std::string_view target;    // as sent; for combined only
  int major_version = 1;
  int minor_version = 1;
  std::string_view host;
  std::string_view client_ip;
  std::string_view referer;
  int status = 0;
  int64_t duration_us = 0;
  std::string_view route;
  std::string_view user_agent;
  const Exchange::LogField* fields = nullptr;
  std::string_view backend;
  int backend_status = 0;
  int64_t upstream_us = -1;
  int retries = 0;
  std::string_view failure;  // why the last failed attempt failed; empty: none did
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
  std::string_view end;       // who ended the exchange and how: ending_name()
};

class AccessLog {
 public:
  static constexpr size_t buffer_size = 64 * 1024;
  static constexpr size_t max_line = 24 * 1024;
  // Takes whole lines. Must not block.
  using Output = std::function<void(std::string_view lines)>;

  // Lines go to the process's log (core/log.h).
  explicit AccessLog(core::Loop& loop);
  AccessLog(core::Loop& loop, Output output);
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;
  ~AccessLog() { flush(); }

  // From now on lines look like this.
  void configure(const AccessLogSettings& settings) { settings_ = settings; }
  void configure(const Config& config) { settings_ = access_log_settings(config); }
  // Writes the line of an exchange that is over.
  void record(Exchange& x);
  void write(const AccessEntry& entry);
  // Hands everything buffered to the output.
  void flush();
  uint64_t lines() const { return lines_; }

 private:
  void refresh_time();

  core::Loop& loop_;
  Output output_;
  core::Timer timer_;
  AccessLogSettings settings_;
  std::unique_ptr<char[]> buffer_;
  size_t used_ = 0;
  uint64_t lines_ = 0;
  time_t second_ = -1;    // what the texts below are for
  char clock_[24];        // "2026-08-04T10:00:00"
  char zone_[8];          // "+00:00"
  char combined_[32];     // "04/Aug/2026:10:00:00 +0000"
};

}  // namespace goma::http
