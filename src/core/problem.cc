// SPDX-License-Identifier: Apache-2.0
//
// Telling findings. A source line on its way to the reader is made harmless twice: control characters become '?',
// and secrets become stars, both those that the reader of the file declared (hide) and those that the line itself gives
// away, because a line with a typing mistake in "password" is shown before anybody understood it.
#include "core/problem.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include "core/text.h"

namespace goma::core {

namespace {

constexpr size_t longest_kept_line = 65536;
constexpr int longest_shown_line = 160;
constexpr size_t longest_quote = 80;
constexpr size_t longest_sentence = 800;

const char* word(Severity severity) { return severity == Severity::error ? "error" : "warning"; }

bool is_control(char32_t c) { return c < 0x20 || (c >= 0x7f && c < 0xa0); }

// A sentence as it may be shown: what it quotes is cut to a sensible length, and no byte of it steers a terminal.
void tidy(std::string& text) {
  std::string out;
  size_t quoted = 0;  // characters since the quote began, it included
  size_t cut = 0;
  for (const char32_t c : decode_utf8(std::string_view(text).substr(0, longest_kept_line))) {
    if (out.size() > longest_sentence) {
      out += "...";
      break;
    }
    const bool ends = c == '"' && quoted > 0;
    quoted = ends || (c != '"' && quoted == 0) ? 0 : quoted + 1;
    if (quoted > longest_quote + 1) {
      ++cut;
      continue;
    }
    if (std::exchange(cut, 0) > 0) out += "...";
    append_utf8(out, is_control(c) ? U'?' : c);
  }
  text = std::move(out);
}

}  // namespace

std::string Place::text() const {
  std::string text = file;
  tidy(text);
  return line == 0 ? text : fmt::format("{}:{}:{}", text, line, column);
}

void Problems::remember(const std::string& file, std::string_view text) {
  const size_t order = files_.size();
  const auto [entry, added] = files_.try_emplace(file);
  if (!added) return;
  entry->second.text = text;
  entry->second.order = order;
}

void Problems::hide(const Place& place, int end_line, int end_column) {
  if (!place.known() || place.line == 0) return;
  for (int line = place.line; line <= end_line; ++line) {
    const int begin = line == place.line ? place.column : 1;
    const int end = line == end_line ? end_column : std::numeric_limits<int>::max();
    if (begin < end) hidden_[{place.file, line}].push_back({begin, end});
  }
}

void Problems::explain(const Place& place, std::string reason) { reasons_.try_emplace(place.text(), std::move(reason)); }

bool Problems::has_error_at(const Place& place) const { return faulty_.contains(place.text()); }

std::string_view Problems::line_of(File& file, int line) const {
  if (file.lines.empty()) {
    file.lines.push_back(0);
    for (size_t at = file.text.find('\n'); at != std::string_view::npos; at = file.text.find('\n', at + 1)) file.lines.push_back(at + 1);
  }
  const auto index = static_cast<size_t>(line - 1);
  if (line <= 0 || index >= file.lines.size()) return {};
  std::string_view text = file.text.substr(file.lines[index]);
  text = text.substr(0, std::min({text.find('\n'), text.size(), longest_kept_line}));
  if (text.ends_with('\r')) text.remove_suffix(1);
  return text;
}

const Problems::Line* Problems::keep_line(const Place& place) {
  const auto found = files_.find(place.file);
  if (found == files_.end() || place.line <= 0) return nullptr;
  File& file = found->second;
  const auto [entry, added] = file.kept.try_emplace(place.line);
  Line& kept = entry->second;
  if (!added) return &kept;
  if (file.secrets == nullptr) file.secrets = std::make_unique<SecretLines>(file.text);
  const std::string_view text = line_of(file, place.line);
  kept.text = text;
  const auto column = [text](size_t offset) { return static_cast<int>(decode_utf8(text.substr(0, offset)).size()) + 1; };
  for (const SecretSpan& span : file.secrets->of(place.line)) kept.secrets.push_back({column(span.begin), column(span.end)});
  return &kept;
}

std::string Problems::shown(const Place& place, std::string_view text) {
  const Line* line = keep_line(place);
  if (line == nullptr) return std::string(text);
  const int end = std::max(place.end_column, place.column + 1);
  const std::vector<Range> hidden = hidden_in(place, line->secrets);
  const bool secret = std::any_of(hidden.begin(), hidden.end(), [&](const Range& range) { return range.begin < end && place.column < range.end; });
  return secret ? std::string(secret_stars) : std::string(text);
}

void Problems::conceal(const Place& place, std::string_view text) { concealed_.try_emplace(place.text(), text); }

namespace {

// As sentences quote it. What they say without quotes they answer for: the path of a key.
void conceal_in(std::string& sentence, std::string_view text) {
  const std::string quoted = fmt::format("\"{}\"", text), stars = fmt::format("\"{}\"", secret_stars);
  for (size_t at = sentence.find(quoted); at != std::string::npos; at = sentence.find(quoted, at + stars.size())) sentence.replace(at, quoted.size(), stars);
}

}  // namespace

// Takes what may not be read out of the sentences.
void Problems::clean(Problem& problem, const std::string& at) const {
  const auto concealed = concealed_.find(at);
  const auto wash = [&](std::string& sentence) {
    if (concealed != concealed_.end()) conceal_in(sentence, concealed->second);
    sentence = without_credentials(sentence);
  };
  for (std::string* sentence : {&problem.message, &problem.hint}) wash(*sentence);
  for (std::string& note : problem.notes) wash(note);
  const bool told = concealed != concealed_.end() && problem.suggestion.find(concealed->second) != std::string::npos;
  problem.suggestion = told ? std::string() : without_credentials(problem.suggestion);
}

void Problems::add(Problem problem) {
  const std::string at = problem.place.text();
  clean(problem, at);
  if (const auto reason = reasons_.find(at); reason != reasons_.end() && problem.message.find(reason->second) == std::string::npos) {
    problem.hint = reason->second;
    problem.suggestion.clear();
  }
  for (std::string* text : {&problem.message, &problem.hint, &problem.suggestion, &problem.second_label}) tidy(*text);
  for (std::string& note : problem.notes) tidy(note);
  if (!seen_.insert(fmt::format("{}\n{}\n{}", at, problem.code, problem.message)).second) return;
  if (problem.severity == Severity::error) faulty_.insert(at);
  ++(problem.severity == Severity::error ? errors_ : warnings_);
  if (list_.size() >= kept_at_most) {
    seen_.clear();
    faulty_.clear();
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

// Sorted, and joined where they touch.
std::vector<Problems::Range> Problems::hidden_in(const Place& place, const std::vector<Range>& more) const {
  std::vector<Range> ranges = more;
  const auto hidden = hidden_.find({place.file, place.line});
  if (hidden != hidden_.end()) ranges.insert(ranges.end(), hidden->second.begin(), hidden->second.end());
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
  std::vector<Range> joined;
  for (const Range& range : ranges) {
    if (!joined.empty() && range.begin <= joined.back().end) joined.back().end = std::max(joined.back().end, range.end);
    else joined.push_back(range);
  }
  return joined;
}

std::u32string Problems::masked(const Place& place, std::u32string line, const std::vector<Range>& secrets, Range& token) const {
  const std::vector<Range> ranges = hidden_in(place, secrets);
  const std::u32string stars = decode_utf8(secret_stars);
  for (auto range = ranges.rbegin(); range != ranges.rend(); ++range) {  // from the right, so that earlier columns stay true
    const int end = std::min(range->end, static_cast<int>(line.size()) + 1);
    if (range->begin >= end) continue;
    line.replace(static_cast<size_t>(range->begin - 1), static_cast<size_t>(end - range->begin), stars);
    const int moved = static_cast<int>(stars.size()) - (end - range->begin);
    if (token.begin >= end) {
      token.begin += moved;
      token.end += moved;
    } else if (token.end > range->begin) {
      token.begin = std::min(token.begin, range->begin);
      token.end = std::max(token.end, end) + moved;
    }
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
  std::u32string line = masked(place, decode_utf8(kept->second.text), kept->second.secrets, token);
  if (token.begin > static_cast<int>(line.size()) + 1) return;
  line = window(std::move(line), token.begin, token.end);
  const std::string gutter = fmt::format("{:>6} | ", place.line);
  out += gutter;
  std::string under;
  for (size_t i = 0; i < line.size(); ++i) {
    append_utf8(out, is_control(line[i]) && line[i] != '\t' ? U'?' : line[i]);
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
