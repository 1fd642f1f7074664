// SPDX-License-Identifier: Apache-2.0
//
// One decision: may this client have one more? The same four ways for every limit, whatever it counts.
//
//   alone    there is no Redis: this host's shared memory decides, exactly
//   settle   it decides too, and what it let in is told to the other hosts soon after (core/limit_mirror.h)
//   exact    Redis decides, one script per request, in time or not at all
//   apart    Redis is configured but does not answer: local, allow or deny, as the limit says
//
// A limit is a bucket (GCRA) or a window of time in which so many are let in; a sliding one carries over what the
// window before it let in, as far as that still lies within one length from now.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/redis.h"
#include "core/schema.h"
#include "http/await.h"
#include "http/exchange.h"
#include "http/host_limits.h"
#include "http/limit_key.h"

namespace goma::http {

enum class Sync : unsigned char { settle, exact };
enum class OnStoreFailure : unsigned char { local, allow, deny };
inline constexpr std::string_view sync_words[] = {"settle", "exact"};
inline constexpr std::string_view on_store_failure_words[] = {"local", "allow", "deny"};

struct LimitDecision {
  bool taken = false;
  bool denied = false;    // because Redis does not answer: says nothing about the client
  int64_t remaining = 0;
  int64_t reset_ns = 0;   // until all of it is there again
  int64_t wait_ns = 0;    // until one more is, when there is none
};

// What is asked for: of whom, and of how much.
struct LimitQuestion {
  uint64_t id = 0;
  const LimitKey* key = nullptr;
  int64_t capacity = 0;
  int64_t interval_ns = 0;  // bucket: until one more is there; 0: a window
  // Of a window:
  std::string_view kind = {};    // the first part of its key in Redis
  std::string_view period = {};  // its last part: all hosts agree on it
  std::string_view last_period = {};  // of the window before; empty: nothing is carried over
  uint64_t number = 0;      // tells the windows of an id apart
  int64_t length_ns = 0;
  int64_t left_ns = 0;
  bool durable = false;     // Redis knows better than this host what was taken before it was started
};

class Limiter {
 public:
  Limiter() = default;
  // Requires: words of sync_words and on_store_failure_words.
  Limiter(std::string_view sync, std::string_view on_failure);

  // Whether Redis is to be asked: then await a SharedTake, and go on with its result. What is durable is also asked for
  // the first time it is needed here, and towards its end.
  bool asks(const HostLimits& limits, const LimitQuestion& question) const;
  // Decides on this host.
  LimitDecision decide(Exchange& x, HostLimits& limits, const LimitQuestion& question) const;

 private:
  LimitDecision from_bucket(Exchange& x, HostLimits& limits, const LimitQuestion& question) const;
  LimitDecision from_window(Exchange& x, HostLimits& limits, const LimitQuestion& question) const;

  Sync sync_ = Sync::settle;
  OnStoreFailure on_failure_ = OnStoreFailure::local;
};

// Asks Redis for one decision.
class SharedTake final : public Operation<LimitDecision> {
 public:
  SharedTake(Exchange& x, const Limiter& limiter, const LimitQuestion& question) : x_(x), limiter_(limiter), question_(question) { call_.bind<&SharedTake::on_result>(this); }

  void start();
  void expire();
  int64_t limit_ms() const { return 10'000; }  // Redis answers, or says that it does not, within its own time
  std::string_view what() const { return "redis"; }

 private:
  void on_result(const core::RedisResult& result);
  LimitDecision read(const core::RedisReply& reply);
  LimitDecision read_bucket(HostLimits& limits, const core::RedisReply& reply);
  LimitDecision read_window(HostLimits& limits, const core::RedisReply& reply);

  Exchange& x_;
  const Limiter& limiter_;
  const LimitQuestion question_;
  core::RedisCall call_;
};

}  // namespace goma::http
