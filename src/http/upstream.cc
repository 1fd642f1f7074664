// SPDX-License-Identifier: Apache-2.0
//
// Turn-taking.
#include "http/upstream.h"

#include <algorithm>

#include "http/peer_pool.h"
#include "http/retry.h"

namespace goma::http {

Upstream::Upstream(std::vector<Backend> backends) : backends_(std::move(backends)), current_(backends_.size(), 0) {
  const bool weighted = std::any_of(backends_.begin(), backends_.end(), [](const Backend& b) { return b.weight > 0; });
  if (weighted) return;
  for (Backend& backend : backends_) backend.weight = 1;
}

void Upstream::bind(PeerPools& pools) {
  for (Backend& backend : backends_) {
    backend.pool = &pools.pool(backend.peer);
    backend.holds_pool = backend.pool->hold();
  }
}

PeerPool& Backend::pool_for(PeerPools& pools, bool upgrade) {
  if (!upgrade || !pool->may_speak_http2()) return *pool;
  if (http1_pool == nullptr) {
    http1_pool = &pools.pool({.host = peer.host, .port = peer.port, .tls = peer.tls, .protocol = BackendProtocol::http1});
    holds_http1_pool = http1_pool->hold();
  }
  return *http1_pool;
}

// One step of smooth weighted round robin over the backends that are admitted.
template <class Admits>
Backend* Upstream::take_turn(Admits admits) {
  size_t best = backends_.size();
  int64_t total = 0;
  for (size_t i = 0; i < backends_.size(); ++i) {
    if (backends_[i].weight == 0 || !admits(backends_[i])) continue;
    current_[i] += backends_[i].weight;
    total += backends_[i].weight;
    if (best == backends_.size() || current_[i] > current_[best]) best = i;
  }
  if (best == backends_.size()) return nullptr;
  current_[best] -= total;
  return &backends_[best];
}

// Nobody waits for a backend that is out while others serve: it is looked at beside the traffic.
template <class Admits>
Backend* Upstream::on_trial(const Wish& wish, Admits admits) {
  const bool repeatable = wish.may_retry && is_repeatable(wish.request.method, wish.request.upgrade);
  for (Backend& backend : backends_) {
    if (backend.weight == 0 || !backend.pool->is_out() || !admits(backend)) continue;
    if (backend.pool->wants_trial(repeatable)) return &backend;
  }
  return nullptr;
}

Upstream::Choice Upstream::choose(const Wish& wish) {
  if (backends_.size() == 1) return {&backends_[0]};
  const auto is_new = [&](const Backend& b) { return !wish.tried.has(number_of(b)); };
  bool some_out = false;
  Backend* chosen = take_turn([&](const Backend& b) {
    const bool out = b.pool->is_out();
    some_out |= out;
    return !out && is_new(b);
  });
  Backend* trial = chosen != nullptr && some_out ? on_trial(wish, is_new) : nullptr;
  if (trial != nullptr) return {trial, true};
  // Ejection never leaves a route without a backend (goma-config 8.4).
  if (chosen == nullptr) chosen = take_turn(is_new);
  if (chosen == nullptr) chosen = take_turn([&](const Backend& b) { return &b != wish.last; });
  return {chosen != nullptr ? chosen : take_turn([](const Backend&) { return true; })};
}

bool Upstream::all_tried(const BackendSet& tried) const {
  return std::all_of(backends_.begin(), backends_.end(), [&](const Backend& b) { return b.weight == 0 || tried.has(number_of(b)); });
}

}  // namespace goma::http
