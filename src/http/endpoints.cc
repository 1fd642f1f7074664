// SPDX-License-Identifier: Apache-2.0
//
// Two kinds of answer: a constant and a rendering.
#include "http/endpoints.h"

#include "http/exchange.h"
#include "http/prometheus.h"

namespace goma::http {

namespace {

class ConstantEndpoint final : public Endpoint {
 public:
  explicit ConstantEndpoint(std::string_view json) : json_(json) {}
  Verdict serve(Exchange& x) const override { return x.reply_with(200, "application/json", json_); }

 private:
  std::string_view json_;
};

class MetricsEndpoint final : public Endpoint {
 public:
  explicit MetricsEndpoint(std::function<std::string()> render) : render_(std::move(render)) {}
  Verdict serve(Exchange& x) const override {
    if (!render_) return x.reply(503, "503 Service Unavailable");
    return x.reply_with(200, prometheus_content_type, x.arena().copy(render_()));
  }

 private:
  std::function<std::string()> render_;
};

}  // namespace

std::unique_ptr<Endpoint> make_status_endpoint() {
  return std::make_unique<ConstantEndpoint>("{\"name\":\"Service Gateway\",\"status\":\"running\",\"error\":\"\"}\n");
}

std::unique_ptr<Endpoint> make_route_health_endpoint() {
  return std::make_unique<ConstantEndpoint>("{\"status\":\"healthy\",\"routes\":[]}\n");
}

std::unique_ptr<Endpoint> make_metrics_endpoint(std::function<std::string()> render) {
  return std::make_unique<MetricsEndpoint>(std::move(render));
}

}  // namespace goma::http
