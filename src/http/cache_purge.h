// SPDX-License-Identifier: Apache-2.0
//
// Purging by request: "PURGE /path" from whoever knows the token. The URL of the request is purged, or what X-Purge says:
// "prefix" for everything below its path, "tag NAME", or "all". On every host, as gomactl cache purge does it.
#pragma once

#include <string_view>

#include "http/exchange.h"
#include "http/response_store.h"

namespace goma::http {

// Whether it is one. Without a token nobody may purge, and PURGE is a method like any other.
inline bool is_purge(const Exchange& x, std::string_view token) { return !token.empty() && x.request().method_text == "PURGE"; }

// Answers: 200 with what was purged, 400, or 403 when "Authorization: Bearer TOKEN" is not what is expected.
Verdict purge_by_request(Exchange& x, ResponseStore& store, const StoreQuestion& question, std::string_view token);

}  // namespace goma::http
