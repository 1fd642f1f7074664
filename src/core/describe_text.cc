// SPDX-License-Identifier: Apache-2.0
//
// The reference page (Markdown) and the manual (mdoc): the same walk over the same tables, one table per section in
// the order of the file. Roff needs its own escaping, and that is all that differs.
#include "core/describe_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/describe.h"
#include "core/kind.h"
#include "core/text.h"

namespace goma::core {

namespace {

// One heading with its fields.
struct Chapter {
  std::string title;
  std::string_view doc;
  std::span<const Field> fields;
};

void collect(const Section& section, std::vector<Chapter>& chapters) {
  chapters.push_back({std::string(section.name), section.doc, section.fields});
  for (const Field& field : section.fields) {
    if (field.kind == Kind::section) collect(*field.section, chapters);
  }
}

void collect_rule(const Section& section, const std::string& title, std::vector<Chapter>& chapters) {
  for (const Field& field : section.fields) {
    if (field.kind != Kind::section) continue;
    const std::string inner = fmt::format("{}.{}{}", title, field.name, field.shape == Shape::list ? "[]" : "");
    chapters.push_back({inner, field.doc, field.section->fields});
    collect_rule(*field.section, inner, chapters);
  }
}

std::vector<Chapter> chapters_of(const DescribeInput& input) {
  std::vector<Chapter> chapters;
  collect(*input.root, chapters);
  for (const RuleSection& rule : input.rules) {
    std::string types;
    for (std::string_view type : rule.types) types += fmt::format("{}{}", types.empty() ? "" : ", ", type);
    chapters.push_back({"rule of " + types, rule.doc, rule.fields});
    Section whole;
    whole.fields = rule.fields;
    collect_rule(whole, "rule of " + types, chapters);
  }
  return chapters;
}

std::string type_words(const Field& field) {
  std::string one = kind_words(field);
  if (field.kind == Kind::section) one = field.shape == Shape::list ? "mappings" : "a mapping, see below";
  if (field.kind == Kind::raw) one = "depends on the type";
  if (field.shape == Shape::map) return "a mapping of names to texts";
  return field.shape == Shape::list ? "a list: " + one : one;
}

// The sentences behind the doc line: range, variable, old spelling, where the key comes from.
std::string remarks(const Field& field) {
  std::string out;
  const bool number = field.kind == Kind::integer || field.kind == Kind::seconds;
  const bool bounded = number && field.max < std::numeric_limits<int32_t>::max();
  if (bounded && field.kind != Kind::seconds) out += fmt::format(" From {} to {}.", field.min, field.max);
  if (!field.aliases.empty()) out += fmt::format(" Also spelled {}.", fmt::join(field.aliases, ", "));
  if (!field.weaker_environment.empty()) out += fmt::format(" Variable: {}.", field.weaker_environment);
  if (!field.environment.empty()) out += fmt::format(" Variable: {}{}.", field.environment, field.environment_yields ? " (when the key is absent)" : "");
  if (!field.old_name.empty()) out += fmt::format(" Old spelling: {}{}.", field.old_name, field.is_inverted ? " (means the opposite)" : "");
  if (!field.replaced_by.empty()) out += fmt::format(" Old spelling; use {}.", field.replaced_by);
  if (field.is_addition) out += " Not in Goma Gateway.";
  return out;
}

std::string default_words(const Field& field) {
  if (field.is_required) return "required";
  const std::string value = default_text(field);
  return value.empty() || value == "\"\"" ? "none" : value;
}

std::string markdown_cell(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '|' || c == '<' || c == '*') out += '\\';
    out += c;
  }
  return out;
}

void markdown_table(const Chapter& chapter, std::string& out) {
  out += fmt::format("\n## {}\n\n{}\n\n| key | value | default | meaning |\n|---|---|---|---|\n", chapter.title, chapter.doc);
  std::string missing;
  for (const Field& field : chapter.fields) {
    if (field.kind == Kind::reserved) {
      missing += fmt::format("{}`{}`", missing.empty() ? "" : ", ", field.name);
      continue;
    }
    const std::string value = default_words(field);
    const bool literal = value != "none" && value != "required";
    out += fmt::format("| `{}` | {} | {} | {} |\n", field.name, markdown_cell(type_words(field)), literal ? "`" + value + "`" : value, markdown_cell(std::string(field.doc) + remarks(field)));
  }
  if (!missing.empty()) out += fmt::format("\nKeys of Goma Gateway that this version refuses: {}.\n", missing);
}

// Text in a roff document: backslashes, and control characters at the start of a line.
std::string roff(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '\\') out += "\\e";
    else if (c == '-') out += "\\-";
    else if (c == '"') out += "\\(dq";
    else out += c;
  }
  if (!out.empty() && (out.front() == '.' || out.front() == '\'')) out.insert(0, "\\&");
  return out;
}

// A new sentence on a new line, and no line above 80 bytes, as mdoc wants it.
std::string roff_sentences(std::string_view text) {
  constexpr size_t widest = 78;
  std::string out, line;
  const auto flush = [&] {
    if (!line.empty()) out += line + "\n";
    line.clear();
  };
  for (std::string_view word : split(text, ' ')) {
    const std::string shown = roff(word);
    if (line.size() + 1 + shown.size() > widest) flush();
    line += line.empty() ? shown : " " + shown;
    if (!word.empty() && word.back() == '.') flush();
  }
  flush();
  return out;
}

void mdoc_list(const Chapter& chapter, std::string& out) {
  const bool bracket = chapter.title.back() == ']';  // mdoc would take it for punctuation
  out += fmt::format(".Ss {}{}\n{}", roff(chapter.title), bracket ? "\\&" : "", roff_sentences(chapter.doc));
  std::string missing;
  bool open = false;
  for (const Field& field : chapter.fields) {
    if (field.kind == Kind::reserved) {
      missing += fmt::format("{}{}", missing.empty() ? "" : ", ", field.name);
      continue;
    }
    if (!open) out += ".Bl -tag -width Ds\n";
    open = true;
    const std::string value = default_words(field);
    out += fmt::format(".It Cm {}\n{}", roff(field.name), roff_sentences(std::string(field.doc) + remarks(field)));
    const std::string shown = value == "none" ? "no default" : (value == "required" ? value : "default " + value);
    out += roff_sentences(fmt::format("Value: {}; {}.", type_words(field), shown));
  }
  if (open) out += ".El\n";
  if (!missing.empty()) out += fmt::format("{}{}", open ? ".Pp\n" : "", roff_sentences(fmt::format("Refused by this version: {}.", missing)));
}

constexpr std::string_view mdoc_head = R"(.\" SPDX-License-Identifier: Apache-2.0
.\" Written by "goma describe man" from the tables of the program; do not edit.
.Dd November 21, 2026
.Dt GOMA.YML 5
.Os
.Sh NAME
.Nm goma.yml
.Nd configuration of the goma API gateway
.Sh DESCRIPTION
.Xr goma 8
reads one YAML file, and the files of the directory named by
.Cm gateway.extraConfig .
The format is that of Goma Gateway, version 2.
.Pp
A variable written as ${NAME} or {NAME} is replaced in any text
when it is set in the environment.
Keys that begin with x\- are free for notes and anchors.
Any other unknown key is reported.
.Pp
.Ql goma \-t
checks a file,
.Ql goma \-T
prints it with every default and the origin of every value.
.Sh KEYS
)";

constexpr std::string_view mdoc_tail = R"(.Sh EXAMPLES
.Bd -literal
version: 2
gateway:
  routes:
    \- name: api
      path: /api
      target: http://127.0.0.1:9000
.Ed
.Sh SEE ALSO
.Xr goma 8 ,
.Xr gomactl 8
)";

}  // namespace

std::string describe_markdown(const DescribeInput& input) {
  std::string out = "<!-- Written by \"goma describe markdown\" from the tables of the program; do not edit. -->\n# Configuration reference\n\nEvery key goma reads, in the order of the file.\n";
  for (const Chapter& chapter : chapters_of(input)) markdown_table(chapter, out);
  return out;
}

std::string describe_mdoc(const DescribeInput& input) {
  std::string out(mdoc_head);
  for (const Chapter& chapter : chapters_of(input)) mdoc_list(chapter, out);
  return out + std::string(mdoc_tail);
}

}  // namespace goma::core
