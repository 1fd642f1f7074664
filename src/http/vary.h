// SPDX-License-Identifier: Apache-2.0
//
// By which fields of the request the responses of a URL differ (RFC 9111 4.1, RFC 9110 12.5.5): names out of Vary, and
// the values that make one variant.
//
// The one idea: a value is made plain only where that cannot join what a backend keeps apart. Of Accept-Encoding only
// the set of what is accepted counts, of Accept-Language also the case does not, nor the order of what has other weights;
// of all others white space around commas and the division into lines.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "core/arena.h"
#include "http/headers.h"

namespace goma::http {

// Adds the names in a response's Vary to a list without values: lower case, each once, in order of the alphabet; those
// that are ignored (in any case) stay out.
void add_vary_names(core::Arena& arena, const Headers& response, std::span<const std::string> ignored, Headers& into);
// How many of them multiply what has to be stored (goma-config 10.13): encodings and credentials are not counted.
size_t counted_vary_names(const Headers& names);
bool same_names(const Headers& a, const Headers& b);
// What a request has under that name, all its lines.
std::string_view vary_value(core::Arena& arena, const Headers& request, std::string_view name);

}  // namespace goma::http
