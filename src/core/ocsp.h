// SPDX-License-Identifier: Apache-2.0
//
// A signed word of an authority about one certificate (RFC 6960), which a server shows with the certificate (RFC 6066
// 8), so that clients need not ask. Others fetch it; here it is read and judged by certificate and time. Its
// signature is for clients to check.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

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

}  // namespace goma::core
