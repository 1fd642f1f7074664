// SPDX-License-Identifier: Apache-2.0
//
// The effective configuration: every key of every table with the value that counts, and where that value came from.
// A subtree that no table describes is printed as it was read; values whose key names a secret are stars.
#include <fmt/format.h>

#include "core/describe.h"
#include "core/describe_text.h"
#include "core/idn.h"
#include "core/text.h"

namespace goma::core {

namespace {

constexpr int comment_column = 48;

class Printer {
 public:
  explicit Printer(const std::map<std::string, std::string>& used) : used_(used) {}

  void section(const Section& section, const void* conf, const yaml::Node* node, const std::string& where, int indent, bool item);
  void subtree(std::string_view key, const yaml::Node& node, int indent);
  std::string take() { return std::move(out_); }

 private:
  void field(const Field& field, const void* conf, const yaml::Node* value, const std::string& where, int indent, bool dash);
  void line(int indent, bool dash, const std::string& text, const std::string& origin);
  std::string origin(const yaml::Node* value, const std::string& where) const;

  const std::map<std::string, std::string>& used_;
  std::string out_;
};

void Printer::line(int indent, bool dash, const std::string& text, const std::string& origin) {
  std::string whole(static_cast<size_t>(indent), ' ');
  if (dash) whole.replace(static_cast<size_t>(indent) - 2, 2, "- ");
  whole += text;
  if (!origin.empty()) whole += std::string(whole.size() + 1 < comment_column ? comment_column - whole.size() : 1, ' ') + "# " + origin;
  out_ += whole + "\n";
}

std::string Printer::origin(const yaml::Node* value, const std::string& where) const {
  const auto used = used_.find(where);
  if (used != used_.end()) return used->second;
  if (value == nullptr || value->file == nullptr) return "default";
  return fmt::format("{}:{}", *value->file, value->line);
}

void Printer::subtree(std::string_view key, const yaml::Node& node, int indent) {
  const std::string from = fmt::format("{}:{}", node.file == nullptr ? "" : *node.file, node.line);
  const std::string head = key.empty() ? "-" : plain_scalar(key) + ":";
  if (node.is_scalar()) {
    const bool plain = node.style == yaml::Style::plain && !node.substituted;
    const std::string text = without_credentials(node.text);
    const std::string shown = plain && text == node.text ? text : plain_scalar(text);
    return line(indent, false, fmt::format("{} {}", head, node.secret && !node.text.empty() ? hidden_value : shown), from);
  }
  if (node.pairs.empty() && node.items.empty()) return line(indent, false, head + (node.is_mapping() ? " {}" : " []"), from);
  line(indent, false, head, "");
  for (const yaml::Pair& pair : node.pairs) subtree(pair.key->secret ? secret_stars : std::string_view(pair.key->text), *pair.value, indent + 2);
  for (const yaml::Node* item : node.items) subtree("", *item, indent + 2);
}

std::string flow_list(const Field& field, const void* member) {
  std::string out = "[";
  for (size_t i = 0; i < field.count(member); ++i) out += fmt::format("{}{}", i == 0 ? "" : ", ", print_value(field, field.get(member, i)));
  return out + "]";
}

std::string flow_map(const Field& field, const void* member) {
  std::string out = "{";
  for (size_t i = 0; i < field.count(member); ++i) {
    const Value value = field.get(member, i);
    const std::string text = resembles_secret(value.key) && !value.text.empty() ? std::string(hidden_value) : print_value(field, value);
    out += fmt::format("{}{}: {}", i == 0 ? "" : ", ", plain_scalar(value.key), text);
  }
  return out + "}";
}

// The names among the values as people write them, where that differs.
std::string readable(const Field& field, const void* member) {
  if (field.kind != Kind::host && field.kind != Kind::url) return {};
  std::string out;
  for (size_t i = 0; i < field.count(member); ++i) {
    const std::string_view text = field.get(member, i).text;
    const auto url = split_url(text);
    const std::string_view host = url ? url->host : text;
    const std::string people = to_u_label(host);
    if (people != host) out += fmt::format("{}{}", out.empty() ? " = " : ", ", people);
  }
  return out;
}

void Printer::field(const Field& field, const void* conf, const yaml::Node* value, const std::string& where, int indent, bool dash) {
  const void* member = field.member(const_cast<void*>(conf));
  const std::string name(field.name);
  if (field.kind == Kind::section && field.shape == Shape::single) {
    line(indent, dash, name + ":", "");
    return section(*field.section, field.item(member, 0), value, where, indent + 2, false);
  }
  if (field.kind == Kind::section) {
    const size_t n = field.count(member);
    line(indent, dash, name + (n == 0 ? ": []" : ":"), n == 0 ? origin(value, where) : "");
    for (size_t i = 0; i < n; ++i) {
      const void* item = field.item(member, i);
      const yaml::Node* node = field.section->origin(item);
      if (node == nullptr && value != nullptr && i < value->items.size()) node = value->items[i];
      section(*field.section, item, node, where + "[]", indent + 4, true);
    }
    return;
  }
  if (field.kind == Kind::raw) {
    const yaml::Node* node = field.get(member, 0).node;
    if (node != nullptr) subtree(name, *node, indent);
    return;
  }
  if (field.shape == Shape::single) return line(indent, dash, fmt::format("{}: {}", name, print_value(field, field.get(member, 0))), origin(value, where) + readable(field, member));
  line(indent, dash, fmt::format("{}: {}", name, field.shape == Shape::list ? flow_list(field, member) : flow_map(field, member)), origin(value, where) + readable(field, member));
}

void Printer::section(const Section& section, const void* conf, const yaml::Node* node, const std::string& where, int indent, bool item) {
  bool dash = item;
  for (const Field& f : section.fields) {
    if (f.kind == Kind::reserved || !f.replaced_by.empty()) continue;
    if (f.is_optional && f.count(f.member(const_cast<void*>(conf))) == 0) continue;
    const yaml::Pair* pair = find_pair(node, f);
    const yaml::Node* value = pair == nullptr ? nullptr : pair->value;
    if (value == nullptr && node != nullptr && !f.old_name.empty()) value = node->find(f.old_name);
    if (value == nullptr && node != nullptr && node->is_scalar() && f.is_required) value = node;  // a text in place of the mapping
    field(f, conf, value, join_where(where, f.name), indent, dash);
    dash = false;
  }
}

}  // namespace

std::string print_section(const Section& section, const void* conf, const yaml::Node* node,
                          const std::map<std::string, std::string>& used, int indent) {
  Printer printer(used);
  printer.section(section, conf, node, "", indent, false);
  return printer.take();
}

}  // namespace goma::core
