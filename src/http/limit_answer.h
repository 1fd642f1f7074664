// SPDX-License-Identifier: Apache-2.0
//
// What a client is told about a limit: draft-ietf-httpapi-ratelimit-headers-10, and the names that were there before it.
// Of several limits on one request every one is in RateLimit and RateLimit-Policy, and the X- fields tell of the
// one that has least left.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "http/exchange.h"
#include "http/limiter.h"

namespace goma::http {

class LimitAnswer {
 public:
  LimitAnswer() = default;
  // quota: what RateLimit-Policy promises per window; capacity: what X-RateLimit-Limit says. Silent without `headers`.
  LimitAnswer(std::string_view name, int64_t quota, int64_t window_s, int64_t capacity, bool headers);

  void describe(Exchange& x, const LimitDecision& decision) const;
  // Answers with Retry-After.
  Verdict refuse(Exchange& x, int status, std::string_view message, int64_t wait_ns) const;
  // 503, and counts it: Redis does not answer, and the limit says "deny".
  Verdict deny(Exchange& x, const LimitDecision& decision) const;

 private:
  std::string name_;    // a structured-field string
  std::string policy_;
  std::string limit_;
  bool headers_ = true;
};

}  // namespace goma::http
