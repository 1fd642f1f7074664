// SPDX-License-Identifier: Apache-2.0
//
// One walk over the directives. A number that is none counts as 0 where a smaller one is the stricter, and is ignored
// where it would loosen something.
#include "http/cache_control.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "core/text.h"
#include "http/h1_parser.h"
#include "http/structured.h"

namespace goma::http {

namespace {

struct Directive {
  std::string_view name;
  std::string_view value;  // without its quotes
  bool has_value = false;
};

// name[=token | =quoted-string]; white space around '=' is no part of either, and makes the value none (RFC 9111 5.2).
Directive take_apart(std::string_view item) {
  const size_t equals = item.find('=');
  if (equals == std::string_view::npos) return {item, {}, false};
  Directive d{core::trim(item.substr(0, equals)), item.substr(equals + 1), true};
  if (equals != 0 && core::is_space(item[equals - 1])) d.value = " ";
  if (d.value.size() >= 2 && d.value.front() == '"' && d.value.back() == '"') d.value = d.value.substr(1, d.value.size() - 2);
  return d;
}

// A list of field names, which alone are meant then.
bool are_names(std::string_view list) {
  bool any = false, unclosed = false;
  while (!list.empty()) {
    const std::string_view name = take_list_item(list, unclosed);
    if (name.empty()) continue;
    if (!std::all_of(name.begin(), name.end(), is_token_char)) return false;
    any = true;
  }
  return any;
}

// The stricter of two numbers of which the smaller is.
void lower_to(int64_t& into, int64_t value) {
  value = std::max<int64_t>(value, 0);
  into = into == CacheControl::absent ? value : std::min(into, value);
}

void read(const Directive& d, CacheControl& into) {
  struct Flag {
    std::string_view name;
    bool CacheControl::* member;
  };
  struct Number {
    std::string_view name;
    int64_t CacheControl::* member;
  };
  static constexpr Flag flags[] = {{"no-store", &CacheControl::no_store},
                                   {"public", &CacheControl::is_public},
                                   {"must-revalidate", &CacheControl::must_revalidate},
                                   {"proxy-revalidate", &CacheControl::proxy_revalidate},
                                   {"only-if-cached", &CacheControl::only_if_cached},
                                   {"must-understand", &CacheControl::must_understand}};
  static constexpr Number numbers[] = {{"max-age", &CacheControl::max_age},
                                       {"s-maxage", &CacheControl::s_maxage},
                                       {"stale-while-revalidate", &CacheControl::stale_while_revalidate},
                                       {"stale-if-error", &CacheControl::stale_if_error}};
  const bool no_cache = core::iequals(d.name, "no-cache");
  if (no_cache || core::iequals(d.name, "private")) {
    if (are_names(d.value)) into.names_fields = true;
    else (no_cache ? into.no_cache : into.is_private) = true;
    return;
  }
  for (const Flag& flag : flags) {
    if (core::iequals(d.name, flag.name)) into.*flag.member = true;
  }
  for (const Number& number : numbers) {
    if (core::iequals(d.name, number.name)) lower_to(into.*number.member, parse_delta_seconds(d.value));
  }
  const int64_t value = parse_delta_seconds(d.value);
  if (core::iequals(d.name, "max-stale")) {
    if (!d.has_value) into.any_staleness = true;
    else lower_to(into.max_stale, value);
  }
  if (core::iequals(d.name, "min-fresh") && value > into.min_fresh) into.min_fresh = value;
}

CacheControl parse(const Headers& headers) {
  CacheControl result;
  if (headers.find(HeaderId::cache_control) == nullptr) return result;
  result.given = true;
  for (const Header& h : headers) {
    if (h.id != HeaderId::cache_control) continue;
    std::string_view rest = h.value;
    bool unclosed = false;
    while (!rest.empty()) {
      const std::string_view item = take_list_item(rest, unclosed, ",;");  // ';' is wrong, and meant as ','
      if (!item.empty()) read(take_apart(item), result);
    }
    result.no_store |= unclosed;  // nobody knows what the quote swallowed
  }
  if (result.max_stale != CacheControl::absent) result.any_staleness = false;
  return result;
}

// A member of a structured field as the directive it stands for; the name is empty when it has another type than its own
// (RFC 9213 2.1).
Directive directive_of(const DictionaryMember& m) {
  using Kind = DictionaryMember::Kind;
  const bool names = m.name == "no-cache" || m.name == "private";
  if (m.kind == Kind::yes) return {m.name, {}, false};
  if (m.kind == Kind::integer && !names && m.text.front() != '-') return {m.name, m.text, true};
  if (m.kind == Kind::string && names) return {m.name, m.text, true};
  return {};
}

constexpr std::string_view targets[] = {"Goma-CDN-Cache-Control", "CDN-Cache-Control"};

// The first target of the list that is there, is a dictionary and says something (RFC 9213 2.2).
const std::string_view* find_target(const Headers& headers, std::vector<DictionaryMember>& members, std::string& text) {
  if (!headers.has_any({HeaderId::other})) return nullptr;
  for (const std::string_view& target : targets) {
    text.clear();
    for (const Header& h : headers) {
      if (h.id == HeaderId::other && core::iequals(h.name, target)) text.append(text.empty() ? "" : ",").append(h.value);
    }
    if (text.empty()) continue;
    std::optional<std::vector<DictionaryMember>> parsed = parse_dictionary(text);
    if (!parsed || parsed->empty()) continue;
    members = *std::move(parsed);
    return &target;
  }
  return nullptr;
}

bool parse_targeted(const Headers& headers, CacheControl& into) {
  std::string text;
  std::vector<DictionaryMember> members;
  if (find_target(headers, members, text) == nullptr) return false;
  into.given = into.targeted = true;
  for (const DictionaryMember& m : members) {
    const Directive d = directive_of(m);
    const bool needs_value = d.name == "max-age" || d.name == "s-maxage" || d.name.starts_with("stale-");
    if (!d.name.empty() && (d.has_value || !needs_value)) read(d, into);
  }
  return true;
}

// Calls visit(name) for every field that a qualified `private` or `no-cache` names.
template <class Visit>
void each_named(const Directive& d, Visit visit) {
  if ((!core::iequals(d.name, "no-cache") && !core::iequals(d.name, "private")) || !are_names(d.value)) return;
  std::string_view list = d.value;
  bool unclosed = false;
  while (!list.empty()) {
    const std::string_view name = take_list_item(list, unclosed);
    if (!name.empty()) visit(name);
  }
}

}  // namespace

int64_t parse_delta_seconds(std::string_view text) {
  if (text.empty()) return CacheControl::absent;
  int64_t value = 0;
  for (const char c : text) {
    if (!core::is_digit(c)) return CacheControl::absent;
    value = std::min(value * 10 + (c - '0'), CacheControl::longest);
  }
  return value;
}

std::string_view take_list_item(std::string_view& list, bool& unclosed, std::string_view separators) {
  size_t at = 0;
  bool quoted = false;
  for (; at < list.size() && (quoted || separators.find(list[at]) == std::string_view::npos); ++at) {
    if (list[at] == '"') quoted = !quoted;
    else if (quoted && list[at] == '\\') ++at;
  }
  unclosed |= quoted;
  at = std::min(at, list.size());
  const std::string_view item = core::trim(list.substr(0, at));
  list.remove_prefix(std::min(at + 1, list.size()));
  return item;
}

CacheControl parse_request_cache_control(const Headers& headers) {
  CacheControl result = parse(headers);
  result.no_cache |= result.names_fields;
  if (result.given) return result;
  const Header* pragma = headers.find("Pragma");
  result.no_cache = pragma != nullptr && core::contains_token(pragma->value, "no-cache");
  return result;
}

CacheControl parse_response_cache_control(const Headers& headers) {
  CacheControl targeted;
  return parse_targeted(headers, targeted) ? targeted : parse(headers);
}

void drop_named_fields(Headers& fields) {
  std::vector<std::string> names;
  std::string text;
  std::vector<DictionaryMember> members;
  const auto add = [&names](std::string_view name) { names.emplace_back(name); };
  if (find_target(fields, members, text) != nullptr) {
    for (const DictionaryMember& m : members) each_named(directive_of(m), add);
  } else {
    each_list_item(fields, HeaderId::cache_control, [&](std::string_view item) { each_named(take_apart(item), add); });
  }
  for (const std::string& name : names) fields.remove(name);
}

}  // namespace goma::http
