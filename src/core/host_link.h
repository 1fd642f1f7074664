// SPDX-License-Identifier: Apache-2.0
//
// What a host has to say to the others, and to hear from them, once for all its workers: that it lives, and who is
// banned, and what caches must forget. The manager holds it, on a Redis client of its own.
//
// The one idea: what is published can be missed, so everything published is kept in Redis too, and read whenever the
// subscription stands anew. A host that comes late, or was cut off, hears of it then.
//
// It also empties Redis at the start of a cluster, where the configuration says so: the first host that finds
// nobody alive does it, once in the life of its master.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/bans.h"
#include "core/buffer.h"
#include "core/limit_zone.h"
#include "core/loop.h"
#include "core/presence.h"
#include "core/purge.h"
#include "core/redis.h"
#include "core/resolver.h"
#include "core/service.h"

namespace goma::core {

class HostLink final : private RedisListener {
 public:
  static constexpr int64_t beat_ms = 1'000;

  explicit HostLink(Context& context);
  HostLink(const HostLink&) = delete;
  HostLink& operator=(const HostLink&) = delete;
  ~HostLink() override;

  // From here on this Redis; null: none.
  void configure(std::shared_ptr<const RedisSettings> settings);

  // This host stops: it strikes itself off the roll, and calls `done` when Redis has taken that or does not answer.
  void leave(std::function<void()> done);

  // Answers to operators; what there is to say about Redis, the bans, and the lifting of those that match.
  std::string describe_redis(bool json) const;
  std::string describe_bans(bool json) const;
  // Lifts every ban whose client is shown as `shown`, or all of them ("all"), here and on the other hosts.
  std::string lift(const std::string& shown, bool json);
  // Purges the response caches of all hosts: "url WHAT", "prefix WHAT", "tag WHAT" or "all".
  std::string purge(const std::string& what, bool json);

 private:
  void on_message(std::string_view channel, std::string_view message) override;
  void on_subscribed() override;

  void beat();
  void on_beat(const RedisResult& result);
  void on_flushed(const RedisResult& result);
  void on_left(const RedisResult&) { left_(); }
  void on_bans(const RedisResult& result);
  void read_purges();
  void on_purges(const RedisResult& result);
  void apply(const Purge& purge, uint64_t number);
  void tell_owed();
  void on_told(const RedisResult& result);
  CacheZone* cache();
  void impose(std::string_view identity, int64_t until_ms);
  int64_t now_ns() const { return loop_.now_us() * 1000; }

  Loop& loop_;
  Slab& slab_;
  Buffers buffers_;
  Resolver resolver_;
  Redis redis_;
  std::shared_ptr<const RedisSettings> settings_;
  std::optional<LimitZone> zone_;
  std::optional<Bans> bans_;
  std::optional<Presence> presence_;
  std::optional<CacheZone> cache_;
  Timer timer_;
  RedisCall beat_, flush_, read_bans_, read_purges_, telling_, leaving_;
  std::function<void()> left_;
  std::optional<CacheZone::Owed> told_;  // being told
  std::string last_purge_ = "0-0";  // of the stream, that this manager has read
  bool subscribed_ = false;
  bool flush_wanted_ = false;
};

}  // namespace goma::core
