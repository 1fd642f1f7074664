// SPDX-License-Identifier: Apache-2.0
//
// Claims: request fields by which a proxy tells a backend who the client is, how it came, and what it asked for.
// Backends believe them, so only a trusted proxy may send one. The table in claims.cc lists them all.
//
// The invariant: a name is compared as a backend may read it. CGI, WSGI and their heirs make one variable of
// X-Real-IP, x_real_ip and X.Real.IP, so any character that is no letter and no digit counts as '-'.
//
// What middlewares set in requests is like a claim on the routes that list them (OwnField); which names these are, the
// middlewares say.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "http/headers.h"

namespace goma::http {

enum class Claim : unsigned char {
  none,     // not in the table
  address,  // where the client is
  request,  // how it came and what it asked for: scheme, host, port, path
  person,   // who it is, its certificate included
};

// What a field claims, whatever its spelling.
Claim claim_of(HeaderId id, std::string_view name);

// Takes out of a request what its sender may not claim: everything, or from a trusted proxy what is spelled with other
// characters than the table's, which proxies only pass on.
void drop_claims(Headers& headers, bool trusted);

// Whether a backend may take the names for the same.
bool reads_alike(std::string_view a, std::string_view b);
// Removes all fields whose names read like this one.
void remove_alike(Headers& headers, std::string_view name);

// Takes out every claim to an address but X-Forwarded-For and X-Real-IP: what the backend answers is for others too.
void drop_addresses(Headers& headers, core::Arena& arena);
// A value of Forwarded without the parameters that say addresses (RFC 7239 5.1, 5.2); in the arena.
std::string_view forwarded_without_addresses(std::string_view value, core::Arena& arena);

// A request field that a middleware sets or removes.
struct OwnField {
  std::string name;
  bool identity = false;  // says who the client is: nobody else's reaches a backend that is told so
};

// The fields of a trailer section that may go on, in the arena: no claims, and nothing that these middlewares decide. Null:
// none.
const Headers* without_claims(const Headers& trailers, std::span<const OwnField> own, core::Arena& arena);

}  // namespace goma::http
