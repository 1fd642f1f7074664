// SPDX-License-Identifier: Apache-2.0
//
// Adds header fields, query parameters and cookies of the request to its line in the access log, when they are
// present. They are taken before the chain runs, so the log tells what the client sent and not what a middleware
// made of it. Credentials in header fields are never written, even when they are asked for.
//
// When a route lists several, the last one counts (goma-config 7.1).
#include <fmt/format.h>

#include <algorithm>

#include "core/schema.h"
#include "core/secret.h"
#include "core/text.h"
#include "http/exchange.h"
#include "http/field_rules.h"
#include "http/module.h"

namespace goma::mod {

namespace {

struct AccessLogConf {
  std::vector<std::string> headers;
  std::vector<std::string> query;
  std::vector<std::string> cookies;
};

constexpr core::Field fields[] = {
    core::field<&AccessLogConf::headers>("headers", "Request header fields to log, under their lower-case names. Credentials are shown as [REDACTED]."),
    core::field<&AccessLogConf::query>("query", "Query parameters to log."),
    core::field<&AccessLogConf::cookies>("cookies", "Cookies to log."),
};

constexpr std::string_view redacted = "[REDACTED]";
constexpr std::string_view types[] = {"accessLog"};

struct Logged {
  std::string name;  // of header fields: lower case
  bool is_secret;

  // What is written of a value that is there.
  std::string_view shown(std::string_view value) const { return is_secret ? redacted : value; }
};

// The value in "name=value" when that is its name; a view without data otherwise.
std::string_view value_of(std::string_view pair, std::string_view name) {
  const bool matches = pair.size() > name.size() && pair[name.size()] == '=' && pair.starts_with(name);
  return matches ? pair.substr(name.size() + 1) : std::string_view();
}

// The value of the first cookie of that name (RFC 6265 4.2.1); a view without data when there is none.
std::string_view find_cookie(const http::Headers& headers, std::string_view name) {
  for (const http::Header& header : headers) {
    if (header.id != http::HeaderId::cookie) continue;
    for (const std::string_view pair : core::split(header.value, ';')) {
      const std::string_view value = value_of(core::trim(pair), name);
      if (value.data() != nullptr) return value;
    }
  }
  return {};
}

// The raw value of the first parameter of that name; a view without data when it is not there.
std::string_view find_parameter(std::string_view query, std::string_view name) {
  for (const std::string_view pair : core::split(query, '&')) {
    const std::string_view value = value_of(pair, name);
    if (value.data() != nullptr) return value;
  }
  return {};
}

class AccessLogFields final : public http::Middleware {
 public:
  // overridden: routes that list another accessLog after this one.
  AccessLogFields(const AccessLogConf& conf, std::vector<const http::RouteConf*> overridden) : overridden_(std::move(overridden)) {
    for (const std::string& name : conf.headers) headers_.push_back({core::to_lower(name), core::names_secret(name)});
    for (const std::string& name : conf.query) query_.push_back({name, core::names_secret(name)});
    for (const std::string& name : conf.cookies) cookies_.push_back({name, core::names_secret(name)});
  }

  http::Verdict on_request(http::Exchange& x) const override {
    const http::RouteConf* route = x.route() != nullptr ? x.route()->conf : nullptr;
    if (std::find(overridden_.begin(), overridden_.end(), route) != overridden_.end()) return http::Verdict::next();
    for (const Logged& header : headers_) {
      const http::Header* found = x.request().headers.find(std::string_view(header.name));
      if (found != nullptr) x.add_log_field(header.name, header.shown(found->value));
    }
    for (const Logged& parameter : query_) add(x, parameter, find_parameter(x.query(), parameter.name));
    for (const Logged& cookie : cookies_) add(x, cookie, find_cookie(x.request().headers, cookie.name));
    return http::Verdict::next();
  }

 private:
  static void add(http::Exchange& x, const Logged& logged, std::string_view value) {
    if (value.data() != nullptr) x.add_log_field(logged.name, logged.shown(value));
  }

  std::vector<Logged> headers_, query_, cookies_;
  std::vector<const http::RouteConf*> overridden_;
};

// The routes whose list names another accessLog behind this one.
std::vector<const http::RouteConf*> routes_that_override(const http::BuildContext& context) {
  std::vector<const http::RouteConf*> routes;
  for (const http::RouteConf& route : context.config.gateway.routes) {
    const http::MiddlewareConf* last = nullptr;
    bool lists_this = false;
    for (const core::PlacedText& name : route.middlewares) {
      const http::MiddlewareConf* listed = context.config.find_middleware(name.text);
      if (listed == nullptr || listed->type.text != types[0]) continue;
      last = listed;
      lists_this |= listed->name.text == context.conf.name.text;
    }
    if (lists_this && last->name.text != context.conf.name.text) routes.push_back(&route);
  }
  return routes;
}

std::unique_ptr<http::Middleware> make(http::BuildContext& context) {
  AccessLogConf conf;
  if (!http::read_rule(context, fields, &conf)) return nullptr;
  if (conf.headers.empty() && conf.query.empty() && conf.cookies.empty()) {
    context.problems.error("missing-key", context.conf.place,
                           fmt::format("middleware \"{}\": accessLog needs at least one name in headers, query or cookies", context.conf.name.text));
    return nullptr;
  }
  return std::make_unique<AccessLogFields>(conf, routes_that_override(context));
}

}  // namespace

extern const http::ModuleInfo access_log_module;
const http::ModuleInfo access_log_module = {
    .name = "accessLog",
    .types = types,
    .doc = "Adds fields of the request to its line in the access log.",
    .fields = fields,
    .stage = http::Stage::wrap,
    .path_use = http::PathUse::none,
    .make = make,
};

}  // namespace goma::mod
