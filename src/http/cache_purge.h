// SPDX-License-Identifier: Apache-2.0
//
// Purging by request: "PURGE /path" from whoever knows the token. The URL of the request is purged, or what X-Purge says:
// "prefix" for everything below its path, "tag NAME", or "all". On every host, as gomactl cache purge does it: it is
// answered when Redis has taken it, or, where Redis does not, with the promise that the others are told later.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/purge.h"
#include "core/redis.h"
#include "http/await.h"
#include "http/exchange.h"
#include "http/response_store.h"

namespace goma::http {

// Whether it is one. Without a token nobody may purge, and PURGE is a method like any other.
inline bool is_purge(const Exchange& x, std::string_view token) { return !token.empty() && x.request().method_text == "PURGE"; }

// Whether it has "Authorization: Bearer TOKEN" with this token.
bool may_purge(const Exchange& x, std::string_view token);
// What it wants purged; nothing where X-Purge makes no sense.
std::optional<core::Purge> purge_of(const Exchange& x, const StoreQuestion& question);

struct PurgeOutcome {
  std::string purged;  // Purge::text()
  bool told = true;    // false: other hosts are yet to be told
};

// Purges on this host and tells the others, where there are any. What Redis did not take in the lifetime of this is owed.
class PurgeEverywhere final : public Operation<PurgeOutcome> {
 public:
  PurgeEverywhere(Exchange& x, ResponseStore& store, core::Purge purge);
  ~PurgeEverywhere();
  void start();
  void expire() { end(false); }
  int64_t limit_ms() const { return 10'000; }  // Redis answers, or says that it does not, within its own time
  std::string_view what() const { return "redis"; }

 private:
  void on_result(const core::RedisResult& result) { end(result.ok()); }
  void end(bool told);
  void owe();

  Exchange& x_;
  core::CacheZone& zone_;
  const core::Purge purge_;
  core::RedisCall call_;
  uint64_t number_ = 0;
};

// 200 with what was purged, or 202 when other hosts are yet to be told.
Verdict answer_purge(Exchange& x, const PurgeOutcome& outcome);

}  // namespace goma::http
