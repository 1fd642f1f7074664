// SPDX-License-Identifier: Apache-2.0
//
// What the parts of one worker share. A plain struct of references, made by the server, handed to connections,
// exchanges and pools. The current site is the only thing in it that changes, on commit.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/arena.h"
#include "core/buffer.h"
#include "core/deadline.h"
#include "core/health_zone.h"
#include "core/bans.h"
#include "core/limit_mirror.h"
#include "core/limit_zone.h"
#include "core/loop.h"
#include "core/presence.h"
#include "core/resolver.h"
#include "core/slab.h"

namespace goma::http {

class AccessLog;
class Errands;
class H2Budget;
class PeerPools;
class RequestIds;
class ResponseStore;
class RouteBinder;
class ServerMetrics;
class Site;
class Visitors;

// Limits and times of connections, from gateway.timeouts and gateway.networking. Milliseconds; 0 = none.
struct ConnectionLimits {
  int64_t header_ms = 10'000;   // from the first byte of a head to its last
  int64_t body_ms = 60'000;     // between two pieces of request body
  int64_t write_ms = 60'000;    // between two pieces the client takes
  int64_t idle_ms = 60'000;     // between two requests
  int64_t tunnel_ms = 0;        // without a byte either way in a tunnel
  uint64_t min_rate = 240;      // bytes per second a client must keep while the gateway waits for it; 0 = off
  size_t max_connections = 0;   // per worker
  size_t max_per_address = 0;   // per worker and client address, IPv6 by /64; 0 = no limit
};

struct Runtime {
  core::Loop& loop;
  core::DeadlineWheel& wheel;
  core::Buffers& buffers;
  core::ChunkPool& chunks;
  core::Resolver* resolver = nullptr;
  PeerPools* peers = nullptr;
  ServerMetrics* metrics = nullptr;
  AccessLog* access_log = nullptr;
  RequestIds* ids = nullptr;
  RouteBinder* binder = nullptr;
  Visitors* visitors = nullptr;  // null: metrics are off
  ResponseStore* responses = nullptr;  // null: no middleware stores responses, or there was no room for them
  Errands* errands = nullptr;
  H2Budget* h2_budget = nullptr;  // null: connections have a budget each and none together
  core::HealthZone* health = nullptr;         // null: there was no room for it, and each worker judges for itself
  core::LimitZone* limit_zone = nullptr;  // null: there was no room for it, and rate limits do not hold
  core::Redis* redis = nullptr;               // configured or not
  core::LimitMirror* limit_mirror = nullptr;  // null with the zone
  core::Bans* bans = nullptr;                 // null with the zone
  core::Presence* presence = nullptr;         // null with the mirror
  core::ProcessTable* processes = nullptr;  // told what is being served, for a crash report
  Site* site = nullptr;
  ConnectionLimits limits = {};
  bool draining = false;  // answers say "Connection: close"
};

}  // namespace goma::http
