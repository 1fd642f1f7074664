// SPDX-License-Identifier: Apache-2.0
//
// Telling findings. A source line on its way to the reader is made harmless twice: control characters become '?',
// and secrets become stars, both those a table declared (hide) and those a key's name gives away, because a line
// with a typing mistake in "password" is shown before any table understood it.
#include "core/problem.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "core/text.h"

namespace goma::core {

namespace {

constexpr size_t longest_kept_line = 65536;
constexpr int longest_shown_line = 160;
constexpr std::u32string_view stars = U"*******";

const char* word(Severity severity) { return severity == Severity::error ? "error" : "warning"; }

}  // namespace

std::string Place::text() const {
  if (line == 0) return file;
  return fmt::format("{}:{}:{}", file, line, column);
}

void Problems::remember(const std::string& file, std::string_view text) {
  const size_t order = files_.size();
  const auto [entry, added] = files_.try_emplace(file);
  if (!added) return;
  entry->second.text = text;
  entry->second.order = order;
}

void Problems::hide(const Place& place) {
  if (!place.known() || place.line == 0) return;
  hidden_[{place.file, place.line}].push_back({place.column, std::max(place.end_column, place.column + 1)});
}

void Problems::keep_line(const Place& place) {
  const auto found = files_.find(place.file);
  if (found == files_.end() || place.line <= 0) return;
  File& file = found->second;
  if (file.kept.count(place.line) != 0) return;
  if (file.lines.empty()) {
    file.lines.push_back(0);
    for (size_t at = file.text.find('\n'); at != std::string_view::npos; at = file.text.find('\n', at + 1)) file.lines.push_back(at + 1);
  }
  const auto index = static_cast<size_t>(place.line - 1);
  if (index >= file.lines.size()) return;
  std::string_view line = file.text.substr(file.lines[index]);
  line = line.substr(0, std::min({line.find('\n'), line.size(), longest_kept_line}));
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  file.kept.emplace(place.line, line);
}

void Problems::add(Problem problem) {
  if (!seen_.insert(fmt::format("{}\n{}\n{}", problem.place.text(), problem.code, problem.message)).second) return;
  ++(problem.severity == Severity::error ? errors_ : warnings_);
  if (list_.size() >= kept_at_most) {
    seen_.clear();
    return;
  }
  keep_line(problem.place);
  if (problem.second) keep_line(*problem.second);
  list_.push_back(std::move(problem));
  sorted_ = false;
}

void Problems::error(std::string code, Place place, std::string message, std::string hint) {
  Problem problem;
  problem.code = std::move(code);
  problem.place = std::move(place);
  problem.message = std::move(message);
  problem.hint = std::move(hint);
  add(std::move(problem));
}

void Problems::warning(std::string code, Place place, std::string message, std::string hint) {
  Problem problem;
  problem.severity = Severity::warning;
  problem.code = std::move(code);
  problem.place = std::move(place);
  problem.message = std::move(message);
  problem.hint = std::move(hint);
  add(std::move(problem));
}

void Problems::make_strict() {
  for (Problem& problem : list_) problem.severity = Severity::error;
  errors_ += warnings_;
  warnings_ = 0;
}

void Problems::sort() const {
  if (sorted_) return;
  const auto key = [this](const Problem& problem) {
    const auto file = files_.find(problem.place.file);
    const size_t order = file == files_.end() ? files_.size() : file->second.order;
    return std::make_tuple(order, problem.place.file, problem.place.line, problem.place.column);
  };
  std::stable_sort(list_.begin(), list_.end(), [&](const Problem& a, const Problem& b) { return key(a) < key(b); });
  sorted_ = true;
}

const std::vector<Problem>& Problems::list() const {
  sort();
  return list_;
}

bool names_secret(std::string_view key) {
  for (std::string_view part : {"password", "passwd", "pasword", "passwort", "secret", "token", "bindpass", "apikey", "hmackey", "credential"}) {
    if (icontains(key, part)) return true;
  }
  return false;
}

namespace {

bool is_key_char(char32_t c) { return c < 0x80 && (is_alpha(static_cast<char>(c)) || is_digit(static_cast<char>(c)) || c == '_' || c == '-'); }

// Where a value that begins at `begin` ends on its line: before ',' '}' ']' of a flow collection, or a comment.
size_t value_end(const std::u32string& line, size_t begin) {
  if (begin < line.size() && (line[begin] == '"' || line[begin] == '\'')) {
    const size_t close = line.find(line[begin], begin + 1);
    return close == std::u32string::npos ? line.size() : close + 1;
  }
  const bool flow = line.find(U'{') < begin;
  size_t end = begin;
  while (end < line.size() && !(flow && (line[end] == ',' || line[end] == '}')) && !(line[end] == '#' && line[end - 1] == ' ')) ++end;
  while (end > begin && line[end - 1] == ' ') --end;
  return end;
}

// Adds the ranges [begin, end) of values whose key, or whose place in a URL, gives them away.
template <class Add>
void find_secrets(const std::u32string& line, Add add) {
  for (size_t colon = line.find(U':'); colon != std::u32string::npos; colon = line.find(U':', colon + 1)) {
    size_t begin = colon;
    while (begin > 0 && is_key_char(line[begin - 1])) --begin;
    const std::string key(line.begin() + static_cast<std::ptrdiff_t>(begin), line.begin() + static_cast<std::ptrdiff_t>(colon));
    size_t value = colon + 1;
    while (value < line.size() && line[value] == ' ') ++value;
    if (value > colon + 1 && value < line.size() && line[value] != '{' && line[value] != '[' && names_secret(key)) add(value, value_end(line, value));
  }
  for (size_t mark = line.find(U"://"); mark != std::u32string::npos; mark = line.find(U"://", mark + 3)) {
    const size_t end = std::min(line.find_first_of(U"/?# \"'", mark + 3), line.size());
    const size_t at = line.rfind(U'@', end);
    const size_t colon = line.find(U':', mark + 3);
    if (at != std::u32string::npos && at > mark && colon < at) add(colon + 1, at);
  }
}

}  // namespace

std::u32string Problems::masked(const Place& place, std::u32string line, Range& token) const {
  std::vector<Range> ranges;
  const auto hidden = hidden_.find({place.file, place.line});
  if (hidden != hidden_.end()) ranges = hidden->second;
  find_secrets(line, [&](size_t begin, size_t end) { ranges.push_back({static_cast<int>(begin) + 1, static_cast<int>(end) + 1}); });
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.begin > b.begin; });
  int done = static_cast<int>(line.size()) + 2;  // from the right, so that earlier columns stay true
  for (const Range& range : ranges) {
    const int end = std::min(range.end, static_cast<int>(line.size()) + 1);
    if (end > done || range.begin >= end) continue;
    line.replace(static_cast<size_t>(range.begin - 1), static_cast<size_t>(end - range.begin), stars);
    const int moved = static_cast<int>(stars.size()) - (end - range.begin);
    if (token.begin >= end) {
      token.begin += moved;
      token.end += moved;
    } else if (token.end > range.begin) {
      token.begin = std::min(token.begin, range.begin);
      token.end = std::max(token.end, end) + moved;
    }
    done = range.begin;
  }
  return line;
}

namespace {

// Cuts a long line to a window in which the token begins.
std::u32string window(std::u32string line, int& begin, int& end) {
  if (static_cast<int>(line.size()) <= longest_shown_line) return line;
  const int skip = std::max(0, begin - longest_shown_line / 2);
  line = line.substr(static_cast<size_t>(skip), static_cast<size_t>(longest_shown_line));
  begin -= skip;
  end = std::min(end - skip, static_cast<int>(line.size()) + 1);
  return line;
}

}  // namespace

void Problems::render_line(const Place& place, char first, char rest, const std::string& label, std::string& out) const {
  const auto file = files_.find(place.file);
  if (file == files_.end()) return;
  const auto kept = file->second.kept.find(place.line);
  if (kept == file->second.kept.end()) return;
  Range token{place.column, std::max(place.end_column, place.column + 1)};
  std::u32string line = masked(place, decode_utf8(kept->second), token);
  if (token.begin > static_cast<int>(line.size()) + 1) return;
  line = window(std::move(line), token.begin, token.end);
  const std::string gutter = fmt::format("{:>6} | ", place.line);
  out += gutter;
  std::string under;
  for (size_t i = 0; i < line.size(); ++i) {
    const bool control = (line[i] < 0x20 && line[i] != '\t') || (line[i] >= 0x7f && line[i] < 0xa0);
    append_utf8(out, control ? U'?' : line[i]);
    if (static_cast<int>(i) + 1 < token.begin) under.push_back(line[i] == '\t' ? '\t' : ' ');
  }
  under.push_back(first);
  under.append(static_cast<size_t>(std::max(0, token.end - token.begin - 1)), rest);
  out += fmt::format("\n{:>{}}{}{}{}\n", "| ", gutter.size(), under, label.empty() ? "" : " ", label);
}

void Problems::render_one(const Problem& problem, std::string& out) const {
  const bool in_line = problem.place.line > 0;
  out += fmt::format("{}: {}: {}  [{}]\n", problem.place.known() ? problem.place.text() : "goma", word(problem.severity), problem.message, problem.code);
  const size_t before = out.size();
  if (in_line) render_line(problem.place, '^', '~', problem.hint, out);
  if (out.size() == before && !problem.hint.empty()) out += fmt::format("       = {}\n", problem.hint);
  if (problem.second) {
    const bool elsewhere = problem.second->file != problem.place.file;
    if (elsewhere) out += fmt::format("       = {}: {}\n", problem.second_label, problem.second->text());
    render_line(*problem.second, '-', '-', elsewhere ? std::string() : problem.second_label, out);
  }
  for (const std::string& note : problem.notes) out += fmt::format("       = {}\n", note);
}

std::string Problems::render() const {
  std::string out;
  const size_t shown = std::min(list().size(), shown_at_most);
  for (size_t i = 0; i < shown; ++i) render_one(list_[i], out);
  const size_t total = errors_ + warnings_;
  if (total > shown) out += fmt::format("goma: {} more findings are not shown\n", total - shown);
  return out;
}

std::string Problems::render_json() const {
  std::string out = "[";
  const size_t shown = std::min(list().size(), shown_at_most);
  for (size_t i = 0; i < shown; ++i) {
    const Problem& p = list_[i];
    out += fmt::format("{}\n  {{\"file\": {}, \"line\": {}, \"column\": {}, \"end\": {}, \"severity\": \"{}\", \"code\": {}, \"message\": {}, \"suggestion\": {}}}",
                       i == 0 ? "" : ",", json_quote(p.place.file), p.place.line, p.place.column, p.place.end_column, word(p.severity),
                       json_quote(p.code), json_quote(p.message), p.suggestion.empty() ? "null" : json_quote(p.suggestion));
  }
  return out + (shown == 0 ? "]\n" : "\n]\n");
}

std::string Problems::summary(const std::string& file) const {
  if (empty()) return fmt::format("goma: {}: ok", file);
  std::string out = fmt::format("goma: {}: ", file);
  if (errors_ > 0) out += fmt::format("{} error{}", errors_, errors_ == 1 ? "" : "s");
  if (errors_ > 0 && warnings_ > 0) out += ", ";
  if (warnings_ > 0) out += fmt::format("{} warning{}", warnings_, warnings_ == 1 ? "" : "s");
  return out;
}

}  // namespace goma::core
