// SPDX-License-Identifier: Apache-2.0
//
// What a request is to a response cache: whether it may be answered from one at all, and what makes it the same as
// another. The one idea: everything that goes to the backend and is known to change what it answers is in the key, or
// the request goes past the cache.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/exchange.h"
#include "http/response_store.h"

namespace goma::http {

struct CacheKeyRule {
  std::string middleware;           // its name
  bool with_query = true;
  std::vector<std::string> params;  // only these of the query; empty: all of it
  bool personal = false;            // credentials are part of the key; else requests with some go past the cache
};

// What tells who its client is. To be asked before anything is changed in it.
enum class Credentials : unsigned char {
  none,
  authorization,  // and nothing else: a response may say that it is for everybody (RFC 9111 3.5)
  others,
};
Credentials credentials_of(const Exchange& x);
// Why a GET or HEAD with such credentials goes past the cache; empty: it does not.
std::string_view why_past_cache(const Exchange& x, const CacheKeyRule& rule, Credentials credentials);
// The request in the store's terms; texts in the arena. fields: those of the request, to be valid as long.
StoreQuestion store_question(Exchange& x, const ResponseStore& store, const CacheKeyRule& rule, const Headers& fields);

// The same for a URL that a response names, absolute or relative to that of the request. Nothing: it is of another origin,
// or no URL.
std::optional<StoreQuestion> store_question(Exchange& x, const ResponseStore& store, const CacheKeyRule& rule, const Headers& fields, std::string_view reference);

// The same for all hosts: the key in Redis; in the arena. To be asked before anything is changed in the request.
std::string_view shared_name(Exchange& x, const CacheKeyRule& rule, const Headers& fields);
std::optional<std::string_view> shared_name(Exchange& x, const CacheKeyRule& rule, const Headers& fields, std::string_view reference);

}  // namespace goma::http
