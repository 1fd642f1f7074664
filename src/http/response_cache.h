// SPDX-License-Identifier: Apache-2.0
//
// Answers from stored responses what was asked before (RFC 9111), on behalf of all clients of the host: what is stored
// lies in shared memory, is found by every worker and outlives each of them.
//
// The walk of a request: past the cache, or looked up. A fresh response answers. A stale one answers while an errand
// validates it, where that is allowed, or is validated first. For what is not there one request goes to the backend and
// all others wait for it. What comes back is judged when its head is there and stored while it passes.
//
// Other hosts are asked in the one that fetches (http/shared_store.h).
//
// The invariant: the response to this client never depends on storing it. It does not know how it is configured; that
// is a module's.
#pragma once

#include <bitset>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "http/byte_ranges.h"
#include "http/cache_request.h"
#include "http/cache_words.h"
#include "http/exchange.h"
#include "http/freshness.h"
#include "http/response_store.h"
#include "http/shared_store.h"

namespace goma::http {

struct ResponseCacheRule {
  CacheKeyRule key;
  FreshnessRule freshness;
  std::bitset<600> statuses;               // that may be stored
  std::vector<std::string> ignored_vary;
  std::vector<std::string> tag_fields;     // of responses; what they list can be purged by
  uint64_t most_bytes = UINT64_MAX;        // of one body
  int64_t coalesce_ms = 5'000;             // how long to wait for another request's fetch; 0: nobody does
  bool ignores_requests = false;           // what requests say about caching
  SharedRule shared;
  std::string purge_token;                 // who knows it may purge; empty: nobody
  bool status_headers = true;              // X-Cache-Status and Cache-Status
};

// One configured cache. Const while serving, like the middleware that owns it and passes its calls on.
class ResponseCache {
 public:
  explicit ResponseCache(ResponseCacheRule rule) : s_(std::move(rule)) {}

  Verdict on_request(Exchange& x) const;
  Verdict on_response(Exchange& x) const;
  BodyFilter* filter_body(Exchange& x) const;

 private:
  struct Work;  // what one request's walk has come to

  Work* work(Exchange& x) const;
  Verdict purge(Exchange& x, Work& w) const;
  Verdict purged(Exchange& x, const struct PurgeOutcome& outcome) const;
  Verdict past(Work& w, std::string_view reason) const;
  Verdict found(Exchange& x, const StorePlace& place) const;
  Verdict fetch(Exchange& x, Work& w) const;
  Verdict fetch_for_one(Exchange& x, Work& w) const;
  Verdict go(Exchange& x, Work& w) const;
  Verdict waited(Exchange& x, const Waited& waited) const;
  Verdict serve(Exchange& x, Work& w, CacheWord word) const;
  Verdict serve_parts(Exchange& x, const Work& w, RangeWish wish, const std::vector<ByteRange>& ranges, const Headers& fields) const;
  void describe_stored(Exchange& x, const Work& w, Headers& reply) const;
  bool send_errand(Exchange& x, Work& w) const;
  void ask_for_change(Exchange& x, Work& w) const;
  Verdict judge(Exchange& x, Work& w) const;
  Verdict freshen(Exchange& x, Work& w) const;
  bool update(Exchange& x, Work& w, const Headers& news) const;
  void compare_head(Exchange& x, Work& w) const;
  bool plan(Exchange& x, Work& w) const;
  void describe(Exchange& x, const CacheReport& report, Headers& into) const;
  Verdict shared(Exchange& x, const SharedAnswer& answer) const;
  void pass(Exchange& x, Work& w) const;
  void invalidate(Exchange& x, Work& w) const;
  void put_shared(Exchange& x, Work& w) const;
  int64_t age_s(const Work& w) const;

  ResponseCacheRule s_;
};

}  // namespace goma::http
