// SPDX-License-Identifier: Apache-2.0
//
// What a response cache says about a response: X-Cache-Status and X-Goma-Cache as Goma's clients know them (goma-config
// 10.13), and Cache-Status (RFC 9211).
#pragma once

#include <cstdint>
#include <string_view>

#include "http/exchange.h"

namespace goma::http {

enum class CacheWord : unsigned char {
  hit,
  miss,
  bypass,       // the cache had no part in it
  stale,        // served although it was no longer fresh
  revalidated,  // the backend said that it is still good
  expired,      // it was no longer fresh, and the backend gave another
};
// "HIT" and so on; in lower case for metrics.
std::string_view cache_word(CacheWord word);
std::string_view cache_outcome(CacheWord word);

struct CacheReport {
  CacheWord word = CacheWord::bypass;
  std::string_view reason;  // of a bypass
  int64_t lifetime_s = 0;   // of the stored response
  int64_t age_s = 0;
  bool stored = false;      // or about to be
  bool collapsed = false;   // somebody else's fetch was waited for
};

// Removes what another cache or nobody said under these names.
void drop_cache_words(Headers& headers);
// Adds what there is to say; all_of_it: or only X-Goma-Cache and X-Goma-Cache-Max-Age.
void add_cache_words(core::Arena& arena, const CacheReport& report, bool all_of_it, Headers& into);

}  // namespace goma::http
