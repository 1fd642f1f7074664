// SPDX-License-Identifier: Apache-2.0
//
// JSON Schema, draft-07: what an editor needs to complete, explain and check a file while it is typed. Liberal where
// the reader is liberal (a number is a text), so that a file goma accepts shows no red line.
#include "core/describe.h"

#include <fmt/format.h>

#include "core/describe_text.h"
#include "core/kind.h"
#include "core/text.h"

namespace goma::core {

std::string default_text(const Field& field) {
  if (field.is_required || field.is_optional || field.shape == Shape::map || field.kind == Kind::section || field.kind == Kind::raw) return {};
  if (field.kind == Kind::reserved || field.defaults == nullptr) return {};
  const void* const member = field.member(const_cast<void*>(field.defaults()));
  if (field.shape == Shape::single) return print_value(field, field.get(member, 0));
  std::string items;
  for (size_t i = 0; i < field.count(member); ++i) items += (i == 0 ? "" : ", ") + print_value(field, field.get(member, i));
  return items.empty() ? items : '[' + items + ']';
}

std::string plain_scalar(std::string_view text) {
  constexpr std::string_view leaders = "-?:,[]{}#&*!|>'\"%@` ";
  const bool word = iequals(text, "true") || iequals(text, "false") || iequals(text, "yes") || iequals(text, "no") || iequals(text, "on") || iequals(text, "off") || iequals(text, "null") || text == "~";
  const bool number = !text.empty() && (is_digit(text.front()) || text.front() == '.' || text.front() == '+');
  bool safe = !text.empty() && !word && !number && leaders.find(text.front()) == std::string_view::npos && text.back() != ' ' && text.back() != ':';
  for (size_t i = 0; safe && i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const bool breaks = (text[i] == ':' && i + 1 < text.size() && text[i + 1] == ' ') || (text[i] == '#' && i > 0 && text[i - 1] == ' ');
    safe = c >= 0x20 && c != 0x7f && !breaks && text[i] != ',' && text[i] != '[' && text[i] != ']' && text[i] != '{' && text[i] != '}';
  }
  return safe ? std::string(text) : json_quote(text);
}

std::string print_value(const Field& field, const Value& value) {
  if (field.never && value.number == *field.never && value.number < 0) return "never";
  switch (field.kind) {
    case Kind::boolean: return value.number != 0 ? "true" : "false";
    case Kind::integer:
    case Kind::seconds: return fmt::format("{}", value.number);
    case Kind::number: return fmt::format("{}", value.fraction);
    case Kind::duration: return print_duration(Duration{value.number});
    case Kind::size: return print_size(Size{static_cast<uint64_t>(value.number)});
    case Kind::secret: return value.text.empty() ? "\"\"" : std::string(hidden_value);
    default: return plain_scalar(without_credentials(value.text));
  }
}

namespace {

// Writes indented JSON; commas are its business.
class Json {
 public:
  void open(std::string_view key, char bracket) {
    item(key);
    out_ += bracket;
    first_ = true;
    ++depth_;
  }
  void close(char bracket) {
    --depth_;
    if (!first_) newline();
    out_ += bracket;
    first_ = false;
  }
  void text(std::string_view key, std::string_view value) { raw(key, json_quote(value)); }
  void raw(std::string_view key, std::string_view value) {
    item(key);
    out_ += value;
  }
  std::string take() { return std::move(out_) + "\n"; }

 private:
  void newline() {
    out_ += '\n';
    out_.append(static_cast<size_t>(depth_) * 2, ' ');
  }
  void item(std::string_view key) {
    if (!first_) out_ += ',';
    if (depth_ > 0) newline();
    first_ = false;
    if (!key.empty()) out_ += json_quote(key) + ": ";
  }
  std::string out_;
  int depth_ = 0;
  bool first_ = true;
};

class SchemaWriter {
 public:
  explicit SchemaWriter(const DescribeInput& input) : input_(input) {}
  std::string run();

 private:
  void section_body(const Section& section, bool may_be_text = false);
  void fields_body(std::span<const Field> fields);
  void property(const Field& field, std::string_view name);
  void value_type(const Field& field);
  void rules();

  const DescribeInput& input_;
  Json json_;
};

// What a scalar may be, in JSON's types.
std::string_view json_types(Kind kind) {
  switch (kind) {
    case Kind::boolean: return "\"boolean\"";
    case Kind::integer:
    case Kind::seconds: return "[\"integer\", \"string\"]";
    case Kind::number: return "[\"number\", \"string\"]";
    case Kind::duration:
    case Kind::size:
    case Kind::rate:
    case Kind::address:
    case Kind::cidr:
    case Kind::host:
    case Kind::path:
    case Kind::url:
    case Kind::regex: return "\"string\"";
    default: return "[\"string\", \"number\", \"boolean\", \"null\"]";
  }
}

void SchemaWriter::value_type(const Field& field) {
  if (field.kind == Kind::raw || field.kind == Kind::reserved) return;
  if (field.kind == Kind::section) return section_body(*field.section, !field.stands_for.empty());
  if (field.kind == Kind::enumeration) {
    json_.open("enum", '[');
    for (std::string_view word : field.words) json_.text("", word);
    return json_.close(']');
  }
  json_.raw("type", json_types(field.kind));
  const bool number = field.kind == Kind::integer || field.kind == Kind::seconds;
  if (number && field.min > std::numeric_limits<int32_t>::min()) json_.raw("minimum", fmt::format("{}", field.min));
  if (number && field.max < std::numeric_limits<int32_t>::max()) json_.raw("maximum", fmt::format("{}", field.max));
}

void SchemaWriter::property(const Field& field, std::string_view name) {
  json_.open(name, '{');
  std::string doc(field.doc);
  if (field.kind == Kind::reserved) doc += " Not implemented by this version of goma.";
  const bool old = name != field.name && name == field.old_name;
  if (name != field.name) doc = fmt::format("{} spelling of {}. {}", old ? "Old" : "Another", field.name, doc);
  if (!field.replaced_by.empty()) doc += fmt::format(" Use {} instead.", field.replaced_by);
  if (field.is_addition) doc += " (goma only)";
  json_.text("description", doc);
  if (old || !field.replaced_by.empty()) json_.raw("deprecated", "true");
  const std::string value = field.shape == Shape::single ? default_text(field) : "";
  const bool literal = field.kind == Kind::boolean || field.kind == Kind::integer || field.kind == Kind::seconds || field.kind == Kind::number;
  if (!value.empty()) json_.raw("default", literal ? value : json_quote(value.front() == '"' ? std::string_view(value).substr(1, value.size() - 2) : std::string_view(value)));
  if (field.shape == Shape::single) {
    value_type(field);
  } else {
    json_.text("type", field.shape == Shape::list ? "array" : "object");
    json_.open(field.shape == Shape::list ? "items" : "additionalProperties", '{');
    value_type(field);
    json_.close('}');
  }
  json_.close('}');
}

void SchemaWriter::fields_body(std::span<const Field> fields) {
  json_.open("properties", '{');
  for (const Field& field : fields) {
    property(field, field.name);
    for (std::string_view alias : field.aliases) property(field, alias);
    if (!field.old_name.empty()) property(field, field.old_name);
  }
  json_.close('}');
  json_.open("patternProperties", '{');
  json_.raw("^x-", "{}");
  json_.close('}');
  json_.raw("additionalProperties", "false");
  bool any = false;
  for (const Field& field : fields) {
    if (!field.is_required) continue;
    if (!any) json_.open("required", '[');
    any = true;
    json_.text("", field.name);
  }
  if (any) json_.close(']');
}

// The rule of a middleware depends on its type.
void SchemaWriter::rules() {
  json_.open("allOf", '[');
  for (const RuleSection& rule : input_.rules) {
    json_.open("", '{');
    json_.open("if", '{');
    json_.open("properties", '{');
    json_.open("type", '{');
    json_.open("enum", '[');
    for (std::string_view type : rule.types) json_.text("", type);
    json_.close(']');
    json_.close('}');
    json_.close('}');
    json_.close('}');
    json_.open("then", '{');
    json_.open("properties", '{');
    json_.open("rule", '{');
    json_.text("description", rule.doc);
    json_.text("type", "object");
    fields_body(rule.fields);
    json_.close('}');
    json_.close('}');
    json_.close('}');
    json_.close('}');
  }
  json_.close(']');
}

void SchemaWriter::section_body(const Section& section, bool may_be_text) {
  json_.raw("type", may_be_text ? "[\"object\", \"string\", \"null\"]" : "[\"object\", \"null\"]");
  fields_body(section.fields);
  if (&section == input_.rule_owner && !input_.rules.empty()) rules();
}

std::string SchemaWriter::run() {
  json_.open("", '{');
  json_.text("$schema", "http://json-schema.org/draft-07/schema#");
  json_.text("title", "goma configuration");
  section_body(*input_.root);
  json_.close('}');
  return json_.take();
}

}  // namespace

std::string describe_schema(const DescribeInput& input) { return SchemaWriter(input).run(); }

}  // namespace goma::core
