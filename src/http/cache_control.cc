// SPDX-License-Identifier: Apache-2.0
//
// One walk over the directives. A number that is none counts as 0 where a smaller one is the stricter, and is ignored
// where it would loosen something.
#include "http/cache_control.h"

#include <algorithm>

#include "core/text.h"

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
  if (d.value.size() >= 2 && d.value.front() == '"' && d.value.back() == '"') d.value = d.value.substr(1, d.value.size() - 2);
  return d;
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
                                   {"no-cache", &CacheControl::no_cache},
                                   {"private", &CacheControl::is_private},
                                   {"public", &CacheControl::is_public},
                                   {"must-revalidate", &CacheControl::must_revalidate},
                                   {"proxy-revalidate", &CacheControl::proxy_revalidate},
                                   {"only-if-cached", &CacheControl::only_if_cached}};
  static constexpr Number numbers[] = {{"max-age", &CacheControl::max_age},
                                       {"s-maxage", &CacheControl::s_maxage},
                                       {"stale-while-revalidate", &CacheControl::stale_while_revalidate},
                                       {"stale-if-error", &CacheControl::stale_if_error}};
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
  if (result.given) return result;
  const Header* pragma = headers.find("Pragma");
  result.no_cache = pragma != nullptr && core::contains_token(pragma->value, "no-cache");
  return result;
}

CacheControl parse_response_cache_control(const Headers& headers) { return parse(headers); }

}  // namespace goma::http
