// SPDX-License-Identifier: Apache-2.0
//
// What a worker has in common with the other workers of its host: the health of backends, the limit zone, the register
// of bans; and with other hosts, through Redis: their presence, and the mirror that agrees with them on limits. The runtime
// points at each part that there is.
//
// The one idea: every part may be missing for lack of shared memory, and the rest serves without it.
#pragma once

#include <memory>
#include <optional>

#include "core/bans.h"
#include "core/health_zone.h"
#include "core/limit_mirror.h"
#include "core/limit_zone.h"
#include "core/presence.h"
#include "core/redis.h"
#include "core/service.h"
#include "http/runtime.h"

namespace goma::http {

class HostShare {
 public:
  HostShare(core::Context& context, Runtime& runtime);

  void configure(std::shared_ptr<const core::RedisSettings> settings) { redis_.configure(std::move(settings)); }
  // Posts what was let in last. False: ask again in last_words_ms; true: everything is said, or it has taken too long.
  static constexpr int64_t last_words_ms = 5;
  bool has_said_all();

 private:
  core::Redis redis_;
  std::optional<core::HealthZone> health_;
  std::optional<core::LimitZone> zone_;
  std::optional<core::Presence> presence_;
  std::optional<core::Bans> bans_;
  std::unique_ptr<core::LimitMirror> mirror_;
  int last_words_ = 20;
};

}  // namespace goma::http
