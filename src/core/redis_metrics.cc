// SPDX-License-Identifier: Apache-2.0
//
// The families and their words, in one table each.
#include "core/redis_metrics.h"

namespace goma::core {

namespace {

constexpr std::string_view commands = "goma_redis_commands_total";
constexpr std::string_view command_seconds = "goma_redis_command_duration_seconds";
constexpr std::string_view errors_total = "goma_redis_errors_total";
constexpr std::string_view redirects_total = "goma_redis_redirects_total";
constexpr std::string_view connections_now = "goma_redis_connections";
constexpr std::string_view opened_total = "goma_redis_connections_opened_total";
constexpr std::string_view breakers_open = "goma_redis_breakers_open";
constexpr std::string_view unusable_now = "goma_redis_unusable";
constexpr std::string_view error_words[] = {"connect", "tls", "auth", "protocol", "closed", "silent", "loading", "read-only", "wrong-role", "cluster-down", "no-script", "other"};
constexpr std::string_view redirect_words[] = {"moved", "ask", "tryagain"};
constexpr uint64_t bounds[] = {100, 250, 500, 1'000, 2'500, 5'000, 10'000, 25'000, 50'000, 100'000, 1'000'000};

}  // namespace

RedisMetrics::RedisMetrics(Metrics* metrics) : metrics_(metrics) {
  if (metrics == nullptr) return;
  using Kind = Metrics::Kind;
  metrics->describe(commands, Kind::counter, "Commands for Redis by what came of them.");
  metrics->describe(command_seconds, Kind::histogram, "Time from a command to its answer by Redis.", bounds);
  metrics->describe(errors_total, Kind::counter, "Failures of connections to Redis, and errors it answered, by kind.");
  metrics->describe(redirects_total, Kind::counter, "Commands that a node of a cluster sent elsewhere.");
  metrics->describe(connections_now, Kind::gauge, "Connections to Redis that are ready.");
  metrics->describe(opened_total, Kind::counter, "Connections to Redis that became ready.");
  metrics->describe(breakers_open, Kind::gauge, "Connections that are left alone because Redis does not answer in time.");
  metrics->describe(unusable_now, Kind::gauge, "Processes that have a Redis configured and cannot use it.");
  for (size_t i = 0; i < outcomes; ++i) outcomes_[i] = metrics->counter(commands, metric_labels({{"outcome", outcome_name(static_cast<RedisResult::Outcome>(i))}}));
  for (size_t i = 0; i < errors; ++i) errors_[i] = metrics->counter(errors_total, metric_labels({{"kind", error_words[i]}}));
  for (size_t i = 0; i < redirects_.size(); ++i) redirects_[i] = metrics->counter(redirects_total, metric_labels({{"kind", redirect_words[i]}}));
  connections_ = metrics->gauge(connections_now);
  opened_ = metrics->counter(opened_total);
  breakers_ = metrics->gauge(breakers_open);
  unusable_ = metrics->gauge(unusable_now);
  seconds_ = metrics->histogram(command_seconds);
}

void RedisMetrics::command(RedisResult::Outcome outcome, int64_t took_us) {
  count(outcomes_[static_cast<size_t>(outcome)]);
  if (metrics_ != nullptr && outcome == RedisResult::Outcome::answer) metrics_->observe(seconds_, static_cast<uint64_t>(took_us));
}

void RedisMetrics::error(RedisError kind) { count(errors_[static_cast<size_t>(kind)]); }

void RedisMetrics::redirect(std::string_view kind) {
  for (size_t i = 0; i < redirects_.size(); ++i) {
    if (redirect_words[i] == kind) count(redirects_[i]);
  }
}

void RedisMetrics::add(Metrics::Cell cell, int by) {
  if (metrics_ == nullptr) return;
  by > 0 ? metrics_->add(cell) : metrics_->sub(cell);
}

}  // namespace goma::core
