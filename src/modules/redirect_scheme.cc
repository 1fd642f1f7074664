// SPDX-License-Identifier: Apache-2.0
//
// Sends a client to the same address under another scheme, normally from http to https. Passes when the scheme is
// already right and for ACME challenges, which must be answered on plain HTTP: paths that are one however they are read.
//
// The address is rebuilt from the canonical path, never from raw bytes, and only with a host the route serves.
#include <fmt/format.h>

#include "core/schema.h"
#include "http/authority.h"
#include "http/exchange.h"
#include "http/field_rules.h"
#include "http/module.h"
#include "http/public_url.h"

namespace goma::mod {

namespace {

struct RedirectSchemeConf {
  std::string scheme;
  int port = 0;
  bool permanent = false;
};

constexpr std::string_view schemes[] = {"http", "https"};

constexpr core::Field fields[] = {
    core::field<&RedirectSchemeConf::scheme>("scheme", "Scheme that clients are sent to.", core::required,
                                             core::one_of_ignoring_case(schemes)),
    core::field<&RedirectSchemeConf::port>("port", "Port in the new address; 0 keeps the request's, unless that is 80 or 443.",
                                           core::range(0, 65535)),
    core::field<&RedirectSchemeConf::permanent>("permanent", "301 instead of 302."),
};

class RedirectScheme final : public http::Middleware {
 public:
  explicit RedirectScheme(RedirectSchemeConf conf) : scheme_(std::move(conf.scheme)), keeps_port_(conf.port == 0), permanent_(conf.permanent) {
    const int default_port = scheme_ == "https" ? 443 : 80;
    if (conf.port != 0 && conf.port != default_port) port_ = fmt::format(":{}", conf.port);
  }

  http::Verdict on_request(http::Exchange& x) const override {
    if (x.client().scheme == scheme_ || x.path().all(is_challenge)) return http::Verdict::next();
    std::string_view host = http::public_host(x);
    if (host.empty()) return x.reply(400, "400 Bad Request");  // HTTP/1.0 without Host: there is no address to send to
    host = keeps_port_ ? http::without_default_port(host) : x.arena().join(http::split_host_port(host).host, port_);
    return x.redirect(permanent_ ? 301 : 302, http::public_url(x, scheme_, host));
  }

 private:
  static bool is_challenge(std::string_view path) { return path.starts_with("/.well-known/acme-challenge/"); }

  std::string scheme_;
  std::string port_;  // ":8443", or nothing for the scheme's own
  bool keeps_port_;
  bool permanent_;
};

std::unique_ptr<http::Middleware> make(http::BuildContext& context) {
  RedirectSchemeConf conf;
  if (!http::read_rule(context, fields, &conf)) return nullptr;
  return std::make_unique<RedirectScheme>(std::move(conf));
}

constexpr std::string_view types[] = {"redirectScheme"};

}  // namespace

extern const http::ModuleInfo redirect_scheme_module;
const http::ModuleInfo redirect_scheme_module = {
    .name = "redirectScheme",
    .types = types,
    .doc = "Redirects to the same address under another scheme.",
    .fields = fields,
    .stage = http::Stage::chain,
    .path_use = http::PathUse::none,
    .make = make,
};

}  // namespace goma::mod
