// SPDX-License-Identifier: Apache-2.0
//
// Comparing validators.
#include "http/conditions.h"

#include <optional>

#include "core/text.h"
#include "http/http_date.h"

namespace goma::http {

namespace {

std::string_view without_weakness(std::string_view etag) { return etag.starts_with("W/") ? etag.substr(2) : etag; }

// The next entity tag of a list, commas inside of it included; empty at the end.
std::string_view take_etag(std::string_view& list) {
  while (!list.empty() && (list.front() == ',' || core::is_space(list.front()))) list.remove_prefix(1);
  const size_t quote = list.find('"');
  const size_t comma = list.find(',');
  size_t end = comma;
  if (quote != std::string_view::npos && quote < comma) {
    const size_t closing = list.find('"', quote + 1);
    end = closing == std::string_view::npos ? closing : closing + 1;
  }
  const std::string_view etag = core::trim(list.substr(0, end));
  list = end == std::string_view::npos ? std::string_view() : list.substr(end);
  return etag;
}

}  // namespace

bool has_conditions(const Headers& request) {
  constexpr HeaderId ids[] = {HeaderId::if_none_match, HeaderId::if_modified_since, HeaderId::if_match, HeaderId::if_unmodified_since, HeaderId::range, HeaderId::if_range};
  for (const HeaderId id : ids) {
    if (request.find(id) != nullptr) return true;
  }
  return false;
}

bool matches_etag(std::string_view list, std::string_view etag) {
  if (core::trim(list) == "*") return true;
  if (etag.empty()) return false;
  while (true) {
    const std::string_view one = take_etag(list);
    if (one.empty()) return false;
    if (without_weakness(one) == without_weakness(etag)) return true;
  }
}

bool is_not_modified(const Headers& request, const Headers& stored, int64_t now_s) {
  if (request.find(HeaderId::if_none_match) != nullptr) {
    for (const Header& h : request) {
      if (h.id == HeaderId::if_none_match && matches_etag(h.value, stored.get(HeaderId::etag))) return true;
    }
    return false;
  }
  const Header* since = request.find(HeaderId::if_modified_since);
  if (since == nullptr) return false;
  const std::optional<int64_t> known = parse_http_date(since->value, now_s);
  const std::string_view modified = stored.get(HeaderId::last_modified);
  const std::optional<int64_t> changed = parse_http_date(modified.empty() ? stored.get(HeaderId::date) : modified, now_s);
  return known && changed && *changed <= *known;
}

bool belongs_to_304(HeaderId id, std::string_view name) {
  switch (id) {
    case HeaderId::cache_control:
    case HeaderId::date:
    case HeaderId::etag:
    case HeaderId::expires:
    case HeaderId::last_modified:
    case HeaderId::vary: return true;
    case HeaderId::other: return core::iequals(name, "Content-Location") || core::istarts_with(name, "Access-Control-");
    default: return false;
  }
}

bool outlives_304(HeaderId id) {
  switch (id) {
    case HeaderId::content_encoding:
    case HeaderId::content_range:
    case HeaderId::content_length:
    case HeaderId::set_cookie: return true;
    default: return false;
  }
}

}  // namespace goma::http
