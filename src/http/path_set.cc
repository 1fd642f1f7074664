// SPDX-License-Identifier: Apache-2.0
//
// Goma's three steps, sorted at load: what is plain text is compared as text, the rest is a regular expression, and
// what is neither is literal.
#include "http/path_set.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/text.h"

namespace goma::http {

namespace {

constexpr std::string_view specials = R"(\.+*?()|[]{}^$)";

bool is_plain(std::string_view text) { return text.find_first_of(specials) == std::string_view::npos; }

std::string quoted(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (specials.find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

// One leading slash, none doubled.
std::string collapsed(std::string_view text) {
  std::string out = "/";
  for (char c : text) {
    if (c != '/' || out.back() != '/') out += c;
  }
  return out;
}

// The route's path as a regular expression; its parameters are any segment.
std::string route_expression(std::string_view route_path) {
  std::string out;
  for (std::string_view segment : core::split(route_path, '/')) {
    if (segment.empty()) continue;
    const bool parameter = segment.size() > 2 && segment.front() == '{' && segment.back() == '}';
    out += parameter ? "/[^/]+" : "/" + quoted(segment);
  }
  return out;
}

// The path without the ";parameters" of its segments and the segments that were nothing else.
std::string without_parameters(std::string_view path) {
  std::string out;
  for (std::string_view segment : core::split(path, '/')) {
    const std::string_view name = segment.substr(0, segment.find(';'));
    if (!name.empty()) out.append("/").append(name);
  }
  if (out.empty() || path.back() == '/') out += '/';
  return out;
}

}  // namespace

std::unique_ptr<PathSet> PathSet::compile(std::span<const core::PlacedText> patterns, std::string_view route_path,
                                          Rules rules, core::Problems& problems) {
  if (patterns.empty()) return nullptr;
  std::unique_ptr<PathSet> set(new PathSet(rules.doubt));
  const std::string prefix = rules.base == Base::with_route ? route_expression(route_path) : std::string();
  for (const core::PlacedText& pattern : patterns) set->add(pattern, prefix, problems);
  return set;
}

// Steps 1 and 2 of goma-config 9.3. `prefix` is the route's path as an expression, empty when it adds nothing.
void PathSet::add(const core::PlacedText& pattern, std::string_view prefix, core::Problems& problems) {
  const std::string& text = pattern.text;
  const std::string below = collapsed(text);
  if (is_plain(text) && is_plain(prefix)) {
    add_prefix(text);
    add_prefix(std::string(prefix) + below);
    return;
  }
  if (const auto failure = add_expression(text.starts_with('^') ? text : "^" + text)) {
    problems.warning("literal-path", pattern.place,
                     fmt::format("\"{}\" is no valid regular expression and only matches literally: {}", text, failure->reason),
                     core::regex_advice(*failure));
  } else if (!text.starts_with('^')) {
    add_expression("^" + std::string(prefix) + below);
  }
  add_literal(quoted(text));
  add_literal(std::string(prefix) + quoted(below));
  if (!text.ends_with("/*")) return;
  add_expression("^" + quoted(std::string_view(text).substr(0, text.size() - 2)));
  add_expression("^" + std::string(prefix) + quoted(std::string_view(below).substr(0, below.size() - 2)));
}

void PathSet::add_prefix(std::string text) {
  if (std::find(prefixes_.begin(), prefixes_.end(), text) == prefixes_.end()) prefixes_.push_back(std::move(text));
}

void PathSet::add_literal(const std::string& expression) { add_expression("^" + expression + "$"); }

std::optional<core::Regex::Failure> PathSet::add_expression(const std::string& expression) {
  if (std::find(sources_.begin(), sources_.end(), expression) != sources_.end()) return std::nullopt;
  core::Regex regex;
  auto failure = core::Regex::compile(expression, {.ignore_case = true}, regex);
  if (failure) return failure;
  sources_.push_back(expression);
  regexes_.push_back(std::move(regex));
  return std::nullopt;
}

bool PathSet::matches_form(std::string_view path) const {
  for (const std::string& prefix : prefixes_) {
    if (core::istarts_with(path, prefix)) return true;
  }
  for (const core::Regex& regex : regexes_) {
    const core::Regex::Outcome outcome = regex.match(path);
    if (outcome == core::Regex::Outcome::match || (outcome != core::Regex::Outcome::no_match && doubt_ == Doubt::matches)) return true;
  }
  return false;
}

bool PathSet::matches_reading(std::string_view path) const {
  const bool whole = matches_form(path);
  if (whole == (doubt_ == Doubt::matches) || path.find(';') == std::string_view::npos) return whole;
  return matches_form(without_parameters(path));
}

bool PathSet::matches(const CanonicalPath& path) const {
  if (!path.ok) return doubt_ == Doubt::matches;
  const auto judge = [this](std::string_view reading) { return matches_reading(reading); };
  return doubt_ == Doubt::matches ? path.any(judge) : path.all(judge);
}

}  // namespace goma::http
