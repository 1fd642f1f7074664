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

// RFC 9111 5.1: of several the first counts; what is no number is ignored.
int64_t age_field(const Headers& headers) {
  const Header* age = headers.find(HeaderId::age);
  if (age == nullptr) return 0;
  return std::max<int64_t>(0, parse_delta_seconds(core::trim(age->value.substr(0, age->value.find(',')))));
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
  return response.targeted ? std::nullopt : expires_lifetime(headers, received_s);
}

// RFC 9111 4.2.2.
int64_t heuristic_lifetime(int status, bool is_public, const Headers& headers, int64_t received_s) {
  if (!is_public && !is_heuristic_status(status)) return 0;
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

template <size_t N>
bool is_one_of(const int (&statuses)[N], int status) {
  return std::find(std::begin(statuses), std::end(statuses), status) != std::end(statuses);
}

// Whether its meaning for caches is known here (RFC 9111 3): those that RFC 9110 defines, and that goma stores.
bool is_understood(int status) {
  constexpr int others[] = {201, 202, 205, 302, 303, 307, 401, 402, 403, 406, 407, 408, 409, 411, 412, 415, 416, 417, 421, 422, 426, 500, 502, 503, 504, 505};
  return is_heuristic_status(status) || is_one_of(others, status);
}

bool has_item(const Headers& headers, HeaderId id, std::string_view wanted) {
  bool found = false;
  each_list_item(headers, id, [&](std::string_view item) { found |= item == wanted; });
  return found;
}

}  // namespace

bool is_storable_status(int status) {
  constexpr int never[] = {206, 304, 400, 413, 431};
  return status >= 200 && status <= 599 && !is_one_of(never, status);
}

bool is_heuristic_status(int status) {
  constexpr int by_default[] = {200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501};
  return is_one_of(by_default, status);
}

std::string_view why_not_stored(int status, const CacheControl& request, const CacheControl& response, const Headers& headers, bool personal) {
  if (request.no_store) return "request no-store";
  if (response.must_understand && !is_understood(status)) return "must-understand";
  if (response.no_store && !response.must_understand) return "no-store";
  if (response.is_private && !personal) return "private";
  if (headers.find(HeaderId::set_cookie) != nullptr) return "Set-Cookie";
  if (headers.find(HeaderId::www_authenticate) != nullptr) return "WWW-Authenticate";
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
  if (rule.ttl == FreshnessRule::Ttl::overriding || (!told && (negative || rule.ttl == FreshnessRule::Ttl::goma))) {
    f.lifetime_s = f.age_s + most_s;
  } else {
    f.lifetime_s = std::min(told ? *told : heuristic_lifetime(status, response.is_public, headers, when.received_s), most_s);
  }
  f.for_anyone = response.is_public || response.must_revalidate || response.s_maxage != CacheControl::absent;
  f.must_revalidate = response.must_revalidate || response.proxy_revalidate || response.no_cache;
  if (response.no_cache) f.lifetime_s = 0;
  if (f.must_revalidate) return f;
  // RFC 9111 5.2.2.10: s-maxage forbids staleness, but for what the same response allows.
  const bool by_rule = response.s_maxage == CacheControl::absent;
  const auto window = [by_rule](int64_t said, int64_t ruled) { return said != CacheControl::absent ? said : by_rule ? ruled : 0; };
  f.stale_while_revalidate_s = window(response.stale_while_revalidate, rule.stale_while_revalidate_s);
  f.stale_if_error_s = window(response.stale_if_error, rule.stale_if_error_s);
  f.must_revalidate = !by_rule && f.stale_while_revalidate_s == 0 && f.stale_if_error_s == 0;
  return f;
}

bool is_of_use(int status, const CacheControl& response, const Headers& headers, const FreshnessRule& rule, const Freshness& f) {
  if (rule.ttl == FreshnessRule::Ttl::rfc && !response.is_public && !is_heuristic_status(status) && !negative_ttl(rule, status) && !told_lifetime(response, headers, 0)) return false;
  if (headers.find(HeaderId::etag) != nullptr || headers.find(HeaderId::last_modified) != nullptr) return true;
  const int64_t stale_s = f.must_revalidate ? 0 : std::max(f.stale_while_revalidate_s, f.stale_if_error_s);
  return f.lifetime_s + stale_s > f.age_s;
}

int64_t current_age_s(const Freshness& freshness, int64_t resident_ms) { return freshness.age_s + std::max<int64_t>(0, resident_ms) / 1000; }

Use use_of(const Freshness& freshness, int64_t age_s, const CacheControl& request, const FreshnessRule& rule) {
  if (request.no_cache) return Use::validate;
  if (request.max_age != CacheControl::absent && (age_s > request.max_age || request.max_age == 0) && request.max_stale == CacheControl::absent && !request.any_staleness) return Use::validate;
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
