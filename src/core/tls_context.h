// SPDX-License-Identifier: Apache-2.0
//
// TLS contexts: a certificate with its key and the rules of a handshake, made once and used by many sessions. Made
// from texts, never from files, so that any process can make them from a bundle.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/result.h"

struct ssl_ctx_st;

namespace goma::core {

// What both sides may agree on. Names as OpenSSL writes them; empty means Mozilla's intermediate profile.
struct TlsPolicy {
  std::string min_version;  // "1.2" or "1.3"
  std::string ciphers;      // of TLS 1.2
  std::string curves;
};

class TlsContext {
 public:
  explicit TlsContext(ssl_ctx_st* context) : context_(context) {}  // takes the reference
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;
  ~TlsContext();
  // Sessions keep a reference of their own.
  ssl_ctx_st* get() const { return context_; }

 private:
  ssl_ctx_st* context_;
};

}  // namespace goma::core
