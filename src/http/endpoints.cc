// SPDX-License-Identifier: Apache-2.0
//
// Constants and renderings.
#include "http/endpoints.h"

#include <fmt/format.h>

#include "http/exchange.h"
#include "http/prometheus.h"
#include "http/runtime.h"

namespace goma::http {

namespace {

class ConstantEndpoint final : public Endpoint {
 public:
  explicit ConstantEndpoint(std::string_view json) : json_(json) {}
  Verdict serve(Exchange& x) const override { return x.reply_with(200, "application/json", json_); }

 private:
  std::string_view json_;
};

// Constant, but for the word on Redis: whoever may ask this learns no addresses.
class StatusEndpoint final : public Endpoint {
 public:
  Verdict serve(Exchange& x) const override {
    constexpr std::string_view begin = "{\"name\":\"Service Gateway\",\"status\":\"running\",\"error\":\"\"";
    const Runtime& runtime = x.runtime();
    if (runtime.redis == nullptr || !runtime.redis->configured()) return x.reply_with(200, "application/json", x.arena().join(begin, "}\n"));
    const int64_t hosts = runtime.presence != nullptr ? runtime.presence->hosts() : 1;
    const std::string redis = fmt::format(",\"redis\":{{\"usable\":{},\"hosts\":{}}}}}\n", runtime.redis->usable(), hosts);
    return x.reply_with(200, "application/json", x.arena().join(begin, redis));
  }
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
  return std::make_unique<StatusEndpoint>();
}

std::unique_ptr<Endpoint> make_route_health_endpoint() {
  return std::make_unique<ConstantEndpoint>("{\"status\":\"healthy\",\"routes\":[]}\n");
}

std::unique_ptr<Endpoint> make_metrics_endpoint(std::function<std::string()> render) {
  return std::make_unique<MetricsEndpoint>(std::move(render));
}

}  // namespace goma::http
