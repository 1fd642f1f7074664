// SPDX-License-Identifier: Apache-2.0
//
// The backends of a route and whose turn it is. Smooth weighted round robin, per route: with weights 3 and 1 the
// order is a a b a, never a burst (goma-config 8.1, made even). No weights means equal ones; a weight of 0 beside
// others means never.
//
// The endpoint's connections are in a PeerPool of the worker; an upstream only knows which one, bound with the first request.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/arena.h"
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

// Some of an upstream's backends, by their numbers.
class BackendSet {
 public:
  bool has(size_t number) const { return words_ != nullptr && (words_[number / 64] >> (number % 64) & 1) != 0; }
  // of: how many backends there are, always the same.
  void add(size_t number, size_t of, core::Arena& arena) {
    if (words_ == nullptr) words_ = arena.array<uint64_t>(of / 64 + 1), std::fill_n(words_, of / 64 + 1, 0);
    words_[number / 64] |= uint64_t{1} << (number % 64);
  }

 private:
  uint64_t* words_ = nullptr;
};

class Upstream {
 public:
  explicit Upstream(std::vector<Backend> backends);
  // Finds the pools of the worker. Loop thread.
  void bind(PeerPools& pools);
  struct Wish {
    const RequestHead& request;
    const BackendSet& tried;
    const Backend* last = nullptr;  // that was tried
    bool may_retry = false;         // what was written, if its method allows it
  };
  struct Choice {
    Backend* backend = nullptr;
    bool trial = false;  // what becomes of this request says whether the backend is good again
  };
  // The backend whose turn it is: one that was not tried and is not left out, or wants a trial; else one that was not tried,
  // else another than the last. Null when all weights are zero.
  Choice choose(const Wish& wish);
  void note_tried(BackendSet& tried, const Backend& backend, core::Arena& arena) const { tried.add(number_of(backend), backends_.size(), arena); }
  // There is no other one to go on to.
  bool all_tried(const BackendSet& tried) const;
  const std::vector<Backend>& backends() const { return backends_; }

 private:
  size_t number_of(const Backend& backend) const { return static_cast<size_t>(&backend - backends_.data()); }
  template <class Admits>
  Backend* take_turn(Admits admits);
  template <class Admits>
  Backend* on_trial(const Wish& wish, Admits admits);

  std::vector<Backend> backends_;
  std::vector<int64_t> current_;  // of smooth weighted round robin
};

}  // namespace goma::http
