// SPDX-License-Identifier: Apache-2.0
//
// The arithmetic of RFC 9111. A time that the operator gives runs from when the response was received; one that the
// response gives runs from when it was made.
#include "http/freshness.h"

#include <algorithm>
#include <optional>

#include "core/text.h"
#include "http/http_date.h"

namespace goma::http {

namespace {

constexpr int64_t heuristic_fraction = 10;
constexpr int64_t longest_heuristic_s = 7 * 86'400;

// RFC 9111 5.1: what is no number is ignored; of several the oldest counts.
int64_t age_field(const Headers& headers) {
  int64_t age = 0;
  for (const Header& h : headers) {
    if (h.id == HeaderId::age) age = std::max(age, parse_delta_seconds(core::trim(h.value.substr(0, h.value.find(',')))));
  }
  return age;
}

int64_t date_of(const Headers& headers, int64_t received_s) {
  return parse_http_date(headers.get(HeaderId::date), received_s).value_or(received_s);
}

int64_t initial_age_s(const Headers& headers, Exchanged when) {
  const int64_t apparent = std::max<int64_t>(0, when.received_s - date_of(headers, when.received_s));
  const int64_t corrected = age_field(headers) + std::max<int64_t>(0, when.received_s - when.asked_s);
  return std::min(std::max(apparent, corrected), CacheControl::longest);
}

// RFC 9111 5.3: a date that is none lies in the past; of several the earliest counts.
std::optional<int64_t> expires_lifetime(const Headers& headers, int64_t received_s) {
  if (headers.find(HeaderId::expires) == nullptr) return std::nullopt;
  int64_t lifetime = CacheControl::longest;
  for (const Header& h : headers) {
    if (h.id != HeaderId::expires) continue;
    const std::optional<int64_t> at = parse_http_date(h.value, received_s);
    lifetime = std::min(lifetime, at ? std::max<int64_t>(0, *at - date_of(headers, received_s)) : 0);
  }
  return lifetime;
}

// RFC 9111 4.2.1; nothing: the response does not say.
std::optional<int64_t> told_lifetime(const CacheControl& response, const Headers& headers, int64_t received_s) {
  if (response.s_maxage != CacheControl::absent) return response.s_maxage;
  if (response.max_age != CacheControl::absent) return response.max_age;
  return expires_lifetime(headers, received_s);
}

// RFC 9111 4.2.2, 9110 15.1.
int64_t heuristic_lifetime(int status, const Headers& headers, int64_t received_s) {
  constexpr int by_default[] = {200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501};
  if (std::find(std::begin(by_default), std::end(by_default), status) == std::end(by_default)) return 0;
  const std::optional<int64_t> modified = parse_http_date(headers.get(HeaderId::last_modified), received_s);
  if (!modified) return 0;
  return std::clamp<int64_t>((date_of(headers, received_s) - *modified) / heuristic_fraction, 0, longest_heuristic_s);
}

std::optional<int64_t> negative_ttl(const FreshnessRule& rule, int status) {
  for (const FreshnessRule::Negative& n : rule.negative) {
    if (n.status == status) return n.ttl_s;
  }
  return std::nullopt;
}

bool has_item(const Headers& headers, HeaderId id, std::string_view wanted) {
  bool found = false;
  each_list_item(headers, id, [&](std::string_view item) { found |= item == wanted; });
  return found;
}

}  // namespace

bool is_storable_status(int status) {
  constexpr int never[] = {206, 304, 400, 405, 413, 431};
  return status >= 200 && status <= 599 && std::find(std::begin(never), std::end(never), status) == std::end(never);
}

std::string_view why_not_stored(const CacheControl& request, const CacheControl& response, const Headers& headers, bool personal) {
  if (request.no_store) return "request no-store";
  if (response.no_store) return "no-store";
  if (response.no_cache) return "no-cache";
  if (response.is_private && !personal) return "private";
  if (headers.find(HeaderId::set_cookie) != nullptr) return "Set-Cookie";
  if (headers.find(HeaderId::www_authenticate) != nullptr) return "WWW-Authenticate";
  if (headers.find(HeaderId::content_range) != nullptr) return "partial content";
  if (has_item(headers, HeaderId::vary, "*")) return "Vary: *";
  if (core::istarts_with(headers.get(HeaderId::content_type), "text/event-stream")) return "event stream";
  return {};
}

Freshness freshness_of(int status, const CacheControl& response, const Headers& headers, const FreshnessRule& rule, Exchanged when) {
  Freshness f;
  f.age_s = initial_age_s(headers, when);
  const std::optional<int64_t> negative = negative_ttl(rule, status);
  const int64_t most_s = negative.value_or(rule.max_s);
  const std::optional<int64_t> told = told_lifetime(response, headers, when.received_s);
  if (rule.ttl == FreshnessRule::Ttl::overriding || (!told && (negative || rule.ttl == FreshnessRule::Ttl::response))) {
    f.lifetime_s = f.age_s + most_s;
  } else {
    f.lifetime_s = std::min(told ? *told : heuristic_lifetime(status, headers, when.received_s), most_s);
  }
  f.must_revalidate = response.must_revalidate || response.proxy_revalidate;
  if (f.must_revalidate) return f;
  // RFC 9111 5.2.2.10: s-maxage forbids staleness, but for what the same response allows.
  const bool by_rule = response.s_maxage == CacheControl::absent;
  const auto window = [by_rule](int64_t said, int64_t ruled) { return said != CacheControl::absent ? said : by_rule ? ruled : 0; };
  f.stale_while_revalidate_s = window(response.stale_while_revalidate, rule.stale_while_revalidate_s);
  f.stale_if_error_s = window(response.stale_if_error, rule.stale_if_error_s);
  f.must_revalidate = !by_rule && f.stale_while_revalidate_s == 0 && f.stale_if_error_s == 0;
  return f;
}

int64_t current_age_s(const Freshness& freshness, int64_t resident_ms) { return freshness.age_s + std::max<int64_t>(0, resident_ms) / 1000; }

Use use_of(const Freshness& freshness, int64_t age_s, const CacheControl& request, const FreshnessRule& rule) {
  if (request.no_cache) return Use::validate;
  if (request.max_age != CacheControl::absent && age_s > request.max_age && request.max_stale == CacheControl::absent && !request.any_staleness) return Use::validate;
  const int64_t wanted_s = std::max<int64_t>(request.min_fresh, 0);
  if (freshness.lifetime_s - age_s > wanted_s) return Use::fresh;
  if (freshness.must_revalidate || wanted_s != 0) return Use::validate;
  const int64_t stale_s = age_s - freshness.lifetime_s;
  int64_t allowed_s = request.any_staleness ? CacheControl::longest : request.max_stale;
  if (rule.max_stale_s > 0) allowed_s = std::min(allowed_s, rule.max_stale_s);
  if (stale_s <= allowed_s) return Use::stale;
  return stale_s < freshness.stale_while_revalidate_s ? Use::background : Use::validate;
}

bool serves_errors(const Freshness& freshness, int64_t age_s) {
  return !freshness.must_revalidate && age_s - freshness.lifetime_s < freshness.stale_if_error_s;
}

}  // namespace goma::http
