// SPDX-License-Identifier: Apache-2.0
//
// A configuration ready to serve: routes, chains, router, limits. Immutable once built; building is pure and may run
// on any thread. Exchanges hold the site they began with; the last one out hands it to the helper thread to be freed.
// Connections, pools, caches and counters are not part of it and survive it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/redis_settings.h"
#include "core/service.h"
#include "http/certificates.h"
#include "http/client_address.h"
#include "http/config.h"
#include "http/entry_point.h"
#include "http/h1_parser.h"
#include "http/module.h"
#include "http/pass_through_rule.h"
#include "http/peer_pool.h"
#include "http/route.h"
#include "http/router.h"
#include "http/runtime.h"

namespace goma::http {

class Site final : public core::Built {
 public:
  ~Site() override;

  const Config& config() const { return *config_; }
  const Router& router() const { return router_; }
  const Limits& head_limits() const { return head_limits_; }
  EncodedSlash encoded_slash() const { return encoded_slash_; }
  const TrustedProxies& trusted_proxies() const { return trusted_proxies_; }
  const Certificates& certificates() const { return certificates_; }
  // How clients arrive at an address of the plan.
  const EntryPoint& entry_point(std::string_view address) const;
  const std::vector<EntryPoint>& entry_points() const { return entry_points_; }
  const PassThroughRules& pass_through() const { return pass_through_; }
  // Where Redis is; null without.
  const std::shared_ptr<const core::RedisSettings>& redis() const { return redis_; }
  ConnectionLimits connection_limits() const;
  TransportLimits transport_limits() const;
  int retries() const { return config_->gateway.networking.retries; }
  std::deque<Route>& routes() { return routes_; }
  const std::deque<Route>& routes() const { return routes_; }
  // What its middlewares ask for of the host's response store.
  uint64_t store_bytes() const;
  uint64_t generation = 0;

  // Counting of users; loop thread only.
  void hold() { ++users_; }
  void release();
  // The server lets go of it: freed through `dispose` when the last user has.
  void retire(std::function<void(Site*)> dispose);

 private:
  friend class SiteBuilder;
  Site() = default;

  std::unique_ptr<Config> config_;
  std::vector<std::unique_ptr<Middleware>> middlewares_;
  std::vector<std::unique_ptr<PathSet>> path_sets_;
  std::deque<Route> routes_;
  Router router_;
  Limits head_limits_;
  EncodedSlash encoded_slash_ = EncodedSlash::keep;
  TrustedProxies trusted_proxies_;
  Certificates certificates_;
  std::vector<EntryPoint> entry_points_;
  PassThroughRules pass_through_;
  std::shared_ptr<const core::RedisSettings> redis_;
  std::function<void(Site*)> dispose_;
  uint64_t users_ = 0;
};

}  // namespace goma::http
