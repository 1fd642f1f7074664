// SPDX-License-Identifier: Apache-2.0
//
// The rules of goma-config's assembly: names, references, targets. A mistake that would leave a route without its
// protection is an error, never a warning.
#include "http/config_check.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/text.h"
#include "http/config_refusals.h"
#include "http/pass_through_rule.h"

namespace goma::http {

using core::Place;
using core::PlacedText;
using core::Problem;
using core::Problems;

namespace {

constexpr size_t longest_listing = 8;

struct Checker {
  const Config& config;
  Problems& problems;
  std::vector<std::string_view> middleware_names;

  void names();
  void route(const RouteConf& route);
  void path(const RouteConf& route);
  void target(const std::string& where, const PlacedText& url);
  void no_target(const RouteConf& route);
  void methods(const RouteConf& route);
  void reference(const std::string& who, const PlacedText& name);
  void references();
  void proxy();
  void resolvers();
};

void duplicate(const char* what, const PlacedText& second, const PlacedText& first, Problems& problems) {
  Problem problem;
  problem.code = "duplicate-name";
  problem.place = second.place;
  problem.message = fmt::format("two {} are named \"{}\"", what, second.text);
  problem.hint = "second one here";
  problem.second = first.place;
  problem.second_label = "first one here";
  problems.add(std::move(problem));
}

// Unique and not empty; `items` have a name and a place.
template <class Items>
void check_names(const Items& items, const char* one, const char* many, Problems& problems) {
  std::map<std::string_view, const PlacedText*> first;
  for (const auto& item : items) {
    if (core::trim(item.name.text).empty()) {
      if (item.name.place.known()) problems.error("empty-name", item.name.place, fmt::format("a {} needs a name that is not empty", one));
      continue;
    }
    const auto [entry, added] = first.try_emplace(item.name.text, &item.name);
    if (!added) duplicate(many, item.name, *entry->second, problems);
  }
}

void Checker::names() {
  check_names(config.gateway.routes, "route", "routes", problems);
  check_names(config.middlewares, "middleware", "middlewares", problems);
  for (const MiddlewareConf& middleware : config.middlewares) {
    middleware_names.push_back(middleware.name.text);
    const bool spaced = std::any_of(middleware.name.text.begin(), middleware.name.text.end(), core::is_space);
    if (spaced) problems.warning("name-space", middleware.name.place, fmt::format("the middleware name \"{}\" contains a space", middleware.name.text), "names without spaces are easier to refer to");
  }
}

std::string named(const RouteConf& route) { return fmt::format("route \"{}\"", route.name.text); }

void Checker::path(const RouteConf& route) {
  const std::string& text = route.path.text;
  size_t at = 0;
  for (std::string_view segment : core::split(text, '/')) {
    at += segment.size() + 1;
    if (segment.empty() || segment.front() != '{') continue;
    const bool last = core::trim(std::string_view(text).substr(std::min(at, text.size()))).find_first_not_of('/') == std::string_view::npos;
    const bool rest = segment.size() > 5 && segment.substr(segment.size() - 4) == "...}";
    const std::string_view name = segment.substr(1, segment.size() - (rest ? 5 : 2));
    const bool plain = segment.back() == '}' && !name.empty() && std::all_of(name.begin(), name.end(), [](char c) { return core::is_alpha(c) || core::is_digit(c) || c == '_'; });
    if (!plain) {
      problems.error("bad-path", route.path.place, fmt::format("{}: \"{}\" is no path parameter", named(route), segment), "a parameter is {name}, without a pattern");
    } else if (rest && !last) {
      problems.error("bad-path", route.path.place, fmt::format("{}: \"{}\" must be the last part of the path", named(route), segment));
    }
  }
}

// Schemes of other programs, and what says the same here.
struct OtherScheme {
  std::string_view scheme, instead, more;
};
constexpr OtherScheme other_schemes[] = {
    {"h2c", "http", " and backendProtocol: h2c"}, {"grpc", "http", " and backendProtocol: h2c"}, {"http2", "http", " and backendProtocol: h2c"}, {"h2", "https", ""},
    {"grpcs", "https", ""}, {"ws", "http", ""}, {"wss", "https", ""}, {"tls", "https", ""}, {"ssl", "https", ""},
};

std::string advice_for(const core::UrlParts& parts) {
  const std::string port = parts.port.empty() ? std::string() : fmt::format(":{}", parts.port);
  const bool bracketed = parts.host.find(':') != std::string_view::npos;
  const std::string rest = fmt::format("{}{}{}{}{}", bracketed ? "[" : "", parts.host, bracketed ? "]" : "", port, parts.path);
  for (const OtherScheme& other : other_schemes) {
    if (core::iequals(other.scheme, parts.scheme)) return fmt::format("write {}://{}{}", other.instead, rest, other.more);
  }
  if (core::iequals(parts.scheme, "tcp") || core::iequals(parts.scheme, "udp")) return "ports are forwarded by gateway.entryPoints.passThrough.forwards";
  constexpr std::string_view known[] = {"http", "https"};
  const std::string_view near = core::suggest(parts.scheme, known);
  return near.empty() ? std::string("goma speaks HTTP with backends") : fmt::format("did you mean \"{}\"?", near);
}

void Checker::target(const std::string& where, const PlacedText& url) {
  const auto parts = core::split_url(url.text);
  if (!parts) return;  // told by the reader
  if (parts->scheme != "http" && parts->scheme != "https") {
    problems.error("bad-url", url.place, fmt::format("{} wants a URL with the scheme http or https, got \"{}\"", where, parts->scheme), advice_for(*parts));
  }
  if (parts->path.find('#') != std::string_view::npos) problems.error("bad-url", url.place, fmt::format("{} cannot have a fragment", where));
  if (!parts->user.empty()) problems.error("bad-url", url.place, fmt::format("{} cannot carry a user name or a password", where), "send credentials with a requestHeaders middleware");
}

void Checker::methods(const RouteConf& route) {
  for (const PlacedText& method : route.methods) {
    const bool token = !method.text.empty() && std::all_of(method.text.begin(), method.text.end(), [](char c) { return core::is_alpha(c) || core::is_digit(c) || c == '-' || c == '_'; });
    std::string capital = method.text;
    for (char& c : capital) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - ('a' - 'A')) : c;
    if (!token) {
      problems.error("bad-value", method.place, fmt::format("{}: \"{}\" is no method", named(route), method.text), "for example GET");
    } else if (capital != method.text) {
      problems.warning("method-case", method.place, fmt::format("{}: methods are case-sensitive, and no client sends \"{}\"", named(route), method.text), fmt::format("did you mean \"{}\"?", capital));
    }
  }
}

void Checker::route(const RouteConf& route) {
  path(route);
  methods(route);
  if (!route.target.text.empty()) target(named(route) + ": target", route.target);
  for (size_t i = 0; i < route.backends.size(); ++i) target(fmt::format("{}: backends[{}].endpoint", named(route), i), route.backends[i].endpoint);
  if (!route.target.text.empty() && !route.backends.empty()) {
    problems.warning("unused-key", route.target.place, fmt::format("{} has backends, so its target is not used", named(route)), "remove one of them");
  }
  if (route.target.text.empty() && route.backends.empty()) no_target(route);
}

// Nothing to forward to. A target that was there, but wrong or misspelt, was told already.
void Checker::no_target(const RouteConf& route) {
  constexpr std::string_view names[] = {"target", "backends", "destination"};
  for (const core::yaml::Pair& pair : route.node->pairs) {
    if (core::suggest(pair.key->text, names).empty()) continue;
    const bool empty = pair.value->is_null() || (pair.value->is_scalar() && pair.value->text.empty());
    if (empty) problems.error("missing-target", pair.value->place(), fmt::format("{}: the target is empty", named(route)), "for example http://127.0.0.1:9000");
    if (!pair.value->is_sequence() || !pair.value->items.empty()) return;
  }
  problems.error("missing-target", route.name.place.known() ? route.name.place : route.place, fmt::format("{} has neither a target nor backends", named(route)), "for example target: http://127.0.0.1:9000");
}

void Checker::reference(const std::string& who, const PlacedText& name) {
  if (config.find_middleware(name.text) != nullptr) return;
  Problem problem;
  problem.code = "unknown-middleware";
  problem.place = name.place;
  problem.message = fmt::format("{} uses the middleware \"{}\", which is not defined", who, name.text);
  const std::string_view near = core::suggest(name.text, middleware_names);
  if (!near.empty()) {
    problem.hint = fmt::format("did you mean \"{}\"?", near);
    problem.suggestion = near;
    problem.second = config.find_middleware(near)->name.place;
    problem.second_label = "defined here";
  } else if (middleware_names.empty()) {
    problem.notes.push_back("no middleware is defined in this configuration");
  } else if (middleware_names.size() <= longest_listing) {
    problem.notes.push_back(fmt::format("defined are: {}", fmt::join(middleware_names, ", ")));
  }
  problems.add(std::move(problem));
}

void Checker::references() {
  for (const PlacedText& name : config.gateway.defaults.middlewares) reference("gateway.defaults", name);
  for (const PlacedText& name : config.gateway.monitoring.middleware.metrics) reference("gateway.monitoring.middleware.metrics", name);
  for (const PlacedText& name : config.gateway.monitoring.middleware.route_health_check) reference("gateway.monitoring.middleware.routeHealthCheck", name);
  for (const RouteConf& route : config.gateway.routes) {
    for (const PlacedText& name : route.middlewares) reference(named(route), name);
  }
}

void Checker::proxy() {
  const ProxyConf& proxy = config.gateway.proxy;
  if (!proxy.enabled || !proxy.trusted_proxies.empty()) return;
  const core::yaml::Node* node = config.gateway.node == nullptr ? nullptr : config.gateway.node->find("proxy");
  const core::yaml::Node* list = node == nullptr ? nullptr : node->find("trustedProxies");
  if (list != nullptr && !list->items.empty()) return;  // what is wrong with them was told
  if (node != nullptr) node = node->find("enabled");
  problems.warning("no-trusted-proxies", node == nullptr ? Place{} : node->place(), "gateway.proxy is enabled without trustedProxies, so no header about the client is believed", "list the proxies in front of goma");
}

// ip or ip:port, with brackets around an IPv6 address that has a port.
bool is_resolver(std::string_view text) {
  unsigned char raw[16];
  const std::string whole(text);
  if (inet_pton(AF_INET, whole.c_str(), raw) == 1 || inet_pton(AF_INET6, whole.c_str(), raw) == 1) return true;
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return false;
  const auto port = core::parse_u64(text.substr(colon + 1));
  std::string host(text.substr(0, colon));
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  const bool ip = inet_pton(AF_INET, host.c_str(), raw) == 1 || inet_pton(AF_INET6, host.c_str(), raw) == 1;
  return ip && port && *port >= 1 && *port <= 65535;
}

void Checker::resolvers() {
  for (const PlacedText& resolver : config.gateway.networking.dns_cache.resolver) {
    if (is_resolver(resolver.text)) continue;
    problems.error("bad-address", resolver.place, fmt::format("gateway.networking.dnsCache.resolver wants IP or IP:port, got the text \"{}\"", resolver.text), "for example 10.0.0.2:53");
  }
}

}  // namespace

void check_config(const Config& config, Problems& problems) {
  Checker checker{config, problems, {}};
  checker.names();
  for (const RouteConf& route : config.gateway.routes) checker.route(route);
  checker.references();
  checker.proxy();
  checker.resolvers();
  check_pass_through(config, problems);
  if (config.gateway.routes.empty() && !problems.has_errors()) {
    problems.warning("no-routes", Place{config.path, 0, 0, 0}, "there is no route, so every request is answered with 404");
  }
}

void tell_unread_directory(const std::string& key, const PlacedText& directory, const core::Error& error, const core::Source& source, Problems& problems) {
  const bool missing = error.code == core::Code::not_found;
  const std::string why = missing && error.system != 0 ? "no such directory" : core::why_unreadable(error);
  const std::string message = fmt::format("{} cannot be read: {}", key, why);
  if (source.served(directory.text)) {
    problems.error("directory-unreadable", directory.place, message, "what serves was read from it; if it is to go: gomactl reload --force");
  } else if (missing) {
    problems.warning("directory-missing", directory.place, message, "it is ignored");
  } else {
    problems.error("directory-unreadable", directory.place, message);
  }
}

namespace {

// Every type that Goma Gateway has.
constexpr std::string_view goma_types[] = {
    "access", "basic", "basicAuth", "ldap", "ldapAuth", "jwt", "jwtAuth", "oauth", "oauth2", "oidc", "forwardAuth", "accessPolicy",
    "geoBlock", "rateLimit", "ratelimit", "httpCache", "bodyLimit", "addPrefix", "rewriteRegex", "stripQuery", "redirect",
    "redirectScheme", "redirectRegex", "userAgentBlock", "requestHeaders", "responseHeaders", "errorInterceptor", "accessLog",
};

// Names that people try, and what to write.
struct Nickname {
  std::string_view tried, advice;
};
constexpr Nickname nicknames[] = {
    {"stripPrefix", "write rewrite: / in the route"}, {"replacePath", "write rewrite in the route"}, {"headers", "did you mean \"requestHeaders\" or \"responseHeaders\"?"},
    {"basic_auth", "goma has forwardAuth for logins"}, {"rate-limit", "did you mean \"rateLimit\"?"}, {"cache", "did you mean \"httpCache\"?"},
    {"compress", "goma does not compress: let the backend do it"},
};

// A hint that is refused next leads astray, so only what is implemented is suggested.
std::string type_advice(std::string_view type, std::span<const std::string_view> implemented) {
  for (const Nickname& nickname : nicknames) {
    if (nickname.tried == type) return std::string(nickname.advice);
  }
  const std::string_view near = core::suggest(type, implemented);
  if (!near.empty()) return fmt::format("did you mean \"{}\"?", near);
  if (std::string advice = refusal_of(type, {}); !advice.empty()) return advice;
  const std::string_view known = core::suggest(type, goma_types);
  return known.empty() ? fmt::format("there are {}", fmt::join(implemented, ", ")) : fmt::format("\"{}\" is not implemented yet", known);
}

}  // namespace

void check_types(const Config& config, std::span<const std::string_view> implemented, Problems& problems) {
  for (const MiddlewareConf& middleware : config.middlewares) {
    const std::string& type = middleware.type.text;
    if (type.empty() && !middleware.type.place.known()) continue;  // absent, and told
    if (std::find(implemented.begin(), implemented.end(), type) != implemented.end()) continue;
    if (std::find(std::begin(goma_types), std::end(goma_types), type) != std::end(goma_types)) {
      const std::string advice = refusal_of(type, {});
      problems.error("not-implemented", middleware.type.place, fmt::format("middleware \"{}\": this version of goma does not implement the type \"{}\" yet", middleware.name.text, type),
                     advice.empty() ? "remove it, or keep Goma Gateway for this" : advice);
      continue;
    }
    problems.error("unknown-type", middleware.type.place, fmt::format("middleware \"{}\" has the unknown type \"{}\"", middleware.name.text, type), type_advice(type, implemented));
  }
}

}  // namespace goma::http
