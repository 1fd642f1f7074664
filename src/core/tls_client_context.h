// SPDX-License-Identifier: Apache-2.0
//
// The client's side of TLS contexts: what a connection to a backend believes and how it shows itself. Made from texts,
// so that any process can make them from a bundle. The name a certificate must be for belongs to a connection, not
// to a context (TlsSession::connect).
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/result.h"
#include "core/tls_context.h"

struct x509_store_st;

namespace goma::core {

// Certificate authorities, parsed once and shared by every context that believes them.
class TlsRoots {
 public:
  // From PEM; whatever else the text holds is skipped. Error: invalid, when it holds no certificate.
  static Result<std::shared_ptr<const TlsRoots>> parse(std::string_view pem);
  TlsRoots(const TlsRoots&) = delete;
  TlsRoots& operator=(const TlsRoots&) = delete;
  ~TlsRoots();

  x509_store_st* store() const { return store_; }
  size_t count() const { return count_; }

 private:
  explicit TlsRoots(x509_store_st* store) : store_(store) {}
  x509_store_st* store_;
  size_t count_ = 0;
};

// Versions of TLS that are spoken; 1.2 is the oldest there is.
enum class TlsVersion : unsigned char { v1_2, v1_3 };
struct TlsVersions {
  TlsVersion oldest = TlsVersion::v1_2, newest = TlsVersion::v1_3;
};

// A context for connections to servers, TLS 1.2 and later, that keeps the newest session of every server in its
// TlsResumption. roots null: any certificate is accepted. certificate (a chain, as PEM) and key are shown to servers
// that ask; both may be empty. Error: invalid, saying which of the two is wrong and how.
Result<std::shared_ptr<const TlsContext>> make_client_context(const TlsRoots* roots, std::string_view certificate, std::string_view key, TlsVersions versions = {});

// SHA-256 of the text, hexadecimal.
std::string sha256_hex(std::string_view text);

}  // namespace goma::core
