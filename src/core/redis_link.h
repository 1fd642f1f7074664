// SPDX-License-Identifier: Apache-2.0
//
// One connection to one Redis node, or what there is until it is made. Commands are written in the order in which they
// came and answered in that order, so a command that nobody waits for any more keeps its place and swallows its answer.
//
//   resting   no connection; one is tried again when the pause is over
//   opening   name, connection, TLS, AUTH, SELECT, and whether the node is fit to be asked
//   ready     commands go out, all of one turn of the loop in one write
//   silent    ready, but the last commands were not answered in time: not asked until something comes (the breaker)
//
// The invariant: a link that lost step is closed. Whoever has a command on it is told, once.
//
// It does not know clusters, and nothing of what a command means.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/deadline.h"
#include "core/list.h"
#include "core/loop.h"
#include "core/redis.h"
#include "core/redis_metrics.h"
#include "core/redis_request.h"
#include "core/redis_settings.h"
#include "core/resolver.h"
#include "core/stream.h"

struct redisReader;

namespace goma::core {

class RedisLink;

// Who has the links: the client.
class RedisLinkOwner {
 public:
  virtual ~RedisLinkOwner() = default;
  // It became ready, or is not any more.
  virtual void on_link_changed(RedisLink& link) = 0;
  // The request has left the link; the reply is valid for the length of the call.
  virtual void on_link_reply(RedisLink& link, RedisRequest& request, const RedisReply& reply) = 0;
  // The connection ended under the request.
  virtual void on_link_lost(RedisLink& link, RedisRequest& request) = 0;
  // Something came that nobody asked for: a subscriber's message.
  virtual void on_link_push(RedisLink&, const RedisReply&) {}
};

class RedisLink {
 public:
  enum class State : unsigned char { resting, opening, ready, silent };
  // How it makes sure that the node is fit.
  enum class Check : unsigned char {
    ping,       // it answers
    server,     // it answers, and is a server by itself: neither a replica nor a Sentinel nor a node of a cluster
    primary,    // it says that it is the primary (ROLE)
    subscriber, // it answers; then everything it says is a push
    sentinel,   // it answers; no database, and the sentinels' own password
  };
  struct Parts {
    Loop& loop;
    DeadlineWheel& wheel;
    Buffers& buffers;
    Resolver& resolver;
    RedisMetrics& metrics;
  };
  static constexpr int breaker_after = 5;       // commands in a row that were not answered in time
  static constexpr int64_t silence_ms = 1'000;  // after so long without an answer the connection is given up

  RedisLink(const Parts& parts, RedisLinkOwner& owner, std::shared_ptr<const RedisSettings> settings, RedisAddress address, Check check);
  RedisLink(const RedisLink&) = delete;
  RedisLink& operator=(const RedisLink&) = delete;
  // Who has a command on it is told.
  ~RedisLink();

  // Begins to connect, unless it does already or rests.
  void open();
  // Ends the connection; who has a command on it is told. It is opened again at once, or after a pause.
  void drop(std::string_view why, RedisError kind);

  // Requires: can_take(). What is sent while it opens goes out when it is ready.
  void send(RedisRequest& request);
  bool can_take() const { return (state_ == State::ready || (state_ == State::opening && !failed_before())) && queued_ < settings_->max_in_flight; }
  bool is_full() const { return queued_ >= settings_->max_in_flight; }
  // Takes back a request that has not been sent.
  void withdraw(RedisRequest& request);
  // Sends what is no request: a subscriber's words. Requires: ready.
  void say(std::string_view wire);
  // One of its commands was not answered in time.
  void missed();

  State state() const { return state_; }
  bool is_ready() const { return state_ == State::ready; }
  bool failed_before() const { return failures_ > 0; }
  const RedisAddress& address() const { return address_; }
  const std::shared_ptr<const RedisSettings>& settings() const { return settings_; }
  const std::string& problem() const { return problem_; }
  size_t in_flight() const { return queued_; }
  int64_t latency_us() const { return latency_us_; }

 private:
  void connect();
  void on_resolved(const Result<Resolver::Addresses>& addresses);
  void try_next_address();
  void use(int fd);
  void on_ready(unsigned ready);
  void connected();
  void shake_hands();
  void greet();
  void greeted(const RedisReply& reply);
  std::string unfit(const RedisReply& reply, RedisError& kind) const;
  void become(State state);
  void on_opening_late();
  void on_timer();
  void rest();
  void read();
  bool take_replies();
  void take_reply(const RedisReply& reply);
  void flush();
  void lose_all();
  bool is_plain() const;

  Loop& loop_;
  Buffers& buffers_;
  Resolver& resolver_;
  RedisMetrics& metrics_;
  RedisLinkOwner& owner_;
  std::shared_ptr<const RedisSettings> settings_;
  RedisAddress address_;
  Check check_;
  Stream stream_;
  Deadline opening_late_;
  Timer timer_;
  Deferred flush_;
  Resolver::Lookup lookup_;
  Resolver::Addresses addresses_;
  size_t next_address_ = 0;
  redisReader* reader_ = nullptr;
  std::string out_;
  List<RedisRequest, &RedisRequest::queue> queue_;  // sent and to be sent, in order
  size_t queued_ = 0;
  int greetings_ = 0;       // answers to the greeting that are still to come
  int failures_ = 0;        // since it was ready last
  int misses_ = 0;          // in a row
  int64_t ready_ms_ = 0;    // since when
  size_t unread_ = 0;       // bytes that came since the last whole reply
  int64_t heard_us_ = 0;    // when anything came last
  int64_t latency_us_ = 0;
  TlsResumption resumption_;
  std::string problem_;
  State state_ = State::resting;
  bool connected_ = false;
  bool securing_ = false;
  bool dropping_ = false;
};

}  // namespace goma::core
