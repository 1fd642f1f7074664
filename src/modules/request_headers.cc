// SPDX-License-Identifier: Apache-2.0
//
// Removes and sets header fields of the request before it is forwarded: removals first, then settings; setting ""
// removes. Names and values are checked and looked up when the site is built.
//
// Host cannot be changed here (the route's security.forwardHostHeaders decides), nor can fields that frame the
// message; X-Forwarded-* and X-Real-IP are written by the gateway afterwards and win.
#include <fmt/format.h>

#include "core/schema.h"
#include "core/text.h"
#include "http/exchange.h"
#include "http/field_rules.h"
#include "http/module.h"

namespace goma::mod {

namespace {

struct RequestHeadersConf {
  std::vector<std::string> remove;
  core::TextMap set;
};

constexpr core::Field fields[] = {
    core::field<&RequestHeadersConf::remove>("removeHeaders", "Fields taken out of the request, before setHeaders."),
    core::field<&RequestHeadersConf::set>("setHeaders", "Fields set in the request; \"\" removes the field."),
};

struct Change {
  http::HeaderId id;
  std::string name;
  std::string value;  // empty: remove
};

class RequestHeaders final : public http::Middleware {
 public:
  explicit RequestHeaders(std::vector<Change> changes) : changes_(std::move(changes)) {}

  http::Verdict on_request(http::Exchange& x) const override {
    for (const Change& change : changes_) apply(x.request().headers, change);
    return http::Verdict::next();
  }
  std::vector<http::OwnField> own_fields() const override {
    std::vector<http::OwnField> own;
    for (const Change& change : changes_) own.push_back({change.name});
    return own;
  }

 private:
  static void apply(http::Headers& headers, const Change& change) {
    if (change.id != http::HeaderId::other && !change.value.empty()) return headers.set(change.id, change.value);
    http::remove_alike(headers, change.name);  // another spelling would be the same variable to the backend
    if (!change.value.empty()) headers.add(change.id, change.name, change.value);
  }

  std::vector<Change> changes_;
};

// Goma loads such a file and changes nothing, so the entry is dropped with a warning.
bool is_host(http::BuildContext& context, std::string_view key, std::string_view name) {
  if (!core::iequals(name, "Host")) return false;
  context.problems.warning("no-effect", http::rule_place(context, key, name),
                           fmt::format("middleware \"{}\": Host cannot be changed with {}", context.conf.name.text, key),
                           "see security.forwardHostHeaders of the route");
  return true;
}

bool check_names(http::BuildContext& context, const std::vector<std::string>& names) {
  core::TextMap as_fields;
  for (const std::string& name : names) as_fields.emplace_back(name, "");
  return http::check_fields(context, "removeHeaders", as_fields);
}

std::unique_ptr<http::Middleware> make(http::BuildContext& context) {
  RequestHeadersConf conf;
  if (!http::read_rule(context, fields, &conf)) return nullptr;
  const bool names_are_good = check_names(context, conf.remove);
  if (!http::check_fields(context, "setHeaders", conf.set) || !names_are_good) return nullptr;
  std::vector<Change> changes;
  for (const std::string& name : conf.remove) {
    if (!is_host(context, "removeHeaders", name)) changes.push_back({http::header_id(name), name, ""});
  }
  for (const auto& [name, value] : conf.set) {
    if (!is_host(context, "setHeaders", name)) changes.push_back({http::header_id(name), name, value});
  }
  return std::make_unique<RequestHeaders>(std::move(changes));
}

constexpr std::string_view types[] = {"requestHeaders"};

}  // namespace

extern const http::ModuleInfo request_headers_module;
const http::ModuleInfo request_headers_module = {
    .name = "requestHeaders",
    .types = types,
    .doc = "Removes and sets header fields of the request.",
    .fields = fields,
    .stage = http::Stage::chain,
    .path_use = http::PathUse::chain,
    .make = make,
};

}  // namespace goma::mod
