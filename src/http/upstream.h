// SPDX-License-Identifier: Apache-2.0
//
// The backends of a route and whose turn it is. Smooth weighted round robin, per route: with weights 3 and 1 the
// order is a a b a, never a burst (goma-config 8.1, made even). No weights means equal ones; a weight of 0 beside
// others means never.
//
// The endpoint's connections are in a PeerPool of the worker; an upstream only knows which one, bound with the first request.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http/peer_pool.h"

namespace goma::http {

struct Backend {
  std::string endpoint;   // as configured, for logs and metrics
  std::string authority;  // host[:port] for the Host header
  Peer peer;              // to connect to
  std::string base_path;  // of the endpoint, without trailing slash
  std::string base_query;
  int64_t weight = 0;
  PeerPool* pool = nullptr;  // bound with the first request
  PeerPool* http1_pool = nullptr;  // of requests to upgrade, where pool may speak HTTP/2; bound with the first one
  std::shared_ptr<const void> holds_pool, holds_http1_pool;

  // Requires: bound.
  PeerPool& pool_for(PeerPools& pools, bool upgrade);
};

class Upstream {
 public:
  explicit Upstream(std::vector<Backend> backends);
  // Finds the pools of the worker. Loop thread.
  void bind(PeerPools& pools);
  // The backend whose turn it is, leaving out ejected ones and not_this while others are there. Null when all weights
  // are zero.
  Backend* choose(int64_t now_ms, const Backend* not_this = nullptr);
  const std::vector<Backend>& backends() const { return backends_; }

 private:
  template <class Admits>
  Backend* take_turn(Admits admits);

  std::vector<Backend> backends_;
  std::vector<int64_t> current_;  // of smooth weighted round robin
};

}  // namespace goma::http
