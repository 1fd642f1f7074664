// SPDX-License-Identifier: Apache-2.0
//
// What messages say about being stored and used again: Cache-Control (RFC 9111 5.2, RFC 5861), the fields of RFC 9213 that
// are meant for this cache, and Pragma where there is none.
//
// The one idea: whatever can be read in two ways is read in the way that stores and reuses less. Directives that
// contradict each other, numbers that are none, a quote that does not end: all of it makes a response older, never
// younger.
#pragma once

#include <cstdint>
#include <string_view>

#include "http/headers.h"

namespace goma::http {

struct CacheControl {
  static constexpr int64_t absent = -1;
  static constexpr int64_t longest = int64_t{1} << 31;  // RFC 9111 1.2.2: what is larger counts as this

  bool given = false;  // there was a field
  bool no_store = false;
  bool no_cache = false;
  bool is_private = false;
  bool names_fields = false;  // no-cache or private holds for some fields alone: see drop_named_fields
  bool is_public = false;
  bool must_revalidate = false;
  bool proxy_revalidate = false;
  bool only_if_cached = false;
  bool must_understand = false;
  bool targeted = false;  // said for this cache alone: Cache-Control and Expires do not count (RFC 9213 2.1)
  bool any_staleness = false;  // max-stale without a number
  // Seconds, or absent.
  int64_t max_age = absent;
  int64_t s_maxage = absent;
  int64_t max_stale = absent;
  int64_t min_fresh = absent;
  int64_t stale_while_revalidate = absent;
  int64_t stale_if_error = absent;
};

// Of all Cache-Control fields together; Pragma: no-cache of a request counts when there is none (RFC 9111 5.4).
CacheControl parse_request_cache_control(const Headers& headers);
// Of a response the first of Goma-CDN-Cache-Control and CDN-Cache-Control that can be read, else Cache-Control.
CacheControl parse_response_cache_control(const Headers& headers);
// Removes the fields that `private` or `no-cache` names (RFC 9111 5.2.2.4, 5.2.2.7): those are not kept.
void drop_named_fields(Headers& fields);

// Calls visit(item) for every non-empty item of a comma-separated field, over all its lines (RFC 9110 5.6.1).
template <class Visit>
void each_list_item(const Headers& headers, HeaderId id, Visit visit);

// A number of seconds: digits only; absent when it is none.
int64_t parse_delta_seconds(std::string_view text);

// ---------------------------------------------------------------- how

// Takes the next item off a list; separators within quotes do not separate. unclosed: a quote did not end.
std::string_view take_list_item(std::string_view& list, bool& unclosed, std::string_view separators = ",");

template <class Visit>
void each_list_item(const Headers& headers, HeaderId id, Visit visit) {
  for (const Header& h : headers) {
    if (h.id != id) continue;
    std::string_view rest = h.value;
    bool unclosed = false;
    while (!rest.empty()) {
      const std::string_view item = take_list_item(rest, unclosed);
      if (!item.empty()) visit(item);
    }
  }
}

}  // namespace goma::http
