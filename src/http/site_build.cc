// SPDX-License-Identifier: Apache-2.0
//
// Building a site from a configuration: middlewares by their modules, then routes with their steps, then the table.
// Everything that can be wrong is reported; a route is never built without a protection it asked for.
#include "http/site_build.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/text.h"
#include "http/authority.h"
#include "http/backend_tls.h"
#include "http/endpoints.h"
#include "http/redis_settings.h"
#include "http/upstream.h"

namespace goma::http {

bool read_rule(BuildContext& context, std::span<const core::Field> fields, void* into) {
  return read_rule(context.conf, fields, into, context.problems);
}

namespace {

void report(core::Problems& problems, std::string code, const core::Place& place, std::string message) {
  core::Problem problem;
  problem.severity = core::Severity::error;
  problem.code = std::move(code);
  problem.place = place;
  problem.message = std::move(message);
  problems.add(std::move(problem));
}

std::string without_trailing_slashes(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  return path.empty() || path.front() != '/' ? "/" + std::string(path) : std::string(path);
}

// What goes into a request line as configured (http/uri.h).
std::string without_strays(std::string_view text) {
  core::ChunkPool pool;
  core::Arena arena(pool);
  return std::string(encode_strays(text, arena));
}

EncodedSlash encoded_slash_of(std::string_view word) {
  return word == "refuse" ? EncodedSlash::refuse : word == "decode" ? EncodedSlash::decode : EncodedSlash::keep;
}

std::vector<std::string> texts(const std::vector<core::PlacedText>& placed) {
  std::vector<std::string> out;
  for (const core::PlacedText& text : placed) out.push_back(text.text);
  return out;
}

}  // namespace

class SiteBuilder {
 public:
  static std::unique_ptr<Site> build(std::unique_ptr<Config> config, const SiteTools& tools, core::Problems& problems) {
    std::unique_ptr<Site> site(new Site());
    site->config_ = std::move(config);
    SiteBuilder(*site, tools, problems).build();
    if (problems.has_errors()) return nullptr;
    return site;
  }

 private:
  SiteBuilder(Site& site, const SiteTools& tools, core::Problems& problems)
      : site_(site), tools_(tools), problems_(problems), backend_tls_(*site.config_, tools.source, problems) {}

  void build() {
    site_.head_limits_.request_line = static_cast<size_t>(networking().max_request_line);
    site_.head_limits_.head_bytes = static_cast<size_t>(networking().max_header_bytes);
    site_.head_limits_.headers = static_cast<size_t>(networking().max_headers);
    site_.encoded_slash_ = encoded_slash_of(networking().encoded_slash);
    site_.trusted_proxies_ = TrustedProxies(gateway().proxy, problems_);
    add_entry_points();
    site_.redis_ = redis_settings_of(*site_.config_, tools_.source, problems_);
    check_known_types();
    for (const MiddlewareConf& conf : site_.config_->middlewares) build_middleware(conf);
    for (const RouteConf& conf : gateway().routes) {
      if (conf.enabled) build_route(conf);
    }
    share_identities();
    add_endpoints();
    for (const Route& route : site_.routes_) {
      if (route.conf != nullptr) site_.router_.add(&route, route.conf->priority, route.path, route.conf->hosts);
    }
    site_.router_.compile(problems_, gateway().strict_slash);
  }

  struct Made {
    const Middleware* middleware;
    const ModuleInfo* module;
    const MiddlewareConf* conf;
  };

  const GatewayConf& gateway() const { return site_.config_->gateway; }
  const NetworkingConf& networking() const { return gateway().networking; }

  void add_entry_points() {
    EntryPoint& web = site_.entry_points_.emplace_back();
    web.address = gateway().entry_points.web.address.text;
    web.http2 = gateway().entry_points.web.h2c;
    site_.pass_through_ = make_pass_through_rules(gateway().entry_points.pass_through);
    web.proxies = networks(gateway().entry_points.web.proxy_protocol.trusted);
    if (tools_.source == nullptr || !site_.config_->serves_https()) return;
    EntryPoint& secure = site_.entry_points_.emplace_back();
    secure.address = gateway().entry_points.web_secure.address.text;
    secure.tls = true;
    secure.http2 = gateway().entry_points.web_secure.http2;
    secure.proxies = networks(gateway().entry_points.web_secure.proxy_protocol.trusted);
    site_.certificates_.build(*site_.config_, *tools_.source, tools_.tickets, tools_.staples, problems_);
  }

  // The reader has told of a text that is no network.
  static std::vector<core::Cidr> networks(const std::vector<core::PlacedText>& texts) {
    std::vector<core::Cidr> out;
    for (const core::PlacedText& text : texts) {
      if (const std::optional<core::Cidr> network = core::Cidr::parse(text.text)) out.push_back(*network);
    }
    return out;
  }

  void check_known_types() {
    std::vector<std::string_view> types;
    for (const ModuleInfo* module : tools_.modules) types.insert(types.end(), module->types.begin(), module->types.end());
    check_types(*site_.config_, types, problems_);
  }

  const ModuleInfo* find_module(std::string_view type) const {
    for (const ModuleInfo* module : tools_.modules) {
      if (std::find(module->types.begin(), module->types.end(), type) != module->types.end()) return module;
    }
    return nullptr;
  }

  void build_middleware(const MiddlewareConf& conf) {
    const ModuleInfo* module = find_module(conf.type.text);
    if (module == nullptr) return;  // reported by check_known_types
    BuildContext context{conf, problems_, *site_.config_, &backend_tls_};
    std::unique_ptr<Middleware> middleware = module->make(context);
    if (!middleware) return;
    if (module->path_use == PathUse::none && !conf.paths.empty()) {
      problems_.warning("unused-key", conf.paths.front().place, fmt::format("middleware \"{}\": paths have no effect on {}", conf.name.text, module->name), "it acts on the whole route; use it on a route of its own");
    }
    made_[conf.name.text] = {middleware.get(), module, &conf};
    site_.middlewares_.push_back(std::move(middleware));
  }

  void build_route(const RouteConf& conf) {
    Route& route = site_.routes_.emplace_back();
    route.conf = &conf;
    route.name = conf.name.text;
    route.path = without_trailing_slashes(conf.path.text);
    route.methods = texts(conf.methods);
    route.rewrite = without_strays(conf.rewrite);
    route.has_rewrite = !conf.rewrite.empty();
    route.forward_host = conf.security.forward_host_headers;
    route.metrics_enabled = !conf.disable_metrics;
    route.client_rule = site_.certificates_.route_rule(route.name);
    const bool secure = conf.backends.empty() ? is_https(conf.target) : std::any_of(conf.backends.begin(), conf.backends.end(), [](const BackendConf& b) { return is_https(b.endpoint); });
    route.upstream = std::make_unique<Upstream>(backends(conf, secure ? backend_tls_.of_route(conf) : nullptr));
    add_steps(route, conf.middlewares);
  }

  // Wrapping middlewares go in front wherever they are listed: they frame the chain (goma-config 7.1). The response
  // meets steps from the back, so of several wraps the one with the shortest first path must come last, and of equals
  // the one listed first (goma-config 10.25).
  void add_steps(Route& route, const std::vector<core::PlacedText>& names) {
    for (const bool wrap : {true, false}) {
      for (const core::PlacedText& name : names) {
        const auto found = made_.find(name.text);
        if (found == made_.end() || (found->second.module->stage == Stage::wrap) != wrap) continue;
        route.steps.push_back(make_step(route, found->second));
        const std::vector<OwnField> own = found->second.middleware->own_fields();
        route.own_fields.insert(route.own_fields.end(), own.begin(), own.end());
        if (wrap) ++route.wraps;
      }
      if (wrap) order_wraps(route);
    }
    if (route.steps.size() > Route::max_steps) {
      report(problems_, "too-many-middlewares", route.conf != nullptr ? route.conf->place : core::Place(),
             "route \"" + route.name + "\" has more than 64 middlewares");
    }
  }

  // A backend that some route tells who the client is hears it from no client on its other routes either.
  void share_identities() {
    std::map<std::string, std::vector<OwnField>> told;  // by host:port of the backend
    for (const Route& route : site_.routes_) {
      for (const OwnField& field : route.own_fields) {
        if (!field.identity) continue;
        for (const Backend& backend : route.upstream->backends()) told[place_of(backend)].push_back(field);
      }
    }
    for (Route& route : site_.routes_) {
      for (const Backend& backend : route.upstream->backends()) {
        const auto found = told.find(place_of(backend));
        if (found == told.end()) continue;
        for (const OwnField& field : found->second) add_own_field(route, field);
      }
    }
  }

  static std::string place_of(const Backend& backend) { return fmt::format("{}:{}", core::to_lower(backend.peer.host), backend.peer.port); }

  static void add_own_field(Route& route, const OwnField& field) {
    const bool known = std::any_of(route.own_fields.begin(), route.own_fields.end(), [&field](const OwnField& own) { return reads_alike(own.name, field.name); });
    if (!known) route.own_fields.push_back(field);
  }

  void order_wraps(Route& route) {
    const auto first_path = [this](const Step& step) {
      const std::vector<core::PlacedText>& paths = made_.find(std::string(step.name))->second.conf->paths;
      return paths.empty() ? size_t{0} : paths.front().text.size();
    };
    std::reverse(route.steps.begin(), route.steps.end());
    std::stable_sort(route.steps.begin(), route.steps.end(), [&](const Step& a, const Step& b) { return first_path(a) > first_path(b); });
  }

  Step make_step(const Route& route, const Made& made) {
    Step step{made.middleware, nullptr, made.conf->name.text, made.conf->paths.empty()};
    if (made.module->path_use != PathUse::chain || made.conf->paths.empty()) return step;
    std::unique_ptr<PathSet> paths = PathSet::compile(made.conf->paths, route.path, made.module->paths, problems_);
    if (!paths) return step;  // reported
    step.paths = paths.get();
    site_.path_sets_.push_back(std::move(paths));
    return step;
  }

  std::vector<Backend> backends(const RouteConf& conf, const std::shared_ptr<const BackendTls>& tls) {
    std::vector<Backend> out;
    if (conf.backends.empty()) {
      out.push_back(backend(conf.target, 0));
    } else {
      for (const BackendConf& b : conf.backends) out.push_back(backend(b.endpoint, b.weight));
    }
    for (Backend& b : out) {
      if (b.endpoint.starts_with("https:")) b.peer.tls = tls;
      b.peer.protocol = conf.backend_protocol == "http1" ? BackendProtocol::http1 : conf.backend_protocol == "h2c" && b.peer.tls == nullptr ? BackendProtocol::h2c : BackendProtocol::automatic;
    }
    return out;
  }

  static bool is_https(const core::PlacedText& endpoint) { return endpoint.text.starts_with("https:"); }

  // The configuration has checked that it is a URL with scheme and host.
  Backend backend(const core::PlacedText& endpoint, int weight) {
    Backend out;
    out.endpoint = core::without_credentials(endpoint.text);
    out.weight = weight;
    std::string_view rest = endpoint.text;
    const size_t scheme = rest.find("://");
    rest = rest.substr(scheme + 3);
    const size_t question = rest.find('?');
    if (question != std::string_view::npos) {
      out.base_query = without_strays(rest.substr(question + 1));
      rest = rest.substr(0, question);
    }
    const size_t slash = rest.find('/');
    out.authority = rest.substr(0, slash);
    if (slash != std::string_view::npos) out.base_path = without_strays(rest.substr(slash));
    while (!out.base_path.empty() && out.base_path.back() == '/') out.base_path.pop_back();
    const HostPort parts = split_host_port(out.authority);
    out.peer.host = parts.host;
    out.peer.port = static_cast<uint16_t>(core::parse_u64(parts.port).value_or(is_https(endpoint) ? 443 : 80));
    return out;
  }

  // The gateway's own paths (goma-config 13).
  void add_endpoints() {
    const MonitoringConf& monitoring = gateway().monitoring;
    if (monitoring.enable_readiness) add_endpoint("/readyz", make_status_endpoint(), false, {}, {});
    if (monitoring.enable_liveness) add_endpoint("/healthz", make_status_endpoint(), false, {}, {});
    if (monitoring.enable_route_health_check) {
      add_endpoint("/healthz/routes", make_route_health_endpoint(), false, monitoring.host.text, monitoring.middleware.route_health_check);
    }
    if (!monitoring.enable_metrics) return;
    add_endpoint(monitoring.metrics_path, make_metrics_endpoint(tools_.render_metrics), true, monitoring.host.text, monitoring.middleware.metrics);
  }

  void add_endpoint(const std::string& path, std::unique_ptr<Endpoint> endpoint, bool below, const std::string& host,
                    const std::vector<core::PlacedText>& middlewares) {
    Route& route = site_.routes_.emplace_back();
    route.name = path;
    route.path = without_trailing_slashes(path);
    route.listed = false;
    route.metrics_enabled = false;
    route.endpoint = std::move(endpoint);
    add_steps(route, middlewares);
    site_.router_.add_builtin(&route, route.path, below, host);
  }

  Site& site_;
  const SiteTools& tools_;
  core::Problems& problems_;
  BackendTlsMaker backend_tls_;
  std::map<std::string, Made> made_;
};

std::unique_ptr<Site> build_site(std::unique_ptr<Config> config, const SiteTools& tools, core::Problems& problems) {
  return SiteBuilder::build(std::move(config), tools, problems);
}

}  // namespace goma::http
