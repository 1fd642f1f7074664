// SPDX-License-Identifier: Apache-2.0
//
// What a module sees of the host's limits while it judges one exchange: levels, counts and bans by id
// (core/limit_zone.h), all at the moment of the exchange.
//
// The invariant: time is the loop's, so that everything a request is judged by happens at one instant.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/limit_mirror.h"
#include "core/limit_zone.h"
#include "http/exchange.h"
#include "http/route_metrics.h"
#include "http/runtime.h"

namespace goma::http {

class HostLimits {
 public:
  using Level = core::LimitZone::Level;
  static constexpr uint32_t max_count = core::LimitZone::max_count;

  explicit HostLimits(Exchange& x) : runtime_(x.runtime()), zone_(runtime_.limit_zone), now_ns_(runtime_.loop.now_us() * 1000) {}
  // Whether there is room for limits at all. Everything below requires it.
  bool open() const { return zone_ != nullptr; }

  // A number for a pair of texts that no client can aim at; seed chains pairs into longer lists.
  uint64_t id(std::string_view first, std::string_view second, uint64_t seed = 0) const { return zone_->id(first, second, seed); }

  // Takes one from a bucket that gets one back every interval_ns and holds capacity_ns / interval_ns of them.
  Level take(uint64_t id, int64_t interval_ns, int64_t capacity_ns) { return zone_->take(id, now_ns_, interval_ns, capacity_ns); }
  // Counts one more, to be forgotten in for_ns (from the first one, or with `renew` from the latest), when that makes
  // at most `limit`: the count, or nothing.
  std::optional<uint32_t> count(uint64_t id, uint32_t limit, int64_t for_ns, bool renew = false, uint32_t step = 1) {
    return zone_->count(id, now_ns_, limit, now_ns_ + for_ns, renew, step);
  }
  // What other hosts took as well: a bucket that is full again in debt_ns, a count that is so high by now.
  void raise(uint64_t id, int64_t debt_ns) { zone_->raise(id, now_ns_, now_ns_ + debt_ns); }
  void set_count(uint64_t id, int64_t n, int64_t for_ns) { zone_->set_count(id, now_ns_, static_cast<uint32_t>(std::clamp<int64_t>(n, 0, max_count)), now_ns_ + for_ns); }
  uint32_t counted(uint64_t id) const { return zone_->counted(id, now_ns_); }
  void forget_count(uint64_t id) { zone_->forget_count(id); }
  // Bans on this host, and where there is a Redis on all.
  void ban(const core::Ban& ban, int64_t for_ns);
  // What is left of a ban; 0: there is none.
  int64_t banned_ns(uint64_t id) const {
    const int64_t until_ns = zone_->banned_until(id, now_ns_);
    return until_ns == 0 ? 0 : until_ns - now_ns_;
  }

  // What agrees with other hosts; null: there are none, because there is no Redis.
  core::LimitMirror* mirror() const { return runtime_.limit_mirror != nullptr && runtime_.limit_mirror->configured() ? runtime_.limit_mirror : nullptr; }
  core::Redis& redis() const { return *runtime_.redis; }
  int64_t now_ns() const { return now_ns_; }

  // The time that hosts agree on, nanoseconds since the Unix epoch; this host's own without Redis.
  int64_t time_ns() const {
    if (runtime_.presence != nullptr) return runtime_.presence->time_ms(runtime_.loop) * 1'000'000;
    const timespec wall = runtime_.loop.wall();
    return static_cast<int64_t>(wall.tv_sec) * 1'000'000'000 + wall.tv_nsec;
  }
  // Counts a decision that was made without Redis, where it should have a say.
  void count_apart() const {
    if (runtime_.metrics != nullptr) runtime_.metrics->limited_apart();
  }
  // Counts a request that was turned away: "refused", "banned" or "denied" (for want of Redis).
  void turned_away(std::string_view outcome) const {
    if (runtime_.metrics != nullptr) runtime_.metrics->limited(outcome);
  }

 private:
  Runtime& runtime_;
  core::LimitZone* zone_;
  int64_t now_ns_;
};

}  // namespace goma::http
