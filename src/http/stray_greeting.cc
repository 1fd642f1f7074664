// SPDX-License-Identifier: Apache-2.0
//
// Three beginnings that no request has.
#include "http/stray_greeting.h"

#include "core/proxy_protocol.h"

namespace goma::http {

namespace {

constexpr ParseError tls{400, "tls", "a TLS handshake on a port without TLS"};
constexpr ParseError proxy_header{400, "proxy-header", "a PROXY header that is not expected from here"};
constexpr ParseError http2_preface{505, "http2-preface", "HTTP/2 is not spoken here"};

// A record of type handshake, of any version since SSL 3.0 (RFC 8446 5.1).
bool is_handshake(std::string_view begin) { return begin.starts_with('\x16') && (begin.size() == 1 || begin[1] == 3); }

}  // namespace

const ParseError* stray_greeting(std::string_view begin) {
  if (is_handshake(begin)) return &tls;
  if (core::begins_as_proxy_header(begin)) return &proxy_header;
  return begin.starts_with("PRI * HTTP/2.0\r\n") ? &http2_preface : nullptr;  // RFC 9113 3.4
}

}  // namespace goma::http
