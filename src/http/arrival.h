// SPDX-License-Identifier: Apache-2.0
//
// How a client came in: where from, and what its TLS handshake settled.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/socket.h"

namespace goma::http {

// A verified certificate of a client, as backends are told.
struct ClientCertificate {
  std::string subject;      // RFC 2253
  std::string issuer;
  std::string serial;       // hexadecimal
  std::string fingerprint;  // SHA-256, hexadecimal
};

// What a TLS handshake settled; lives as long as the connection.
struct TlsFacts {
  std::string_view version;  // "TLSv1.3", static text
  std::string_view cipher;   // static text
  std::unique_ptr<ClientCertificate> client;  // null: none was given
  uint64_t client_rule = 0;  // which rule for client certificates this handshake satisfied; 0: none applied
  bool resumed = false;
};

// Who comes in, known before the first request.
struct Arrival {
  core::Address peer;              // of the socket, or what a trusted proxy told in its PROXY header
  std::unique_ptr<TlsFacts> tls;   // null: plain
};

}  // namespace goma::http
