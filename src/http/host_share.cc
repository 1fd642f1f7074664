// SPDX-License-Identifier: Apache-2.0
//
// Opening what there is, one part upon the other.
#include "http/host_share.h"

#include "core/log.h"

namespace goma::http {

HostShare::HostShare(core::Context& context, Runtime& runtime)
    : redis_({*context.loop, *context.wheel, runtime.buffers, *runtime.resolver, context.metrics}) {
  runtime.redis = &redis_;
  if (core::Result<core::HealthZone> health = core::HealthZone::open(*context.slab)) {
    runtime.health = &health_.emplace(std::move(health).value());
  } else {
    core::log::warn("each worker finds out for itself which backends fail", {{"error", health.error().text}});
  }
  core::Result<core::LimitZone> zone = core::LimitZone::open(*context.slab);
  if (!zone.ok()) {
    core::log::error("rate limits do not hold", {{"error", zone.error().text}});
    return;
  }
  runtime.limit_zone = &zone_.emplace(std::move(zone).value());
  if (core::Result<core::Bans> bans = core::Bans::open(*context.slab, *zone_)) runtime.bans = &bans_.emplace(std::move(bans).value());
  core::Result<core::Presence> presence = core::Presence::open(*context.slab);
  if (!presence.ok()) {
    core::log::warn("limits are not shared with other hosts", {{"error", presence.error().text}});
    return;
  }
  runtime.presence = &presence_.emplace(std::move(presence).value());
  mirror_ = std::make_unique<core::LimitMirror>(core::LimitMirror::Parts{*context.loop, redis_, *zone_, *presence_, *context.metrics});
  runtime.limit_mirror = mirror_.get();
}

bool HostShare::has_said_all() {
  if (!mirror_ || mirror_->settled() || last_words_ == 0) return true;
  --last_words_;
  mirror_->settle();
  return false;
}

}  // namespace goma::http
