// SPDX-License-Identifier: Apache-2.0
//
// From brace to brace: an identifier behind one makes a variable of it.
#include "core/variable.h"

#include "core/text.h"

namespace goma::core {

namespace {

bool is_name_start(char c) { return is_alpha(c) || c == '_'; }

size_t name_length(std::string_view text) {
  if (text.empty() || !is_name_start(text.front())) return 0;
  size_t n = 1;
  while (n < text.size() && (is_name_start(text[n]) || is_digit(text[n]))) ++n;
  return n;
}

// Where the brace that is open at the front is closed; npos when it is not.
size_t closing_brace(std::string_view text) {
  size_t depth = 1;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '{') ++depth;
    if (text[i] == '}' && --depth == 0) return i;
  }
  return std::string_view::npos;
}

// What the brace at `open` begins; nothing when it is only a brace.
std::optional<VariableUse> variable_at(std::string_view text, size_t open, bool dollar) {
  const size_t n = name_length(text.substr(open + 1));
  if (n == 0) return std::nullopt;
  VariableUse use;
  use.begin = open - (dollar ? 1 : 0);
  use.name = text.substr(open + 1, n);
  use.has_dollar = dollar;
  const std::string_view behind = text.substr(open + 1 + n);
  use.end = open + 1 + n + 1;
  if (behind.starts_with('}')) return use;
  const size_t close = dollar ? closing_brace(behind) : std::string_view::npos;
  if (close == std::string_view::npos) return std::nullopt;
  use.end = open + 1 + n + close + 1;
  use.has_fallback = behind.starts_with(":-");
  use.is_understood = use.has_fallback;
  if (use.has_fallback) use.fallback = behind.substr(2, close - 2);
  return use;
}

}  // namespace

std::optional<VariableUse> find_variable(std::string_view text, size_t from) {
  for (size_t open = text.find('{', from); open != std::string_view::npos; open = text.find('{', open + 1)) {
    const bool dollar = open > from && text[open - 1] == '$';
    if (auto use = variable_at(text, open, dollar)) return use;
  }
  return std::nullopt;
}

bool only_names_variables(std::string_view text) {
  bool any = false;
  std::string rest;
  size_t at = 0;
  for (auto use = find_variable(text); use && use->is_understood && !use->has_fallback && use->has_dollar; use = find_variable(text, at)) {
    rest += text.substr(at, use->begin - at);
    at = use->end;
    any = true;
  }
  rest += text.substr(at);
  const std::string_view word = trim(rest);
  for (const std::string_view scheme : {"", "Bearer", "Basic", "Token"}) {
    if (any && iequals(word, scheme)) return true;
  }
  return false;
}

}  // namespace goma::core
