// SPDX-License-Identifier: Apache-2.0
//
// The rules are RFC 9110's grammar and a list of names; the rest is saying where a mistake stands.
#include "http/field_rules.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/text.h"
#include "core/yaml.h"

namespace goma::http {

namespace {

constexpr std::string_view connection_fields[] = {
    "Connection", "Content-Length", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade",
};

bool is_token_char(char c) {
  return core::is_alpha(c) || core::is_digit(c) || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

}  // namespace

bool is_field_name(std::string_view name) { return !name.empty() && std::all_of(name.begin(), name.end(), is_token_char); }

bool is_field_value(std::string_view value) {
  return std::none_of(value.begin(), value.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && c != '\t') || byte == 0x7F;
  });
}

bool is_connection_field(std::string_view name) {
  return std::any_of(std::begin(connection_fields), std::end(connection_fields),
                     [&](std::string_view other) { return core::iequals(name, other); });
}

core::Place rule_place(const BuildContext& context, std::string_view key, std::string_view entry) {
  const core::yaml::Node* node = context.conf.rule != nullptr && context.conf.rule->is_mapping() ? context.conf.rule->ifind(key) : nullptr;
  if (node == nullptr) return context.conf.place;
  if (entry.empty()) return node->place();
  for (const core::yaml::Pair& pair : node->pairs) {
    if (pair.key->text == entry) return pair.value->place();
  }
  for (const core::yaml::Node* item : node->items) {
    if (item->text == entry) return item->place();
  }
  return node->place();
}

bool check_fields(BuildContext& context, std::string_view key, const core::TextMap& fields) {
  const size_t before = context.problems.errors();
  for (const auto& [name, value] : fields) {
    const char* wrong = nullptr;
    if (!is_field_name(name)) wrong = "is not a header name";
    else if (is_connection_field(name)) wrong = "frames the message; only the gateway sets it";
    else if (!is_field_value(value)) wrong = "has a line break or another control character in its value";
    if (wrong == nullptr) continue;
    context.problems.error("bad-header", rule_place(context, key, name),
                           fmt::format("middleware \"{}\": {}: \"{}\" {}", context.conf.name.text, key, name, wrong));
  }
  return context.problems.errors() == before;
}

}  // namespace goma::http
