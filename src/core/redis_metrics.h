// SPDX-License-Identifier: Apache-2.0
//
// What is counted about Redis. Cells are found once; a client without metrics counts nothing.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "core/metric.h"
#include "core/redis.h"

namespace goma::core {

// Why a connection ended, or a command failed on Redis' side.
enum class RedisError : unsigned char { connect, tls, auth, protocol, closed, silent, loading, read_only, wrong_role, cluster_down, no_script, other };

class RedisMetrics {
 public:
  explicit RedisMetrics(Metrics* metrics);

  void command(RedisResult::Outcome outcome, int64_t took_us);
  void error(RedisError kind);
  void redirect(std::string_view kind);  // "moved", "ask", "tryagain"
  void connected() { add(connections_, 1); }
  void disconnected() { add(connections_, -1); }
  void opened() { count(opened_); }
  void breaker(bool open) { add(breakers_, open ? 1 : -1); }
  // Whether there is a Redis that this process cannot use.
  void unusable(bool now) {
    if (now != is_unusable_) add(unusable_, now ? 1 : -1);
    is_unusable_ = now;
  }

 private:
  static constexpr size_t outcomes = static_cast<size_t>(RedisResult::Outcome::overload) + 1;
  static constexpr size_t errors = static_cast<size_t>(RedisError::other) + 1;

  void count(Metrics::Cell cell) {
    if (metrics_ != nullptr) metrics_->add(cell);
  }
  void add(Metrics::Cell cell, int by);

  Metrics* metrics_;
  std::array<Metrics::Cell, outcomes> outcomes_{};
  std::array<Metrics::Cell, errors> errors_{};
  std::array<Metrics::Cell, 3> redirects_{};
  Metrics::Cell connections_, opened_, breakers_, unusable_;
  bool is_unusable_ = false;
  Metrics::Histogram seconds_;
};

}  // namespace goma::core
