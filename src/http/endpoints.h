// SPDX-License-Identifier: Apache-2.0
//
// What the gateway itself answers: readiness, liveness (goma-config 13.1) and metrics (13.3). An endpoint is the
// content of a route like a backend is; methods and hosts were judged by the router before.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "http/config.h"
#include "http/route.h"

namespace goma::http {

// An endpoint that waits to be made a route; the members are as Router::add takes them.
struct EndpointRoute {
  std::string name;  // "goma:readyz"
  std::string path;
  std::vector<std::string> hosts;
  std::vector<std::string> methods;
  std::vector<core::PlacedText> middlewares;  // names
  std::unique_ptr<Endpoint> endpoint;
};

// Calls `add` for every endpoint that gateway.monitoring enables. Metrics come twice: the path and what is below it.
void add_endpoints(const Config& config, const std::function<void(EndpointRoute)>& add);

}  // namespace goma::http
