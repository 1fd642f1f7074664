// SPDX-License-Identifier: Apache-2.0
//
// The walker: a mapping and a table in, a filled struct and complaints out. It is one function over plain arrays;
// no template knows a section, so a hundred tables cost the code of one.
#include "core/schema.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/kind.h"
#include "core/secret.h"
#include "core/text.h"
#include "core/variable.h"

namespace goma::core {

std::string join_where(std::string_view where, std::string_view key) {
  if (where.empty()) return std::string(key);
  return fmt::format("{}{}{}", where, where.back() == '"' ? ": " : ".", key);
}

const yaml::Pair* find_pair(const yaml::Node* mapping, const Field& field) {
  if (mapping == nullptr) return nullptr;
  for (const yaml::Pair& pair : mapping->pairs) {
    if (pair.key->text == field.name || std::find(field.aliases.begin(), field.aliases.end(), pair.key->text) != field.aliases.end()) return &pair;
  }
  return nullptr;
}

bool says_nothing(const yaml::Node& value) {
  if (value.is_scalar()) {
    constexpr std::string_view nothing[] = {"", "false", "no", "off", "0"};
    return value.is_null() || std::any_of(std::begin(nothing), std::end(nothing), [&value](std::string_view word) { return iequals(word, value.text); });
  }
  const yaml::Node* enabled = value.ifind("enabled");
  if (enabled != nullptr && says_nothing(*enabled)) return true;
  return std::all_of(value.items.begin(), value.items.end(), [](const yaml::Node* item) { return says_nothing(*item); }) &&
         std::all_of(value.pairs.begin(), value.pairs.end(), [](const yaml::Pair& pair) { return says_nothing(*pair.value); });
}

namespace {

// Whether a section has one of the keys with a value that says something, anywhere in it that is not switched off.
bool is_turned_on(const yaml::Node& value, std::span<const std::string_view> keys) {
  if (says_nothing(value)) return false;
  if (value.is_scalar()) return true;
  const auto turns_on = [keys](const yaml::Pair& pair) {
    const bool named = std::find(keys.begin(), keys.end(), pair.key->text) != keys.end();
    return named ? !says_nothing(*pair.value) : !pair.value->is_scalar() && is_turned_on(*pair.value, keys);
  };
  return std::any_of(value.pairs.begin(), value.pairs.end(), turns_on) ||
         std::any_of(value.items.begin(), value.items.end(), [keys](const yaml::Node* item) { return !item->is_scalar() && is_turned_on(*item, keys); });
}

// Reading one mapping.
class Walk {
 public:
  Walk(const yaml::Node& node, std::span<const Field> fields, void* into, ReadContext& context)
      : node_(node), fields_(fields), into_(into), context_(context), chosen_(fields.size(), nullptr) {}

  bool run();

 private:
  bool same(std::string_view a, std::string_view b) const { return context_.ignore_case ? iequals(a, b) : a == b; }
  bool names(const Field& field, std::string_view key) const;
  void place_key(const yaml::Pair& pair);
  void twice(const yaml::Pair& first, const yaml::Pair& second);
  void unknown(const yaml::Pair& pair);
  bool refuse(const yaml::Pair& pair);
  void missing(const Field& field);
  void read_field(const Field& field, const yaml::Node& value, bool inverted);
  void read_scalar(const Field& field, const yaml::Node& value, const std::string& where, bool inverted);
  void read_list(const Field& field, const yaml::Node& list);
  void read_map(const Field& field, const yaml::Node& map);
  void read_section(const Field& field, const yaml::Node& value, std::string where);
  void read_sections(const Field& field, const yaml::Node& list);
  void read_short(const Field& field, const yaml::Node& item, std::string where);
  void refuse_reserved(const Field& field, const yaml::Pair& pair);
  void warn_old(const Field& field, const yaml::Node& key, const yaml::Node& value);
  void warn_word(const Field& field, const yaml::Node& value, const std::string& where);
  void error(std::string code, const yaml::Node& at, std::string message, std::string hint = {});
  void complain(const yaml::Node& at, const std::string& where, Complaint complaint);
  void* member(const Field& field) const { return field.member(into_); }
  std::string in_where() const { return context_.where.empty() ? "at the top level" : "in " + context_.where; }

  const yaml::Node& node_;
  std::span<const Field> fields_;
  void* into_;
  ReadContext& context_;
  std::vector<const yaml::Pair*> chosen_;  // per field: the pair that gives its value
  std::vector<std::string_view> meant_;    // names that misspelt keys were meant to be
  bool good_ = true;
};

void Walk::error(std::string code, const yaml::Node& at, std::string message, std::string hint) {
  context_.problems.error(std::move(code), at.place(), std::move(message), std::move(hint));
  good_ = false;
}

void Walk::complain(const yaml::Node& at, const std::string& where, Complaint complaint) {
  Problem problem;
  problem.code = std::move(complaint.code);
  problem.place = at.place();
  const bool sentence = complaint.message.substr(0, 4) == "the ";
  problem.message = fmt::format("{}{}{}", where, sentence ? ": " : " ", complaint.message);
  problem.hint = std::move(complaint.hint);
  problem.suggestion = std::move(complaint.suggestion);
  problem.notes = std::move(complaint.notes);
  context_.problems.add(std::move(problem));
  good_ = false;
}

// The section just below that has a key of this name, or an empty view. Definitions do not belong where names do.
std::string_view home_of(std::span<const Field> fields, const yaml::Pair& pair) {
  const auto defines = [](const yaml::Node& value) { return value.is_mapping() || std::any_of(value.items.begin(), value.items.end(), [](const yaml::Node* item) { return item->is_mapping(); }); };
  for (const Field& field : fields) {
    if (field.kind != Kind::section || field.shape != Shape::single) continue;
    for (const Field& inner : field.section->fields) {
      const bool holds_names = inner.shape == Shape::list && inner.kind != Kind::section;
      if (inner.name == pair.key->text && inner.replaced_by.empty() && inner.kind != Kind::reserved && !(holds_names && defines(*pair.value))) return field.name;
    }
  }
  return {};
}

// A key that must not be ignored, unless it asks for nothing. False when it may be.
bool Walk::refuse(const yaml::Pair& pair) {
  const std::string instead = context_.refusals == nullptr ? std::string() : context_.refusals(pair.key->text, context_.where);
  if (instead.empty()) return false;
  if (!says_nothing(*pair.value)) error("not-implemented", *pair.key, fmt::format("the key \"{}\" {} asks for something that goma does not do there", pair.key->text, in_where()), instead);
  return true;
}

void Walk::unknown(const yaml::Pair& pair) {
  const yaml::Node& key = *pair.key;
  const std::string_view home = home_of(fields_, pair);
  if (!home.empty()) {
    return error("unknown-key", key, fmt::format("unknown key \"{}\" {}", key.text, in_where()), fmt::format("it belongs into \"{}\"", join_where(context_.where, home)));
  }
  std::vector<std::string_view> names;
  for (const Field& field : fields_) {
    names.push_back(field.name);
    names.insert(names.end(), field.aliases.begin(), field.aliases.end());
  }
  const std::string_view near = suggest(key.text, names);
  const bool refused_next = std::any_of(fields_.begin(), fields_.end(), [near](const Field& field) { return field.kind == Kind::reserved && field.name == near; });
  if ((near.empty() || refused_next) && refuse(pair)) return;
  Problem problem;
  problem.severity = near.empty() ? Severity::warning : Severity::error;
  problem.code = "unknown-key";
  problem.place = key.place();
  problem.message = fmt::format("unknown key \"{}\" {}", key.text, in_where());
  problem.hint = near.empty() ? "it is ignored" : fmt::format("did you mean \"{}\"?", near);
  problem.suggestion = near;
  good_ = good_ && near.empty();
  if (!near.empty()) meant_.push_back(near);
  context_.problems.add(std::move(problem));
}

void Walk::warn_old(const Field& field, const yaml::Node& key, const yaml::Node& value) {
  std::string instead(field.replaced_by.empty() ? field.name : field.replaced_by);
  if (field.is_inverted) instead += iequals(value.text, "true") ? ": false" : ": true";
  context_.problems.warning("deprecated-key", key.place(), fmt::format("the key \"{}\" {} is an old spelling", key.text, in_where()),
                            fmt::format("write \"{}\"", instead));
}

bool Walk::names(const Field& field, std::string_view key) const {
  return same(field.name, key) || std::any_of(field.aliases.begin(), field.aliases.end(), [&](std::string_view alias) { return same(alias, key); });
}

void Walk::twice(const yaml::Pair& first, const yaml::Pair& second) {
  Problem problem;
  problem.code = "duplicate-key";
  problem.place = second.key->place();
  problem.message = fmt::format("the keys \"{}\" and \"{}\" {} are the same", first.key->text, second.key->text, in_where());
  problem.second = first.key->place();
  problem.second_label = "first one here";
  context_.problems.add(std::move(problem));
  good_ = false;
}

// Finds the field a key belongs to; the new spelling wins over the old one.
void Walk::place_key(const yaml::Pair& pair) {
  const std::string& name = pair.key->text;
  if (name.substr(0, 2) == "x-") return;
  for (size_t i = 0; i < fields_.size(); ++i) {
    const Field& field = fields_[i];
    const bool current = names(field, name);
    if (!current && (field.old_name.empty() || !same(field.old_name, name))) continue;
    if (!current || !field.replaced_by.empty()) warn_old(field, *pair.key, *pair.value);
    if (current && chosen_[i] != nullptr && names(field, chosen_[i]->key->text)) {
      twice(*chosen_[i], pair);
    } else if (current || chosen_[i] == nullptr) {
      chosen_[i] = &pair;
    }
    return;
  }
  unknown(pair);
}

// A section that is empty or switched off asks for nothing, so there is nothing to refuse.
void Walk::refuse_reserved(const Field& field, const yaml::Pair& pair) {
  if (field.switches.empty() ? says_nothing(*pair.value) : !is_turned_on(*pair.value, field.switches)) return;
  const bool item = context_.where.find('"') != std::string::npos;  // one of several: say which
  const std::string instead = context_.refusals == nullptr ? std::string() : context_.refusals(field.name, context_.where);
  error("not-implemented", *pair.key, fmt::format("{}this version of goma does not implement \"{}\" yet", item ? context_.where + ": " : "", field.name),
        instead.empty() ? "remove it, or keep Goma Gateway for this" : instead);
}

// YAML 1.1 readers see a boolean where this text stands.
void Walk::warn_word(const Field& field, const yaml::Node& value, const std::string& where) {
  if (field.kind != Kind::string || value.style != yaml::Style::plain || value.substituted) return;
  for (std::string_view word : {"yes", "no", "on", "off"}) {
    if (!iequals(word, value.text)) continue;
    context_.problems.warning("yaml-word", value.place(), fmt::format("{} is taken as the text \"{}\", which other YAML readers take for a boolean", where, value.text),
                              fmt::format("quote it: \"{}\"", value.text));
  }
}

void Walk::read_scalar(const Field& field, const yaml::Node& node, const std::string& where, bool inverted) {
  Value value;
  if (field.kind == Kind::secret && !node.secret) yaml::hide(node, context_.problems);
  if (auto complaint = judge(field, node, value)) {
    if (node.is_mapping() && complaint->hint.empty() && context_.refusals != nullptr) complaint->hint = context_.refusals(field.name, context_.where);
    complain(node, field.kind == Kind::regex && !context_.where.empty() && context_.where.back() == '"' ? context_.where : where, std::move(*complaint));
    return;
  }
  warn_word(field, node, where);
  if (inverted) value.number = value.number == 0 ? 1 : 0;
  field.put(member(field), value);
}

void Walk::read_list(const Field& field, const yaml::Node& list) {
  const std::string where = join_where(context_.where, field.name);
  if (!list.is_sequence()) {
    const std::string hint = list.is_scalar() && !list.substituted && !list.secret ? fmt::format("write it as a list: [{}]", list.text) : std::string();
    error("bad-type", list, fmt::format("{} wants a list, got {}", where, got_words(list)), hint);
    return;
  }
  field.clear(member(field));
  for (size_t i = 0; i < list.items.size(); ++i) {
    if (!list.items[i]->is_null()) read_scalar(field, *list.items[i], fmt::format("{}[{}]", where, i), false);
  }
}

void Walk::read_map(const Field& field, const yaml::Node& map) {
  const std::string where = join_where(context_.where, field.name);
  if (!map.is_mapping()) {
    error("bad-type", map, fmt::format("{} wants a mapping of names to texts, got {}", where, got_words(map)));
    return;
  }
  field.clear(member(field));
  for (const yaml::Pair& pair : map.pairs) {
    Value value;
    value.key = pair.key->text;
    if (field.kind == Kind::secret && !pair.value->secret) yaml::hide(*pair.value, context_.problems);
    if (auto complaint = judge(field, *pair.value, value)) {
      complain(*pair.value, fmt::format("{}.{}", where, pair.key->text), std::move(*complaint));
      continue;
    }
    if (pair.value->is_null()) value.text = {};
    field.put(member(field), value);
  }
}

void Walk::read_section(const Field& field, const yaml::Node& value, std::string where) {
  void* into = field.open(member(field));
  std::swap(where, context_.where);
  good_ = read(value, *field.section, into, context_) && good_;
  std::swap(where, context_.where);
}

// "- http://..." for "- endpoint: http://...".
void Walk::read_short(const Field& field, const yaml::Node& item, std::string where) {
  const bool quotable = !item.substituted && !item.secret;
  context_.problems.warning("deprecated-key", item.place(), fmt::format("{}: a text in place of a mapping is an old spelling", where),
                            fmt::format("write \"- {}: {}\"", field.stands_for, quotable ? without_credentials(item.text) : "..."));
  yaml::Node key, mapping;
  key.text = field.stands_for;
  mapping.type = yaml::Type::mapping;
  mapping.file = item.file, mapping.line = item.line, mapping.column = item.column;
  mapping.pairs.push_back({&key, const_cast<yaml::Node*>(&item)});
  read_section(field, mapping, std::move(where));
}

void Walk::read_sections(const Field& field, const yaml::Node& list) {
  const std::string where = join_where(context_.where, field.name);
  if (!list.is_sequence()) {
    error("bad-type", list, fmt::format("{} wants a list, got {}", where, got_words(list)), list.is_mapping() ? "each item begins with \"- \"" : "");
    return;
  }
  field.clear(member(field));
  for (size_t i = 0; i < list.items.size(); ++i) {
    const yaml::Node* name = list.items[i]->is_mapping() ? list.items[i]->find("name") : nullptr;
    if (list.items[i]->is_scalar() && !list.items[i]->is_null() && !field.stands_for.empty()) {
      read_short(field, *list.items[i], fmt::format("{}[{}]", where, i));
      continue;
    }
    const bool named = !field.section->singular.empty() && name != nullptr && name->is_scalar() && !name->is_null();
    read_section(field, *list.items[i], named ? fmt::format("{} \"{}\"", field.section->singular, name->text) : fmt::format("{}[{}]", where, i));
  }
}

void Walk::read_field(const Field& field, const yaml::Node& value, bool inverted) {
  if (field.kind != Kind::raw && value.is_null()) return;  // as if it were absent
  const bool is_section = field.kind == Kind::section;
  switch (field.shape) {
    case Shape::map: return read_map(field, value);
    case Shape::list: return is_section ? read_sections(field, value) : read_list(field, value);
    case Shape::single: break;
  }
  const std::string where = join_where(context_.where, field.name);
  return is_section ? read_section(field, value, where) : read_scalar(field, value, where, inverted);
}

void Walk::missing(const Field& field) {
  if (std::find(meant_.begin(), meant_.end(), field.name) != meant_.end()) return;  // the misspelt key was told
  error("missing-key", node_, fmt::format("{} needs the key \"{}\"", context_.where.empty() ? "the file" : context_.where, field.name));
}

bool Walk::run() {
  const bool empty = node_.is_null() || (!context_.where.empty() && !node_.is_mapping() && says_nothing(node_));
  if (!node_.is_mapping() && !empty) {
    error("bad-type", node_, fmt::format("{} wants a mapping, got {}", context_.where.empty() ? "the file" : context_.where, got_words(node_)),
          context_.where.empty() ? "it consists of keys, like gateway: and middlewares:" : "");
    return false;
  }
  for (const yaml::Pair& pair : node_.pairs) place_key(pair);
  for (size_t i = 0; i < fields_.size(); ++i) {
    const Field& field = fields_[i];
    const yaml::Pair* pair = chosen_[i];
    if (pair != nullptr && field.kind == Kind::reserved) {
      refuse_reserved(field, *pair);
    } else if (pair != nullptr) {
      read_field(field, *pair->value, field.is_inverted && !names(field, pair->key->text));
    }
    if (field.is_required && (pair == nullptr || pair->value->is_null())) missing(field);
  }
  return good_;
}

}  // namespace

bool read(const yaml::Node& node, std::span<const Field> fields, void* into, ReadContext& context) {
  return Walk(node, fields, into, context).run();
}

bool read(const yaml::Node& node, const Section& section, void* into, ReadContext& context) {
  if (section.remember != nullptr) section.remember(into, node);
  return read(node, section.fields, into, context);
}

namespace {

// Go's strconv.ParseBool.
std::optional<bool> parse_go_bool(std::string_view text) {
  for (std::string_view word : {"1", "t", "T", "TRUE", "true", "True"}) {
    if (text == word) return true;
  }
  for (std::string_view word : {"0", "f", "F", "FALSE", "false", "False"}) {
    if (text == word) return false;
  }
  return std::nullopt;
}

// The environment is taken as it is, so a variable in it was meant for a shell that never saw it.
void warn_pasted(const Field& field, std::string_view variable, std::string_view text, const std::string& where, ReadContext& context) {
  const auto inner = find_variable(text);
  if (!inner || !inner->has_dollar) return;
  const bool secret = field.kind == Kind::secret || stands_as_credential(text, {inner->begin, inner->end});
  Problem problem;
  problem.severity = secret ? Severity::error : Severity::warning;
  problem.code = "unset-variable";
  problem.message = fmt::format("the environment variable {} for {} names the variable {}, which is not replaced there", variable, where, inner->name);
  context.problems.add(std::move(problem));
}

// Puts the text of a variable into the field; false when it does not fit (and was told).
bool put_variable(const Field& field, std::string_view variable, void* member, std::string_view text, const std::string& where, ReadContext& context) {
  yaml::Node node;
  node.text = text;
  node.style = yaml::Style::quoted;
  node.substituted = true;
  const auto go_bool = field.kind == Kind::boolean ? parse_go_bool(text) : std::optional<bool>();
  if (field.kind == Kind::boolean && !go_bool) {
    context.problems.warning("bad-environment", {}, fmt::format("the environment variable {} for {} is not true or false and is ignored", variable, where));
    return false;
  }
  if (go_bool) node.text = *go_bool ? "true" : "false";
  warn_pasted(field, variable, text, where, context);
  Value value;
  if (auto complaint = judge(field, node, value)) {
    context.problems.error("bad-environment", {}, fmt::format("the environment variable {}: {} {}", variable, where, complaint->message), complaint->hint);
    return false;
  }
  value.node = nullptr;
  field.put(member, value);
  return true;
}

bool put_variables(const Field& field, std::string_view variable, void* member, std::string_view text, const std::string& where, ReadContext& context) {
  if (field.shape == Shape::single) return put_variable(field, variable, member, text, where, context);
  field.clear(member);
  bool good = true;
  for (std::string_view item : split(text, ',')) {
    if (!trim(item).empty()) good = put_variable(field, variable, member, trim(item), where, context) && good;
  }
  return good;
}

}  // namespace

void apply_environment(const Section& section, void* into, const yaml::Node* node, Source& source, ReadContext& context,
                       std::map<std::string, std::string>& used) {
  for (const Field& field : section.fields) {
    const yaml::Pair* pair = find_pair(node, field);
    const yaml::Node* present = pair == nullptr ? nullptr : pair->value;
    const std::string where = join_where(context.where, field.name);
    if (field.kind == Kind::section && field.shape == Shape::single) {
      ReadContext inner{context.problems, where, context.ignore_case, nullptr};
      apply_environment(*field.section, field.open(field.member(into)), present, source, inner, used);
    }
    for (const std::string_view variable : {field.weaker_environment, field.environment}) {
      if (variable.empty() || (field.environment_yields && present != nullptr)) continue;
      const auto text = source.env(std::string(variable));
      const bool may_be_empty = variable == field.environment && field.kind == Kind::string && field.shape == Shape::single && !field.is_optional;
      if (!text || (text->empty() && !may_be_empty)) continue;
      if (put_variables(field, variable, field.member(into), *text, where, context)) used[where] = variable;
    }
  }
}

}  // namespace goma::core
