// SPDX-License-Identifier: Apache-2.0
//
// The connection that listens: channels and who wants to hear of them, subscribed anew whenever a connection is made. A
// PING now and then shows whether anybody is at the other end.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/redis.h"
#include "core/redis_link.h"

namespace goma::core {

class RedisSubscriber final : private RedisLinkOwner {
 public:
  static constexpr int64_t ping_ms = 2'000;

  explicit RedisSubscriber(const RedisLink::Parts& parts);

  // Listens at this node from now on; null: nowhere. Nothing happens where it is the same.
  void listen_at(const RedisAddress* address, const std::shared_ptr<const RedisSettings>& settings);
  void add(std::string_view channel, RedisListener& listener);
  void remove(RedisListener& listener);
  // Why nothing is heard; empty: something is.
  std::string problem() const { return refused_.empty() ? std::string() : "SUBSCRIBE is refused: " + refused_; }
  bool wanted() const { return !listeners_.empty(); }

 private:
  struct Listener {
    std::string channel;
    RedisListener* listener;
  };

  void on_link_changed(RedisLink& link) override;
  void on_link_reply(RedisLink&, RedisRequest&, const RedisReply&) override {}
  void on_link_lost(RedisLink&, RedisRequest&) override {}
  void on_link_push(RedisLink& link, const RedisReply& reply) override;
  void ask_for(std::string_view channel);
  void on_ping();
  void bury() { dead_.reset(); }

  RedisLink::Parts parts_;
  std::vector<Listener> listeners_;
  std::unique_ptr<RedisLink> link_;
  std::unique_ptr<RedisLink> dead_;
  std::shared_ptr<const RedisSettings> settings_;
  Timer ping_;
  Deferred burial_;
  std::string refused_;
  int unanswered_ = 0;
};

}  // namespace goma::core
