// SPDX-License-Identifier: Apache-2.0
//
// Sets and removes header fields of the response, whatever its status and whoever made it: backend, gateway or
// another middleware. A value may name {route.name}, {route.path}, {route.target} and {gateway.version}; it is cut
// into pieces when the site is built, and only a value with a placeholder is put together per response.
//
// It is not a step of the chain but part of the frame around it: several may stack, a later one overrides.
// Of Goma's policy this is the headers part; cors, setCookies and cacheControl are reserved.
#include <fmt/format.h>

#include <array>

#include "core/schema.h"
#include "http/exchange.h"
#include "http/field_rules.h"
#include "http/module.h"

namespace goma::mod {

namespace {

struct ResponseHeadersConf {
  core::TextMap set;
};

constexpr std::string_view by_enabled[] = {"enabled"};

constexpr core::Field fields[] = {
    core::field<&ResponseHeadersConf::set>("setHeaders",
                                           "Fields set in every response; \"\" removes the field. Values may hold {route.name}, "
                                           "{route.path}, {route.target} and {gateway.version}."),
    core::reserved("cors", "Cross-origin policy.", core::turned_on_by(by_enabled)),
    core::reserved("setCookies", "Cookies set in the response."),
    core::reserved("cacheControl", "Value of Cache-Control."),
    core::reserved("cacheStatuses", "Statuses that cacheControl applies to."),
};

enum class Placeholder : unsigned char { none, route_name, route_path, route_target, gateway_version };
constexpr std::string_view placeholders[] = {"", "{route.name}", "{route.path}", "{route.target}", "{gateway.version}"};

struct Piece {
  Placeholder what = Placeholder::none;
  std::string text;  // literal, or the placeholder as written: it stays when its value is empty
};

// The first placeholder at or after `from`; npos when there is none.
size_t find_placeholder(std::string_view value, size_t from, Placeholder& what) {
  size_t first = std::string_view::npos;
  for (size_t i = 1; i < std::size(placeholders); ++i) {
    const size_t at = value.find(placeholders[i], from);
    if (at >= first) continue;
    first = at;
    what = static_cast<Placeholder>(i);
  }
  return first;
}

std::vector<Piece> cut(std::string_view value) {
  std::vector<Piece> pieces;
  size_t from = 0;
  Placeholder what = Placeholder::none;
  for (size_t at; (at = find_placeholder(value, from, what)) != std::string_view::npos;) {
    const std::string_view written = placeholders[static_cast<size_t>(what)];
    if (at > from) pieces.push_back({Placeholder::none, std::string(value.substr(from, at - from))});
    pieces.push_back({what, std::string(written)});
    from = at + written.size();
  }
  if (from < value.size()) pieces.push_back({Placeholder::none, std::string(value.substr(from))});
  return pieces;
}

std::string_view value_of(Placeholder what, const http::Route* route) {
  if (what == Placeholder::gateway_version) return GOMA_VERSION;
  if (route == nullptr) return {};
  if (what == Placeholder::route_name) return route->name;
  if (what == Placeholder::route_path) return route->conf != nullptr ? std::string_view(route->conf->path.text) : route->path;
  return route->conf != nullptr ? std::string_view(route->conf->target.text) : std::string_view();
}

std::string_view put_together(http::Exchange& x, const std::vector<Piece>& pieces) {
  std::string_view value;
  for (const Piece& piece : pieces) {
    const std::string_view known = piece.what == Placeholder::none ? std::string_view() : value_of(piece.what, x.route());
    value = x.arena().join(value, known.empty() ? std::string_view(piece.text) : known);
  }
  return value;
}

struct Change {
  http::HeaderId id;
  std::string name;
  std::vector<Piece> pieces;  // none: remove
};

class ResponseHeaders final : public http::Middleware {
 public:
  explicit ResponseHeaders(std::vector<Change> changes) : changes_(std::move(changes)) {}

  http::Verdict on_response(http::Exchange& x) const override {
    for (const Change& change : changes_) apply(x, change);
    return http::Verdict::next();
  }

 private:
  static void apply(http::Exchange& x, const Change& change) {
    http::Headers& headers = x.response().headers;
    const bool known = change.id != http::HeaderId::other;
    if (change.pieces.empty()) {
      known ? headers.remove(change.id) : headers.remove(std::string_view(change.name));
      return;
    }
    const bool is_fixed = change.pieces.size() == 1 && change.pieces[0].what == Placeholder::none;
    const std::string_view value = is_fixed ? std::string_view(change.pieces[0].text) : put_together(x, change.pieces);
    if (known) headers.set(change.id, value);
    else headers.set(std::string_view(change.name), value);
  }

  std::vector<Change> changes_;
};

std::unique_ptr<http::Middleware> make(http::BuildContext& context) {
  ResponseHeadersConf conf;
  if (!http::read_rule(context, fields, &conf) || !http::check_fields(context, "setHeaders", conf.set)) return nullptr;
  if (conf.set.empty()) {
    context.problems.error("missing-key", http::rule_place(context, "setHeaders"),
                           fmt::format("middleware \"{}\": responseHeaders needs at least one entry in setHeaders", context.conf.name.text));
    return nullptr;
  }
  std::vector<Change> changes;
  for (const auto& [name, value] : conf.set) changes.push_back({http::header_id(name), name, cut(value)});
  return std::make_unique<ResponseHeaders>(std::move(changes));
}

constexpr std::string_view types[] = {"responseHeaders"};

}  // namespace

extern const http::ModuleInfo response_headers_module;
const http::ModuleInfo response_headers_module = {
    .name = "responseHeaders",
    .types = types,
    .doc = "Sets and removes header fields of the response.",
    .fields = fields,
    .stage = http::Stage::wrap,
    .path_use = http::PathUse::chain,
    .paths = {.base = http::PathSet::Base::alone},
    .make = make,
};

}  // namespace goma::mod
