// SPDX-License-Identifier: Apache-2.0
//
// The traps, each one function that looks at what libyaml said and at the line where it said it, and answers with
// a problem or declines. The first that answers wins; the last is libyaml's own sentence.
#include "core/yaml_trap.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "core/text.h"

namespace goma::core::yaml {

namespace {

// Everything a trap looks at.
struct Scene {
  const std::string& file;
  std::string_view text;
  std::string_view problem;  // libyaml: what it met
  std::string_view context;  // libyaml: what it was doing
  int line, column;          // where it noticed, from 1
  int context_line, context_column;  // where the construct began
  const std::vector<Level>& levels;
  Problems& problems;
  std::u32string source;     // the line where it noticed

  char32_t at(int c) const { return c >= 1 && c <= static_cast<int>(source.size()) ? source[static_cast<size_t>(c - 1)] : U'\0'; }
  Place place(int from, int to) const { return Place{file, line, from, to}; }
  Place noticed() const { return place(column, token_end(column)); }
  Place began() const { return Place{file, context_line, context_column, 0}; }
  // One past the last character of the word that starts at the column.
  int token_end(int from) const {
    int to = from;
    while (to <= static_cast<int>(source.size()) && at(to) != ' ' && at(to) != ',' && at(to) != ']' && at(to) != '}') ++to;
    return std::max(to, from + 1);
  }
  std::string words(int from, int to) const {
    std::string out;
    for (int c = from; c < to; ++c) append_utf8(out, at(c));
    return out;
  }
  // The same for a sentence: stars when any of it is a secret.
  std::string shown(int from, int to) const { return problems.shown(place(from, to), words(from, to)); }
  // The first column of the line that is no space.
  int first() const {
    int c = 1;
    while (at(c) == ' ') ++c;
    return c;
  }
};

std::string_view line_of(std::string_view text, int line) {
  size_t begin = 0;
  for (int n = 1; n < line; ++n) {
    begin = text.find('\n', begin);
    if (begin == std::string_view::npos) return {};
    ++begin;
  }
  std::string_view found = text.substr(begin);
  found = found.substr(0, std::min(found.find('\n'), found.size()));
  if (!found.empty() && found.back() == '\r') found.remove_suffix(1);
  return found;
}

Problem make(std::string code, Place place, std::string message, std::string hint) {
  Problem problem;
  problem.code = std::move(code);
  problem.place = std::move(place);
  problem.message = std::move(message);
  problem.hint = std::move(hint);
  return problem;
}

using Answer = std::optional<Problem>;

Answer tab(const Scene& s) {
  if (s.at(s.column) != '\t' && s.at(s.first()) != '\t') return std::nullopt;
  const int column = s.at(s.column) == '\t' ? s.column : s.first();
  return make("yaml-tab", s.place(column, column + 1), "YAML is never indented with tabs", "replace the tab by spaces");
}

Answer alias(const Scene& s) {
  const bool anchor = s.context == "while scanning an anchor";
  if (!anchor && s.context != "while scanning an alias") return std::nullopt;
  if (s.context_line != s.line) return std::nullopt;
  const Place place = s.place(s.context_column, s.token_end(s.context_column));
  return make("yaml-alias", place, fmt::format("a plain value cannot start with \"{}\": YAML reads it as an {}", anchor ? '&' : '*', anchor ? "anchor" : "alias"),
              fmt::format("quote it: \"{}\"", s.shown(place.column, place.end_column)));
}

Answer bad_start(const Scene& s) {
  const char32_t c = s.at(s.column);
  if (s.problem != "found character that cannot start any token" || (c != '@' && c != '`' && c != '%' && c != '|' && c != '>')) return std::nullopt;
  const Place place = s.noticed();
  return make("yaml-plain", place, fmt::format("a plain value cannot start with \"{}\"", s.words(s.column, s.column + 1)),
              fmt::format("quote it: \"{}\"", s.shown(place.column, place.end_column)));
}

Answer quote(const Scene& s) {
  if (s.context != "while scanning a quoted scalar" || s.problem.find("unexpected") == std::string_view::npos) return std::nullopt;
  return make("yaml-quote", s.began(), "this quote is never closed", "opened here");
}

Answer escape(const Scene& s) {
  if (s.problem != "found unknown escape character") return std::nullopt;
  return make("yaml-escape", s.place(s.column, s.column + 2), "double quotes know no such escape",
              fmt::format("write the backslash twice, or use single quotes: '{}'", s.shown(s.column, s.column + 2)));
}

Answer variable(const Scene& s) {
  const bool at_brace = s.at(s.column) == '{' && s.at(s.column - 1) == '$';
  if (!at_brace) return std::nullopt;
  int end = s.column;
  while (s.at(end) != '}' && s.at(end) != U'\0') ++end;
  const Place place = s.place(s.column - 1, end + 1);
  return make("yaml-variable", place, "inside [ ] or { } a variable must be quoted", fmt::format("quote it: \"{}\"", s.shown(place.column, place.end_column)));
}

Answer bracket(const Scene& s) {
  const bool list = s.context == "while parsing a flow sequence";
  if (!list && s.context != "while parsing a flow mapping") return std::nullopt;
  Problem problem = make("yaml-bracket", s.noticed(), fmt::format("the {} is not closed here: expected \",\" or \"{}\"", list ? "list" : "mapping", list ? ']' : '}'), "noticed here");
  problem.second = s.began();
  problem.second_label = "opened here";
  return problem;
}

// "expected 2 spaces (a key of "gateway") or 4 (a key of "log")".
std::string expected_indents(const std::vector<Level>& levels, int indent) {
  const Level* below = nullptr;
  const Level* above = nullptr;
  for (const Level& level : levels) {
    if (level.indent < indent) below = &level;
    if (level.indent > indent && above == nullptr) above = &level;
  }
  std::string out;
  for (const Level* level : {below, above}) {
    if (level == nullptr) continue;
    const std::string owner = level->owner.empty() ? "a key of the top level" : fmt::format("a key of \"{}\"", level->owner);
    out += out.empty() ? fmt::format("expected {} spaces ({})", level->indent, owner) : fmt::format(" or {} ({})", level->indent, owner);
  }
  return out;
}

Answer indent_at(const Scene& s, int column) {
  int end = column;
  while (s.at(end) != ':' && s.at(end) != U'\0' && s.at(end) != ' ') ++end;
  if (end == column) return std::nullopt;
  return make("yaml-indent", s.place(column, end),
              fmt::format("\"{}\" is indented by {} space{}, which fits no level above it", s.shown(column, end), column - 1, column == 2 ? "" : "s"),
              expected_indents(s.levels, column - 1));
}

// "key:value" on a line of its own, which swallows the next line as its continuation.
Answer unspaced(const Scene& s, int line) {
  const std::u32string text = decode_utf8(line_of(s.text, line));
  const size_t begin = text.find_first_not_of(U' ');
  const size_t colon = text.find(U':');
  const bool plain = begin != std::u32string::npos && begin < colon && text[begin] != '-' && text[begin] != '"' && text[begin] != '\'';
  if (!plain || colon == std::u32string::npos || colon + 1 >= text.size() || text[colon + 1] == ' ' || text.substr(colon, 3) == U"://") return std::nullopt;
  std::string key, value;
  for (size_t i = begin; i < text.size(); ++i) append_utf8(i < colon ? key : value, text[i]);
  const int end = static_cast<int>(text.size()) + 1;
  const std::string shown = s.problems.shown(Place{s.file, line, static_cast<int>(colon) + 2, end}, value.substr(1));
  return make("yaml-colon", Place{s.file, line, static_cast<int>(begin) + 1, end}, "a space is missing after the colon", fmt::format("write {}: {}", key, shown));
}

Answer colon(const Scene& s) {
  if (s.problem != "mapping values are not allowed in this context") return std::nullopt;
  if (Answer answer = unspaced(s, s.line - 1)) return answer;
  const std::string before = s.words(s.first(), s.column);
  const size_t at = before.find(": ");
  if (at == std::string::npos) return indent_at(s, s.first());
  const size_t skip = before.find_first_not_of(' ', at + 1);
  const int begin = s.first() + static_cast<int>(decode_utf8(before.substr(0, skip)).size());
  const int end = static_cast<int>(s.source.size()) + 1;
  return make("yaml-colon", s.place(begin, end), "a plain value cannot contain \": \"", fmt::format("quote it: \"{}\"", s.shown(begin, end)));
}

Answer missing_colon(const Scene& s) {
  if (s.problem != "could not find expected ':'") return std::nullopt;
  if (Answer answer = unspaced(s, s.context_line)) return answer;
  const std::string_view line = line_of(s.text, s.context_line);
  Place place = s.began();
  place.end_column = static_cast<int>(decode_utf8(line).size()) + 1;
  return make("yaml-colon", place, fmt::format("\"{}\" is no key", s.problems.shown(place, trim(line))), "a key is written with a colon and a space: key: value");
}

Answer mixed(const Scene& s) {
  if (s.problem == "did not find expected '-' indicator") {
    return make("yaml-mixed", s.noticed(), "a list has items only, but here stands something else at the level of its \"-\"", "indent it below an item, or make it an item");
  }
  const bool dash = s.at(s.column) == '-' && (s.at(s.column + 1) == ' ' || s.at(s.column + 1) == U'\0');
  if (s.problem == "did not find expected key" && dash) {
    return make("yaml-mixed", s.place(s.column, s.column + 1), "a list item stands among the keys of a mapping", "indent it below the key it belongs to");
  }
  if (s.problem == "block sequence entries are not allowed in this context") {
    return make("yaml-mixed", s.place(s.column, s.column + 1), "a list cannot begin on the line of its key", "start it on the next line");
  }
  return std::nullopt;
}

Answer indent(const Scene& s) {
  if (s.problem != "did not find expected key" && s.problem != "did not find expected <document start>") return std::nullopt;
  if (s.column != s.first()) return std::nullopt;
  return indent_at(s, s.column);
}

Answer encoding(const Scene& s, const yaml_parser_t& parser) {
  if (parser.error != YAML_READER_ERROR) return std::nullopt;
  const bool control = s.problem.find("control characters") != std::string_view::npos;
  Place place = place_of_offset(s.file, s.text, std::min(parser.problem_offset, s.text.size()));
  if (!control) return make("yaml-encoding", place, "the file is not UTF-8 from here on", "save it as UTF-8");
  return make("yaml-encoding", place, fmt::format("a control character (U+{:04X}) cannot stand in a configuration", parser.problem_value), "remove it");
}

// libyaml's own words, with the place where the construct began.
Problem plain_words(const Scene& s) {
  Problem problem = make("yaml-syntax", s.noticed(), fmt::format("not valid YAML: {}", s.problem.empty() ? "cannot be read" : s.problem), {});
  if (s.context.empty()) return problem;
  problem.hint = std::string(s.context);
  if (s.context_line != s.line) {
    problem.second = s.began();
    problem.second_label = "which began here";
  }
  return problem;
}

std::string_view view(const char* text) { return text == nullptr ? std::string_view() : text; }

// Which bytes of every four are zero, as a share of all of the beginning: text in UTF-16 and UTF-32 is half or more zeros.
std::string_view guess_encoding(std::string_view text) {
  text = text.substr(0, std::min<size_t>(text.size(), 1024) & ~size_t{3});
  size_t zeros[4] = {};
  for (size_t i = 0; i < text.size(); ++i) zeros[i % 4] += text[i] == '\0' ? 1 : 0;
  const size_t all = text.size() / 4;
  const auto most = [&](size_t at) { return all > 0 && zeros[at] * 10 > all * 6; };
  const auto few = [&](size_t at) { return zeros[at] * 10 < all * 2; };
  if (most(1) && zeros[2] == all && zeros[3] == all && few(0)) return "UTF-32LE";
  if (zeros[0] == all && zeros[1] == all && most(2) && few(3)) return "UTF-32BE";
  if (most(1) && most(3) && few(0) && few(2)) return "UTF-16LE";
  if (most(0) && most(2) && few(1) && few(3)) return "UTF-16BE";
  return {};
}

std::string_view encoding_of(std::string_view text) {
  constexpr std::pair<std::string_view, std::string_view> marks[] = {
      {{"\xFF\xFE\0\0", 4}, "UTF-32LE"}, {{"\0\0\xFE\xFF", 4}, "UTF-32BE"}, {"\xFF\xFE", "UTF-16LE"}, {"\xFE\xFF", "UTF-16BE"}};
  for (const auto& [mark, name] : marks) {
    if (text.starts_with(mark)) return name;
  }
  return guess_encoding(text);
}

}  // namespace

std::optional<Problem> foreign_encoding(const std::string& file, std::string_view text) {
  const std::string_view name = encoding_of(text);
  if (name.empty()) return std::nullopt;
  return make("yaml-encoding", Place{file, 0, 0, 0}, fmt::format("the file is {}; a configuration is UTF-8", name),
              fmt::format("save it as UTF-8, or: iconv -f {} -t UTF-8 {} > NEW", name, file));
}

Place place_of_offset(const std::string& file, std::string_view text, size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const auto line = static_cast<int>(std::count(before.begin(), before.end(), '\n')) + 1;
  const size_t begin = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
  return Place{file, line, static_cast<int>(decode_utf8(before.substr(begin)).size()) + 1, 0};
}

void report_trap(const std::string& file, std::string_view text, const yaml_parser_t& parser, const std::vector<Level>& levels, Problems& problems) {
  const auto number = [](size_t n) { return static_cast<int>(n) + 1; };
  Scene scene{file, text, view(parser.problem), view(parser.context), number(parser.problem_mark.line), number(parser.problem_mark.column),
              number(parser.context_mark.line), number(parser.context_mark.column), levels, problems, {}};
  scene.source = decode_utf8(line_of(text, scene.line));
  if (Answer answer = encoding(scene, parser)) {
    problems.add(std::move(*answer));
    return;
  }
  for (const auto trap : {quote, escape, alias, tab, bad_start, variable, bracket, colon, missing_colon, mixed, indent}) {
    if (Answer answer = trap(scene)) {
      problems.add(std::move(*answer));
      return;
    }
  }
  problems.add(plain_words(scene));
}

}  // namespace goma::core::yaml
