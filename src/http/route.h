// SPDX-License-Identifier: Apache-2.0
//
// A route as it serves: compiled once per site, const for everyone but its upstream's turn-taking. Steps are a flat
// array; a route without a feature does not visit it.
//
// What belongs to the worker (pools, counters) is found when a route serves its first request, not when the site is
// committed: a commit costs the same with ten routes and with ten thousand.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http/claims.h"
#include "http/config.h"
#include "http/message.h"
#include "http/module.h"
#include "http/path_set.h"

namespace goma::core {
class TlsClientRule;  // core/tls_context.h
}

namespace goma::http {

class Upstream;
class RouteMetrics;
struct Route;

// Gives a route what belongs to the worker. Loop thread.
class RouteBinder {
 public:
  virtual ~RouteBinder() = default;
  virtual void bind(const Route& route) = 0;
};

struct Step {
  const Middleware* middleware = nullptr;
  const PathSet* paths = nullptr;  // null: every path of the route
  std::string_view name;           // the middleware's name, for messages and status
  bool whole = true;               // it acts on every path of the route: neither `paths` nor a list of its own narrows it
};

// Something the gateway itself answers (readiness, metrics), built like a route.
class Endpoint {
 public:
  virtual ~Endpoint() = default;
  virtual Verdict serve(Exchange& x) const = 0;
};

struct Route {
  static constexpr size_t max_steps = 64;  // steps are a bit each in Exchange

  std::string name;
  std::string path;                    // as routed: leading slash, no trailing slash ("/" stays)
  std::vector<std::string> methods;    // empty: all; exact, case-sensitive
  std::string rewrite;
  bool has_rewrite = false;
  bool forward_host = true;
  bool metrics_enabled = true;
  bool listed = true;                  // false: built-in endpoint (not logged as a route, no default middlewares)
  std::vector<Step> steps;             // wrapping middlewares first, then the chain in order
  size_t wraps = 0;                    // how many of steps wrap
  std::vector<OwnField> own_fields;    // of its steps, and the identities that its backends are told by other routes
  const core::TlsClientRule* client_rule = nullptr;  // for client certificates, its own; null: that of its host
  std::unique_ptr<Upstream> upstream;  // null: endpoint
  std::unique_ptr<Endpoint> endpoint;
  mutable RouteMetrics* metrics = nullptr;  // of the worker; null until bound, and when switched off
  mutable bool bound = false;               // RouteBinder has seen it
  const RouteConf* conf = nullptr;     // null: endpoint
};

}  // namespace goma::http
