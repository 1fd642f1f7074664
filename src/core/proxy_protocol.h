// SPDX-License-Identifier: Apache-2.0
//
// The PROXY protocol, versions 1 and 2 (haproxy.org/download/2.9/doc/proxy-protocol.txt): one header in front of a
// connection's bytes that tells whose connection it is. Reading and writing, both without a socket.
//
// A header is believed only from peers the configuration trusts; that is the caller's to know.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "core/socket.h"

namespace goma::core {

struct ProxyHeader {
  enum class State : unsigned char {
    more,  // a beginning of a header; more bytes are needed
    bad,   // no header, or one that breaks the rules
    ok,
  };
  // The longest header that is understood; a longer one (TLVs) is bad.
  static constexpr size_t max_bytes = 4096;

  State state = State::more;
  size_t length = 0;          // of the header, with ok
  bool local = false;         // a probe of the proxy itself (LOCAL), or UNKNOWN: the socket's own addresses hold
  Address source;             // the client, with ok and not local
  Address destination;        // what it connected to
};

// Looks at the first bytes of a connection.
ProxyHeader read_proxy_header(std::string_view bytes);

// Whether a connection that should have begun with something else begins with a header of either version, or the first
// five bytes of one.
bool begins_as_proxy_header(std::string_view bytes);

// A header for a connection. Addresses of different families, or none, give UNKNOWN (1) or LOCAL (2).
std::string write_proxy_header(int version, const Address& source, const Address& destination);

}  // namespace goma::core
