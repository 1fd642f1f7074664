// SPDX-License-Identifier: Apache-2.0
//
// One line per value: the path of its key, and the value as its kind stores it.
#include "core/meaning.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "core/kind.h"
#include "core/text.h"

namespace goma::core {

namespace {

std::string value_text(const Field& field, const Value& value) {
  switch (field.kind) {
    case Kind::boolean: return value.number != 0 ? "true" : "false";
    case Kind::integer:
    case Kind::seconds:
    case Kind::duration:
    case Kind::size: return fmt::format("{}", value.number);
    case Kind::number: return fmt::format("{}", value.fraction);
    default: return json_quote(value.text);
  }
}

class Meaning {
 public:
  void section(const Section& section, const void* conf, const std::string& path);
  void mapping(std::span<const Field> fields, const yaml::Node* mapping, const std::string& path);
  std::string take() { return std::move(out_); }

 private:
  void stored(const Field& field, const void* member, const std::string& path);
  void written(const Field& field, const yaml::Node& node, bool inverted, const std::string& path);
  void subtree(const yaml::Node& node, const std::string& path);
  void entries(std::vector<std::string> entries, const std::string& path);
  void line(const std::string& path, std::string_view text) { out_ += fmt::format("{}={}\n", path, text); }

  std::string out_;
};

// Those of a map: their order says nothing.
void Meaning::entries(std::vector<std::string> entries, const std::string& path) {
  std::sort(entries.begin(), entries.end());
  for (const std::string& entry : entries) line(path, entry);
}

void Meaning::subtree(const yaml::Node& node, const std::string& path) {
  if (node.is_scalar()) return line(path, node.is_null() ? "null" : json_quote(node.text));
  std::vector<const yaml::Pair*> pairs;
  for (const yaml::Pair& pair : node.pairs) pairs.push_back(&pair);
  std::sort(pairs.begin(), pairs.end(), [](const yaml::Pair* a, const yaml::Pair* b) { return a->key->text < b->key->text; });
  for (const yaml::Pair* pair : pairs) subtree(*pair->value, fmt::format("{}.{}", path, json_quote(pair->key->text)));
  for (size_t i = 0; i < node.items.size(); ++i) subtree(*node.items[i], fmt::format("{}[{}]", path, i));
}

void Meaning::stored(const Field& field, const void* member, const std::string& path) {
  if (field.kind == Kind::section) {
    for (size_t i = 0; i < field.count(member); ++i) section(*field.section, field.item(member, i), fmt::format("{}[{}]", path, i));
    return;
  }
  std::vector<std::string> pairs;
  for (size_t i = 0; i < field.count(member); ++i) {
    const Value value = field.get(member, i);
    if (field.kind == Kind::raw && value.node != nullptr) subtree(*value.node, path);
    else if (field.shape == Shape::map) pairs.push_back(fmt::format("{}: {}", json_quote(value.key), value_text(field, value)));
    else if (field.kind != Kind::raw) line(path, value_text(field, value));
  }
  entries(std::move(pairs), path);
}

void Meaning::section(const Section& section, const void* conf, const std::string& path) {
  for (const Field& field : section.fields) {
    if (field.kind == Kind::reserved || !field.replaced_by.empty()) continue;
    stored(field, field.member(const_cast<void*>(conf)), fmt::format("{}.{}", path, field.name));
  }
}

// A value as the reader would store it.
void Meaning::written(const Field& field, const yaml::Node& node, bool inverted, const std::string& path) {
  if (field.kind == Kind::raw) return subtree(node, path);
  if (field.kind == Kind::section) {
    if (field.shape == Shape::single) return mapping(field.section->fields, &node, path + "[0]");
    for (size_t i = 0; i < node.items.size(); ++i) mapping(field.section->fields, node.items[i], fmt::format("{}[{}]", path, i));
    return;
  }
  const auto text_of = [&](const yaml::Node& scalar) {
    Value value;
    static_cast<void>(judge(field, scalar, value));
    if (field.shape == Shape::map && scalar.is_null()) value.text = {};
    if (inverted) value.number = value.number == 0 ? 1 : 0;
    return value_text(field, value);
  };
  std::vector<std::string> pairs;
  for (const yaml::Pair& pair : node.pairs) pairs.push_back(fmt::format("{}: {}", json_quote(pair.key->text), text_of(*pair.value)));
  entries(std::move(pairs), path);
  for (const yaml::Node* item : node.items) {
    if (!item->is_null()) line(path, text_of(*item));
  }
  if (node.is_scalar()) line(path, text_of(node));
}

const yaml::Pair* pair_of(const yaml::Node* mapping, const Field& field, bool& old) {
  old = false;
  if (mapping == nullptr) return nullptr;
  const auto named = [&](const yaml::Pair& pair, std::string_view name) { return !name.empty() && iequals(pair.key->text, name); };
  for (const yaml::Pair& pair : mapping->pairs) {
    if (named(pair, field.name) || std::any_of(field.aliases.begin(), field.aliases.end(), [&](std::string_view alias) { return named(pair, alias); })) return &pair;
  }
  old = true;
  for (const yaml::Pair& pair : mapping->pairs) {
    if (named(pair, field.old_name)) return &pair;
  }
  return nullptr;
}

void Meaning::mapping(std::span<const Field> fields, const yaml::Node* mapping, const std::string& path) {
  for (const Field& field : fields) {
    if (field.kind == Kind::reserved) continue;
    bool old = false;
    const yaml::Pair* pair = pair_of(mapping, field, old);
    const std::string inner = fmt::format("{}.{}", path, field.name);
    if (pair != nullptr && !pair->value->is_null()) written(field, *pair->value, old && field.is_inverted, inner);
    else if (field.kind == Kind::section && field.shape == Shape::single) this->mapping(field.section->fields, nullptr, inner + "[0]");
    else if (field.defaults != nullptr && field.replaced_by.empty()) stored(field, field.member(const_cast<void*>(field.defaults())), inner);
  }
}

}  // namespace

std::string meaning_of(const Section& section, const void* conf) {
  Meaning meaning;
  meaning.section(section, conf, {});
  return meaning.take();
}

std::string meaning_of(std::span<const Field> fields, const yaml::Node* mapping) {
  Meaning meaning;
  meaning.mapping(fields, mapping, {});
  return meaning.take();
}

}  // namespace goma::core
