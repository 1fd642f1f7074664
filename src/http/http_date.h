// SPDX-License-Identifier: Apache-2.0
//
// Dates of HTTP (RFC 9110 5.6.7): the form everybody writes, and the two old ones everybody must still read. What is
// none of the three has no value: the caller decides what that means.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace goma::http {

// Seconds since the Unix epoch. now_s places the two-digit years of RFC 850: at most 50 years ahead.
std::optional<int64_t> parse_http_date(std::string_view text, int64_t now_s);

}  // namespace goma::http
