// SPDX-License-Identifier: Apache-2.0
//
// Whether a response may be stored, for how long it is fresh, how old it is, and whether it may answer a request (RFC
// 9111 3 and 4, RFC 5861). Numbers in, numbers out: nothing here knows where responses lie.
//
// The invariant: all times are whole seconds; ages are rounded up and lifetimes down, so that nothing is served a
// second too long.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "http/cache_control.h"
#include "http/message.h"

namespace goma::http {

// What the operator says about freshness.
struct FreshnessRule {
  enum class Ttl : unsigned char {
    rfc,         // as the response says, at most max_s; one that says nothing for a tenth of its age (RFC 9111 4.2.2)
    goma,        // as the response says, at most max_s; one that says nothing is fresh for max_s
    overriding,  // max_s, whatever the response says
  };
  struct Negative {
    int status;
    int64_t ttl_s;
  };
  Ttl ttl = Ttl::rfc;
  int64_t max_s = CacheControl::longest;
  int64_t stale_while_revalidate_s = 0;  // where the response says nothing about it
  int64_t stale_if_error_s = 0;
  int64_t max_stale_s = 0;               // the most a request's max-stale gets; 0: what it asks for
  std::vector<Negative> negative;        // statuses with a lifetime of their own
};

// How long a stored response may be used. Kept with it.
struct Freshness {
  int64_t age_s = 0;       // when it was received
  int64_t lifetime_s = 0;  // from the age of 0
  int64_t stale_while_revalidate_s = 0;
  int64_t stale_if_error_s = 0;
  bool must_revalidate = false;  // never stale, whoever asks
  bool for_anyone = false;       // also to requests with Authorization (RFC 9111 3.5)
};

// When a response was asked for and arrived; wall clock, seconds.
struct Exchanged {
  int64_t asked_s = 0;
  int64_t received_s = 0;
};

// The status codes that may ever be stored: final, understood, complete, and no refusal of how a request was written.
bool is_storable_status(int status);
// Whether a response that says nothing may be stored by its status alone (RFC 9110 15.1).
bool is_heuristic_status(int status);

// Why this response may not be stored by a cache that many clients share; empty: it may. personal: the entry is kept
// for these credentials alone, so `private` does not forbid it.
std::string_view why_not_stored(int status, const CacheControl& request, const CacheControl& response, const Headers& headers, bool personal);

// Requires: why_not_stored() is empty. A lifetime that is not above the age: it is stale already; is_of_use() tells then
// whether storing it is worth while.
Freshness freshness_of(int status, const CacheControl& response, const Headers& headers, const FreshnessRule& rule, Exchanged when);

// Whether it can answer anything: as it is, stale, or once it was validated. Of one that says nothing the status must
// allow it, or `public` (RFC 9111 3).
bool is_of_use(int status, const CacheControl& response, const Headers& headers, const FreshnessRule& rule, const Freshness& freshness);

// RFC 9111 4.2.3, for one that was received so many milliseconds ago.
int64_t current_age_s(const Freshness& freshness, int64_t resident_ms);

enum class Use : unsigned char {
  fresh,
  stale,       // the request or nothing else but the rules allow it as it is
  background,  // now, while it is validated
  validate,    // not before it was validated
};
// How a stored response of that age answers a request.
Use use_of(const Freshness& freshness, int64_t age_s, const CacheControl& request, const FreshnessRule& rule);
// Whether it may stand in for an error of the backend.
bool serves_errors(const Freshness& freshness, int64_t age_s);

}  // namespace goma::http
