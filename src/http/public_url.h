// SPDX-License-Identifier: Apache-2.0
//
// URLs that clients are sent to or that other services are told: what the client asked for, in its own words. The
// host in them comes from the client, so it is used only where the route serves that host; otherwise a configured one
// takes its place and nobody is redirected to a stranger.
#pragma once

#include <string_view>

#include "http/exchange.h"

namespace goma::http {

// host[:port] for a URL of this exchange: the request's when the route's hosts allow it or the route has none, else
// the first of the route's hosts that is no pattern. Empty when the request has none and the route neither.
std::string_view public_host(const Exchange& x);

// The host[:port] without a port that the scheme has by default, or that nothing stands behind the colon of (RFC 3986
// 3.2.3, 6.2.3).
std::string_view without_default_port(std::string_view host, std::string_view scheme);
// For a redirect from one scheme to the other: neither's default port is one where the other is spoken.
std::string_view without_default_port(std::string_view host);

// scheme://host/path?query of the request in its canonical encoded form, in the exchange's arena.
std::string_view public_url(Exchange& x, std::string_view scheme, std::string_view host);

// The text as the value of a query parameter: letters, digits and -._~ stay, a blank becomes '+', every other byte %XX.
std::string_view escape_query(core::Arena& arena, std::string_view text);

// The query without parameters of that (decoded) name; pieces are taken apart at '&' and ';', because some backends
// do. The view itself when there are none.
std::string_view without_parameter(core::Arena& arena, std::string_view query, std::string_view name);

}  // namespace goma::http
