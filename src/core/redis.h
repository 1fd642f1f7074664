// SPDX-License-Identifier: Apache-2.0
//
// Redis as the rest of goma sees it: a command goes in, one result comes out, always, and in time. Standalone, behind
// Sentinels or as a Cluster, plain or over TLS: who sends a command does not know. One client per process, on its loop;
// one connection per node, pipelined.
//
// The one idea: nobody waits for Redis longer than a command's deadline. A connection whose answers are late is
// dropped with everything on it, a node that keeps failing is left alone for a while (the breaker), and then a command
// fails at once. What to do without Redis is the sender's business.
//
// The invariant: a call ends exactly once, unless it is cancelled; a late answer is never taken for another's.
//
// It does not know what keys mean, and never retries what Redis may have done already.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/list.h"
#include "core/redis_settings.h"

namespace goma::core {

struct Buffers;
class DeadlineWheel;
class Loop;
class Metrics;
class Resolver;

// What Redis said (RESP2); valid as long as the call that shows it. A view: nothing is copied.
class RedisReply {
 public:
  enum class Kind : unsigned char { nil, status, error, integer, text, list };

  explicit RedisReply(const void* raw = nullptr) : raw_(raw) {}
  Kind kind() const;                // nil without a reply
  std::string_view text() const;    // of status, error and text; else empty
  int64_t integer() const;          // of integer; 0 else
  size_t size() const;              // of list; 0 else
  RedisReply operator[](size_t index) const;  // nil beyond the end

 private:
  const void* raw_;  // hiredis' redisReply
};

struct RedisResult {
  enum class Outcome : unsigned char {
    answer,       // reply is what Redis said, and not an error
    refused,      // reply is an error that is the command's own (WRONGTYPE, NOPERM, OOM, NOSCRIPT that stays, ...)
    unreachable,  // no connection, or it broke before the answer: the command may have been done
    unavailable,  // not sent at all: breaker open, loading, no primary, slot not served
    late,         // the deadline passed: the command may have been done
    overload,     // too many commands are in flight: not sent
  };
  Outcome outcome = Outcome::answer;
  RedisReply reply;
  std::string_view detail;  // for a log line
  bool ok() const { return outcome == Outcome::answer; }
};
// "answer", "refused", ...: the word for logs and metrics.
std::string_view outcome_name(RedisResult::Outcome outcome);

// A script and its SHA-1; define it once, constinit or static. All keys of one run must be in one slot.
class RedisScript {
 public:
  explicit RedisScript(std::string_view text);
  std::string_view text() const { return text_; }
  std::string_view sha() const { return sha_; }

 private:
  std::string_view text_;
  std::string sha_;
};

// Somebody who waits for a result. Destroying or cancelling it leaves: the command may still be done.
class RedisCall {
 public:
  RedisCall() = default;
  RedisCall(const RedisCall&) = delete;
  RedisCall& operator=(const RedisCall&) = delete;
  ~RedisCall() { cancel(); }
  // Calls (owner->*Method)(const RedisResult&) once per command, never before send() has returned. The owner may
  // destroy the call, send the next command or destroy itself there.
  template <auto Method, class Owner>
  void bind(Owner* owner) {
    owner_ = owner;
    run_ = [](void* o, const RedisResult& result) { (static_cast<Owner*>(o)->*Method)(result); };
  }
  bool pending() const { return request_ != nullptr; }
  void cancel();

 private:
  friend class Redis;
  friend struct RedisRequest;
  void* owner_ = nullptr;
  void (*run_)(void*, const RedisResult&) = nullptr;
  struct RedisRequest* request_ = nullptr;
};

// Somebody who listens to channels (PUBLISH/SUBSCRIBE). Subscriptions are made again after every reconnection.
class RedisListener {
 public:
  virtual ~RedisListener() = default;
  virtual void on_message(std::string_view channel, std::string_view message) = 0;
  // The subscription stands (again): whatever was published meanwhile is lost.
  virtual void on_subscribed() = 0;
};

// How things stand, for metrics, `gomactl redis` and /readyz.
struct RedisState {
  bool configured = false;
  bool usable = false;          // a command sent now would reach a node
  std::string mode;             // "standalone", "sentinel", "cluster"
  std::string problem;          // why it is not usable; empty when it is
  int64_t since_ms = 0;         // loop time at which usable became what it is
  struct Node {
    std::string address;
    std::string role;           // "primary", "replica", "sentinel"
    std::string state;          // "connected", "connecting", "down", "breaker open"
    std::string problem;
    size_t in_flight = 0;
    int64_t latency_us = 0;     // smoothed
    std::string slots;          // "0-5460 9000-9001"; cluster only
  };
  std::vector<Node> nodes;
};

class Redis {
 public:
  struct Parts {
    Loop& loop;
    DeadlineWheel& wheel;
    Buffers& buffers;
    Resolver& resolver;
    Metrics* metrics = nullptr;  // null: not counted
  };

  explicit Redis(const Parts& parts);
  Redis(const Redis&) = delete;
  Redis& operator=(const Redis&) = delete;
  // Calls that still wait are not called.
  ~Redis();

  // From here on these settings; null: no Redis. Connections stay when nothing that concerns them has changed; else
  // what is in flight is finished on the old ones.
  void configure(std::shared_ptr<const RedisSettings> settings);
  bool configured() const;
  // Whether a command sent now would be sent at all.
  bool usable() const;
  RedisState state() const;

  // A key or channel as it is called in Redis: behind the prefix of this installation (RedisSettings::key_prefix). Only what
  // travels as another argument needs it: the key of a command, the keys of a script and channels get it here.
  std::string named(std::string_view key) const;

  // Sends a command; `key` decides the node of a cluster (empty: any), and is one of the words. Words are copied. The result comes within
  // timeout_ms (0: that of the settings). Requires: the call is bound and not pending.
  void send(std::string_view key, std::span<const std::string_view> words, RedisCall& call, int64_t timeout_ms = 0);
  // Runs a script by its hash, and with its text where Redis does not know it.
  void run(const RedisScript& script, std::span<const std::string_view> keys, std::span<const std::string_view> arguments, RedisCall& call, int64_t timeout_ms = 0);
  // A command whose answer nobody waits for; an error is counted and logged at most once a minute.
  void post(std::string_view key, std::span<const std::string_view> words);

  // The same for every primary: of a cluster all that are known, else the one.
  void post_to_primaries(std::span<const std::string_view> words);

  // Listens on a connection of its own. A listener leaves with unsubscribe or when the client is destroyed.
  void subscribe(std::string_view channel, RedisListener& listener);
  void unsubscribe(RedisListener& listener);

 private:
  struct State;
  std::unique_ptr<State> s_;
};

}  // namespace goma::core
