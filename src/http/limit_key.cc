// SPDX-License-Identifier: Apache-2.0
//
// Finding what tells a client apart, and naming it.
#include "http/limit_key.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/text.h"
#include "core/tls_client_context.h"
#include "http/client_address.h"
#include "http/field_rules.h"

namespace goma::http {

namespace {

constexpr size_t longest_value = 128;
constexpr std::string_view source_words[] = {"ip", "header", "cookie"};

constexpr core::Field key_fields[] = {
    core::field<&KeyStrategyConf::source>("source", "What tells clients apart.", core::one_of_ignoring_case(source_words)),
    core::field<&KeyStrategyConf::name>("name", "Name of the header field or cookie; a request without it counts for its IP address.", core::example("X-API-Key")),
    core::field<&KeyStrategyConf::ipv6_prefix>("ipv6Prefix", "IPv6 addresses that agree in so many bits are one client.", core::range(1, 128), core::addition),
};

std::string_view cookie(const Headers& headers, std::string_view name) {
  for (const Header& header : headers) {
    if (header.id != HeaderId::cookie) continue;
    for (const std::string_view pair : core::split(header.value, ';')) {
      const std::string_view trimmed = core::trim(pair);
      const size_t equals = trimmed.find('=');
      if (equals != std::string_view::npos && trimmed.substr(0, equals) == name) return trimmed.substr(equals + 1);
    }
  }
  return {};
}

}  // namespace

constexpr core::Section key_strategy_section = core::section_of<KeyStrategyConf>("rateLimit.keyStrategy", "Whose requests are counted together.", key_fields);

LimitKey::LimitKey(BuildContext& context, const KeyStrategyConf& conf)
    : middleware_(context.conf.name.text),
      source_(static_cast<Source>(std::find(std::begin(source_words), std::end(source_words), conf.source) - std::begin(source_words))),
      name_(conf.name),
      ipv6_prefix_(conf.ipv6_prefix),
      ok_(source_ == Source::ip || !name_.empty()) {
  if (ok_) return;
  context.problems.error("missing-key", rule_place(context, "keyStrategy"), fmt::format("middleware \"{}\": keyStrategy.name is missing", middleware_),
                         fmt::format("source \"{}\" needs the name of the {}", conf.source, source_ == Source::cookie ? "cookie" : "header field"));
}

// What the header field or cookie says; empty: the address counts.
std::string_view LimitKey::value(Exchange& x) const {
  if (source_ == Source::cookie) return cookie(x.request().headers, name_);
  const Header* found = source_ == Source::header ? x.request().headers.find(name_) : nullptr;
  return found != nullptr ? found->value : std::string_view();
}

uint64_t LimitKey::id(Exchange& x, const HostLimits& limits) const {
  const uint64_t limiter = limits.id(x.route_name(), middleware_);
  const std::string_view said = value(x);
  if (!said.empty()) return limits.id(name_, said, limiter);
  return limits.id({}, network_of(x.client().ip, ipv6_prefix_, x.arena()), limiter);
}

std::string LimitKey::name(Exchange& x) const {
  const std::string limiter = fmt::format("{}:{}", slug(x.route_name()), slug(middleware_));
  const std::string_view said = value(x);
  if (said.empty()) return fmt::format("{}:ip:{}", limiter, network_text(x.client().ip, ipv6_prefix_));
  const std::string shown = said.size() <= longest_value ? std::string(said) : "sha256-" + core::sha256_hex(said);
  return source_ == Source::cookie ? fmt::format("{}:cookie:{}:value:{}", limiter, name_, shown) : fmt::format("{}:header:{}:value:{}", limiter, name_, shown);
}

core::Ban LimitKey::ban(Exchange& x) const {
  const std::string_view said = value(x);
  const std::string route(x.route_name()), mark = "rate:ban:" + name(x);
  if (said.empty()) return {route, middleware_, {}, std::string(network_of(x.client().ip, ipv6_prefix_, x.arena())), "ip:" + network_text(x.client().ip, ipv6_prefix_), mark};
  const std::string_view kind = source_ == Source::cookie ? "cookie" : "header";
  return {route, middleware_, name_, std::string(said), fmt::format("{}:{}:sha256-{}", kind, name_, core::sha256_hex(said).substr(0, 16)), mark};
}

std::string slug(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (core::is_alpha(c) || core::is_digit(c) || c == '_') {
      out += core::lower(c);
    } else if (!out.empty() && out.back() != '-') {
      out += '-';
    }
  }
  if (!out.empty() && out.back() == '-') out.pop_back();
  return out;
}

}  // namespace goma::http
