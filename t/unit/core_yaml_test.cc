// SPDX-License-Identifier: Apache-2.0
//
// core/yaml: places are true, limits hold, aliases and merges behave. How mistakes are worded is the business of the
// golden files (t/config_errors.t).
#include "core/yaml.h"

#include "check.h"

using namespace goma::core;
using yaml::Node;

namespace {

struct Parsed {
  Problems problems;
  std::unique_ptr<yaml::Document> document;
  const Node& root() const { return *document->root(); }
};

Parsed parsed(std::string_view text, const yaml::Substitute& substitute = {}) {
  Parsed out;
  out.document = yaml::parse("f.yml", text, out.problems, substitute);
  return out;
}

std::string code_of(std::string_view text) {
  const Parsed p = parsed(text);
  return p.document != nullptr || p.problems.empty() ? "accepted" : p.problems.list().front().code;
}

void places_count_characters() {
  const Parsed p = parsed("a: 1\n\xc3\xa4: \"\xc3\xb6\xc3\xb6\"\n");
  const Place place = p.root().find("\xc3\xa4")->place();
  CHECK_EQ(place.line, 2);
  CHECK_EQ(place.column, 4);
  CHECK_EQ(place.end_column, 8);
  CHECK_EQ(place.text(), "f.yml:2:4");
}

void empty_text_is_no_root() {
  CHECK(parsed("").document->root() == nullptr);
  CHECK(parsed("# nothing\n").document->root() == nullptr);
}

void nulls_are_plain_only() {
  const Parsed p = parsed("a:\nb: ~\nc: null\nd: ''\ne: 'null'\n");
  for (const char* key : {"a", "b", "c"}) CHECK(p.root().find(key)->is_null());
  for (const char* key : {"d", "e"}) CHECK(!p.root().find(key)->is_null());
}

void aliases_share_and_merges_yield() {
  const Parsed p = parsed("base: &b {x: 1, y: 2}\nown: {<<: *b, y: 3}\nlist: {<<: [*b, {z: 4}]}\n");
  CHECK_EQ(p.root().find("own")->find("x")->text, "1");
  CHECK_EQ(p.root().find("own")->find("y")->text, "3");
  CHECK_EQ(p.root().find("list")->find("z")->text, "4");
}

// What is in a second document may be what protects the first; what is nothing does no harm.
void there_is_one_document() {
  for (const char* text : {"a: 1\n", "---\na: 1\n", "a: 1\n---\n", "a: 1\n...\n", "a: 1\n...\n---\n# nothing\n", "%YAML 1.1\n---\na: 1\n", "{a: 1}\n# end\n"}) {
    CHECK_EQ(code_of(text), "accepted");
  }
  for (const char* text : {"a: 1\n---\nb: 2\n", "a: 1\n...\nb: 2\n", "a: 1\n...\n---\nb: 2\n", "{a: 1}\nb: 2\n", "{a: 1}}\n", "[1]\n]\n"}) {
    CHECK_EQ(code_of(text), "yaml-documents");
  }
  CHECK_EQ(code_of("  a: 1\nb: 2\n"), "yaml-indent");
}

void other_encodings_are_named() {
  const auto wide = [](std::string_view text, size_t before, size_t after) {
    std::string out;
    for (const char c : text) out.append(before, '\0').append(1, c).append(after, '\0');
    return out;
  };
  constexpr std::string_view text = "version: 2\ngateway: {}\n";
  const std::pair<std::string, const char*> cases[] = {
      {"\xFF\xFE" + wide(text, 0, 1), "UTF-16LE"},           {"\xFE\xFF" + wide(text, 1, 0), "UTF-16BE"},
      {std::string("\xFF\xFE\0\0", 4) + wide(text, 0, 3), "UTF-32LE"}, {std::string("\0\0\xFE\xFF", 4) + wide(text, 3, 0), "UTF-32BE"},
      {wide(text, 0, 1), "UTF-16LE"},                        {wide(text, 1, 0), "UTF-16BE"},
      {wide(text, 0, 3), "UTF-32LE"},                        {wide(text, 3, 0), "UTF-32BE"}};
  for (const auto& [bytes, name] : cases) {
    const Parsed p = parsed(bytes);
    CHECK(p.document == nullptr);
    CHECK_EQ(p.problems.list().front().message, std::string("the file is ") + name + "; a configuration is UTF-8");
    CHECK(p.problems.render().find('\0') == std::string::npos);
  }
  CHECK_EQ(parsed("\xEF\xBB\xBF" "a: 1\n").root().find("a")->text, "1");
  CHECK_EQ(parsed("\xEF\xBB\xBF" "a: 1\n").root().find("a")->place().column, 4);
  CHECK_EQ(code_of("\xEF\xBB\xBF"), "accepted");
  CHECK_EQ(code_of("a: 1\n\xEF\xBB\xBF" "b: 2\n"), "yaml-encoding");
  CHECK_EQ(code_of("\xEF\xBB\xBF\xEF\xBB\xBF" "b: 2\n"), "yaml-encoding");
  CHECK_EQ(code_of(std::string("a: \0\n", 6)), "yaml-encoding");
}

void structure_is_safe_from_variables() {
  const Parsed p = parsed("a: ${X}\nb: [\"${X}\"]\n", [](std::string& text) {
    if (text != "${X}") return false;
    text = "{evil: [1, 2]}";
    return true;
  });
  CHECK(p.root().find("a")->is_scalar());
  CHECK(p.root().find("a")->substituted);
  CHECK_EQ(p.root().find("b")->items[0]->text, "{evil: [1, 2]}");
  CHECK_EQ(p.root().find("a")->place().end_column, 8);  // as in the file
}

void limits_hold() {
  CHECK_EQ(code_of(std::string(20'000, '[')), "yaml-limit");
  std::string bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n";
  for (char c = 'b'; c < 'j'; ++c) {
    bomb += fmt::format("{}: &{} [", c, c);
    for (int i = 0; i < 10; ++i) bomb += fmt::format("*{},", static_cast<char>(c - 1));
    bomb += "]\n";
  }
  CHECK_EQ(code_of(bomb), "yaml-limit");
  CHECK_EQ(code_of("a: &a [*a]\n"), "yaml-alias");
  CHECK_EQ(code_of("a: 1\na: 2\n"), "duplicate-key");
  CHECK_EQ(code_of(std::string_view("a: \0", 4)), "yaml-encoding");
  CHECK_EQ(code_of("a: \xff\n"), "yaml-encoding");
}

void depth_counts_through_aliases() {
  std::string text = "a: &a " + std::string(60, '[') + std::string(60, ']') + "\nb: " + std::string(60, '[') + "*a" + std::string(60, ']') + "\n";
  CHECK_EQ(code_of(text), "yaml-limit");
}

void findings_come_in_file_order_and_once() {
  Problems problems;
  problems.remember("a.yml", "one\ntwo: 2\n");
  problems.remember("b.yml", "x\n");
  problems.error("c", {"b.yml", 1, 1, 2}, "third");
  problems.error("c", {"a.yml", 2, 1, 4}, "second");
  problems.warning("c", {"a.yml", 1, 1, 2}, "first");
  problems.error("c", {"a.yml", 2, 1, 4}, "second");
  CHECK_EQ(problems.list()[0].message, "first");
  CHECK_EQ(problems.list()[2].message, "third");
  CHECK_EQ(problems.errors(), 2);
  CHECK_EQ(problems.summary("a.yml"), "goma: a.yml: 2 errors, 1 warning");
}

void at_most_fifty_are_shown() {
  Problems problems;
  for (int i = 1; i <= 1200; ++i) problems.error("c", {"a.yml", i, 1, 2}, "x");
  const std::string text = problems.render();
  CHECK(text.find("goma: 1150 more findings are not shown") != std::string::npos);
  CHECK(text.find("a.yml:51:") == std::string::npos);
  CHECK_EQ(problems.errors(), 1200);
}

void secrets_and_control_bytes_are_not_shown() {
  Problems problems;
  const std::string text = "a: {password: hunter2, b: 1}\nk: hunter2 # c\nu: http://ann:hunter2@h/ \x1b[31m\nkeep: it\n";
  problems.remember("a.yml", text);
  problems.hide({"a.yml", 2, 4, 11}, 2, 11);
  for (int line = 1; line <= 4; ++line) problems.error("c", {"a.yml", line, 1, 2}, "x");
  const std::string shown = problems.render();
  CHECK(shown.find("hunter2") == std::string::npos);
  CHECK(shown.find('\x1b') == std::string::npos);
  CHECK(shown.find("{password: *******, b: 1}") != std::string::npos);
  CHECK(shown.find("keep: it") != std::string::npos);
}

void carets_follow_a_mask() {
  Problems problems;
  problems.remember("a.yml", "password: x  # y\n");
  problems.error("c", {"a.yml", 1, 11, 12}, "m");
  CHECK(problems.render().find("     1 | password: *******\n       |           ^~~~~~~\n") != std::string::npos);
}

}  // namespace

GOMA_TESTS(places_count_characters, empty_text_is_no_root, nulls_are_plain_only, aliases_share_and_merges_yield, there_is_one_document, other_encodings_are_named,
           structure_is_safe_from_variables, limits_hold, depth_counts_through_aliases, findings_come_in_file_order_and_once,
           at_most_fifty_are_shown, secrets_and_control_bytes_are_not_shown, carets_follow_a_mask)
