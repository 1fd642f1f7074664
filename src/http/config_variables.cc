// SPDX-License-Identifier: Apache-2.0
//
// A walk over the nodes: what still looks like a variable after all that are set were replaced.
#include "http/config_variables.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/secret.h"
#include "core/text.h"
#include "core/variable.h"

namespace goma::http {

namespace {

using core::VariableUse;
using core::yaml::Node;

// Keys whose values have braces of their own: parameters of paths and hosts, regular expressions, templates.
constexpr std::string_view braced_keys[] = {"path", "paths", "hosts", "host", "rewrite", "metricsPath", "pattern", "pathPattern", "replacement", "claimsExpression", "headers", "query"};

bool is_off(const Node& mapping) {
  const Node* enabled = mapping.find("enabled");
  if (enabled == nullptr || !enabled->is_scalar()) return false;
  return core::iequals(enabled->text, "false") || core::iequals(enabled->text, "no") || core::iequals(enabled->text, "off");
}

// Capital letters, as names of variables are written; at least three, because {ID} is more often something else.
bool is_capital(std::string_view name) {
  return name.size() >= 3 && std::none_of(name.begin(), name.end(), [](char c) { return c >= 'a' && c <= 'z'; });
}

// {NAME} without a '$'.
bool is_bare_variable(std::string_view text, const VariableUse& use, std::string_view key, bool secret) {
  if (secret && use.begin == 0 && use.end == text.size()) return true;
  const bool braced = std::find(std::begin(braced_keys), std::end(braced_keys), key) != std::end(braced_keys);
  if (braced || !is_capital(use.name)) return false;
  const bool doubled = (use.begin > 0 && text[use.begin - 1] == '{') || (use.end < text.size() && text[use.end] == '}');
  const bool escaped = use.begin >= 2 && text[use.begin - 2] == '\\';  // \p{GREEK}
  return !doubled && !escaped;
}

// "$NAME" alone: other programs would replace it.
bool is_lone_dollar(std::string_view text) {
  if (text.size() < 4 || text.front() != '$') return false;
  const auto fits = [](char c) { return (c >= 'A' && c <= 'Z') || core::is_digit(c) || c == '_'; };
  return !core::is_digit(text[1]) && std::all_of(text.begin() + 1, text.end(), fits);
}

std::string join(const std::vector<std::string_view>& names) {
  if (names.size() == 1) return fmt::format("the variable {} is not set", names.front());
  return fmt::format("the variables {} are not set", fmt::join(names, ", "));
}

}  // namespace

void UnsetVariables::judge(const Node& scalar, Where where, core::Problems& problems) {
  const std::string_view text = scalar.text;
  std::vector<std::string_view> names;
  std::string_view odd;
  bool in_secret = where.secret, pasted = false;
  size_t at = 0;
  for (auto use = core::find_variable(text); use; use = core::find_variable(text, at)) {
    at = use->begin + (use->has_dollar ? 2 : 1);
    if (use->has_dollar ? where.key == "replacement" : !is_bare_variable(text, *use, where.key, where.secret)) continue;
    in_secret = in_secret || core::stands_as_credential(text, {use->begin, use->end});
    if (!use->is_understood) odd = text.substr(use->begin, use->end - use->begin);
    else if (source_.env(std::string(use->name))) pasted = true;
    else if (std::find(names.begin(), names.end(), use->name) == names.end()) names.push_back(use->name);
  }
  Found found{scalar.place(), {}, {}, in_secret};
  if (!names.empty()) {
    found.reason = join(names);
  } else if (!odd.empty()) {
    found.reason = fmt::format("\"{}\" is no variable that goma replaces", in_secret ? core::secret_stars : odd);
    found.hint = "write ${NAME}, or ${NAME:-default}";
  } else if (pasted) {
    found.reason = "what replaces a variable names another one, which is not replaced";
  } else if (where.secret && is_lone_dollar(text)) {
    found.in_secret = false;  // it may be the secret itself
    found.reason = "$NAME without braces is no variable";
    found.hint = "if one is meant, write ${NAME}";
  } else {
    return;
  }
  problems.explain(found.place, found.reason);
  found_.push_back(std::move(found));
}

// What is switched off asks for nothing, and keys that begin with "x-" are notes: what an alias takes from them is met
// where the alias stands.
void UnsetVariables::walk(const Node& node, Where where, core::Problems& problems) {
  if (node.is_scalar()) return judge(node, where, problems);
  for (const Node* item : node.items) walk(*item, where, problems);
  if (is_off(node)) return;
  for (const core::yaml::Pair& pair : node.pairs) {
    if (pair.key->text.starts_with("x-") || pair.key->text == "metadata") continue;
    judge(*pair.key, {}, problems);
    walk(*pair.value, {pair.key->text, where.secret || core::names_secret(pair.key->text)}, problems);
  }
}

void UnsetVariables::look(const Node& root, core::Problems& problems) { walk(root, {}, problems); }

void UnsetVariables::tell(core::Problems& problems) const {
  for (const Found& found : found_) {
    if (problems.has_error_at(found.place)) continue;
    core::Problem problem;
    problem.severity = found.in_secret ? core::Severity::error : core::Severity::warning;
    problem.code = "unset-variable";
    problem.place = found.place;
    problem.message = found.in_secret ? fmt::format("{}, so the secret is a text that everybody knows", found.reason) : fmt::format("{}, so the text stays as it is", found.reason);
    problem.hint = !found.hint.empty() ? found.hint : found.in_secret ? "set it in the environment of goma" : "set it, or write ${NAME:-default}";
    problems.add(std::move(problem));
  }
}

}  // namespace goma::http
