// SPDX-License-Identifier: Apache-2.0
//
// A signed word of an authority about one certificate (RFC 6960), which a server shows with the certificate (RFC 6066
// 8), so that clients need not ask. Others fetch it (core/ocsp_fetch) or find it in a file; here it is judged.
//
// A file is the operator's: it is judged by certificate and time, and its signature is for clients to check. What came
// over the network is judged by its signature too.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

struct x509_st;

namespace goma::core {

struct OcspStaple {
  std::string der;
  int64_t until = 0;  // Unix seconds; shown before then only
};

// Error: invalid, when it is no response, not about this certificate, says that it is not good, or is outdated (now in
// Unix seconds).
Result<OcspStaple> read_ocsp(std::string_view der, x509_st* certificate, int64_t now);

// Whom to ask about which certificate.
struct OcspQuestion {
  std::string name;         // for messages
  std::string fingerprint;  // SHA-256 of the certificate, 32 bytes
  std::string certificate;  // DER
  std::string issuer;       // DER
  std::string responder;    // http://...
};

// The question about the first certificate of a chain; nothing when its issuer does not follow it or when it names no
// responder that can be asked without TLS.
std::optional<OcspQuestion> ocsp_question(const std::vector<x509_st*>& chain);

struct OcspAnswer {
  OcspStaple staple;
  int64_t from = 0;  // Unix seconds: when the authority knew it
  bool revoked = false;
};

// Judges what a responder said: signed by the issuer or by whom it delegated that to, about this certificate, known
// (good or revoked), and of now. Error: invalid, with what is wrong.
Result<OcspAnswer> verify_ocsp(std::string_view der, x509_st* certificate, x509_st* issuer, int64_t now);

}  // namespace goma::core
