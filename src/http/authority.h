// SPDX-License-Identifier: Apache-2.0
//
// host[:port] (RFC 3986 3.2.2, RFC 9110 4.2 and 7.2): whatever RFC 3986 calls a host name is accepted, but for one with a comma, and
// there is one form of each. Routes, certificates' rules, cache keys and backends see that form alone, so no two of them can disagree
// about a spelling.
//
// A name is in lower case, without the dot at its end, in A-labels; what is percent-encoded without need is decoded. An
// IPv6 address is as short as it gets. A port has no leading zeros, and an empty one is none.
#pragma once

#include <string_view>

#include "core/arena.h"

namespace goma::http {

// The one form of an authority; the text itself when it has it already, which costs one pass over its bytes. Empty when it is
// refused: user information, an empty label ("a..b"), a port above 65535, raw bytes beyond ASCII, a comma (two
// names that were joined), encoded bytes that are no name to anybody (control bytes, blanks, "/", "@", ":" and other
// delimiters), names above 255 bytes.
std::string_view canonical_authority(std::string_view authority, core::Arena& arena);

struct HostPort {
  std::string_view host;  // with the brackets of an IPv6 address
  std::string_view port;  // digits; empty when absent
};
// Takes an authority apart. Requires: it is canonical, or from a configuration that was judged.
HostPort split_host_port(std::string_view authority);

// Whether two canonical authorities are the same where the scheme gives a missing port.
bool same_authority(std::string_view a, std::string_view b, std::string_view scheme);

}  // namespace goma::http
