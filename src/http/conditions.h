// SPDX-License-Identifier: Apache-2.0
//
// Conditional requests (RFC 9110 13) as a cache meets them: those of clients, answered from a stored response, and
// what a 304 of the backend changes in one (RFC 9111 4.3).
#pragma once

#include <cstdint>
#include <string_view>

#include "http/message.h"

namespace goma::http {

// Whether the request asks for anything but the whole representation, whatever it is: a part of it, or under a condition.
bool has_conditions(const Headers& request);
// Whether what the client has is what these fields of a 200 describe: its answer is 304 then. If-None-Match is compared
// weakly; If-Modified-Since counts only without it (RFC 9110 13.1.3).
bool is_not_modified(const Headers& request, const Headers& stored, int64_t now_s);
// Whether an entity tag is one of a list, weakly compared (RFC 9110 8.8.3.2); "*" is every one.
bool matches_etag(std::string_view list, std::string_view etag);
// Whether a 304 has to have this field of the 200 (RFC 9110 15.4.5).
bool belongs_to_304(HeaderId id, std::string_view name);
// Whether a stored response keeps its own field when it is freshened by a 304 (RFC 9111 3.2): what tells how its bytes are
// to be read.
bool outlives_304(HeaderId id);

}  // namespace goma::http
