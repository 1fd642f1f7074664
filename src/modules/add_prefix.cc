// SPDX-License-Identifier: Apache-2.0
//
// Puts a path in front of the request's path, joined with exactly one slash whatever the spelling: "/api", "/api/"
// and "api" mean the same. Both forms of the path change together, because the exchange canonicalises what it is
// given; the query is untouched. "OPTIONS *" has no path and passes as it is.
#include <fmt/format.h>

#include "core/schema.h"
#include "http/exchange.h"
#include "http/field_rules.h"
#include "http/module.h"

namespace goma::mod {

namespace {

struct AddPrefixConf {
  std::string prefix;
};

constexpr core::Field fields[] = {
    core::field<&AddPrefixConf::prefix>("prefix", "Path put in front of the request's path.", core::required, core::example("/api")),
};

class AddPrefix final : public http::Middleware {
 public:
  explicit AddPrefix(std::string prefix) : prefix_(std::move(prefix)) {}

  http::Verdict on_request(http::Exchange& x) const override {
    const std::string_view path = x.path().encoded;
    if (prefix_.empty() || path.empty() || path.front() != '/') return http::Verdict::next();
    if (x.set_path(x.arena().join(prefix_, path))) return http::Verdict::next();
    return x.reply(400, "400 Bad Request");
  }

 private:
  std::string prefix_;  // starts with a slash, ends without one; empty: nothing to add
};

// What RFC 3986 3.3 lets stand in a path; anything else must be percent-encoded.
bool is_path_text(std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte >= 0x7F || std::string_view("?#\\\"<>^`{|}").find(c) != std::string_view::npos) return false;
  }
  return true;
}

std::string normal_prefix(std::string_view prefix) {
  while (!prefix.empty() && prefix.back() == '/') prefix.remove_suffix(1);
  while (!prefix.empty() && prefix.front() == '/') prefix.remove_prefix(1);
  return prefix.empty() ? std::string() : "/" + std::string(prefix);
}

std::unique_ptr<http::Middleware> make(http::BuildContext& context) {
  AddPrefixConf conf;
  if (!http::read_rule(context, fields, &conf)) return nullptr;
  if (!is_path_text(conf.prefix)) {
    context.problems.error("bad-value", http::rule_place(context, "prefix"),
                           fmt::format("middleware \"{}\": prefix is not a path", context.conf.name.text),
                           "other characters are written percent-encoded, for example %20");
    return nullptr;
  }
  return std::make_unique<AddPrefix>(normal_prefix(conf.prefix));
}

constexpr std::string_view types[] = {"addPrefix"};

}  // namespace

extern const http::ModuleInfo add_prefix_module;
const http::ModuleInfo add_prefix_module = {
    .name = "addPrefix",
    .types = types,
    .doc = "Puts a path in front of the path that is forwarded.",
    .fields = fields,
    .stage = http::Stage::chain,
    .path_use = http::PathUse::none,
    .make = make,
};

}  // namespace goma::mod
