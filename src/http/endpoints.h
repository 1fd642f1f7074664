// SPDX-License-Identifier: Apache-2.0
//
// What the gateway itself answers: readiness, liveness (goma-config 13.1), the health of routes (13.2) and metrics
// (13.3). An endpoint is the content of a route like a backend is; methods and hosts were judged by the router before.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "http/route.h"

namespace goma::http {

// /readyz and /healthz: constant, with a word on Redis where one is configured. Serving does not depend on it.
std::unique_ptr<Endpoint> make_status_endpoint();

// /healthz/routes: constant too. Routes have no checks, so there is nobody to report.
std::unique_ptr<Endpoint> make_route_health_endpoint();

// Prometheus text, rendered for every request. `render` may be null (a site that is only checked).
std::unique_ptr<Endpoint> make_metrics_endpoint(std::function<std::string()> render);

}  // namespace goma::http
