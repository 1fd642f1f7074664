// SPDX-License-Identifier: Apache-2.0
//
// A certificate with its chain and its key: what a server shows to prove its names. Read from PEM texts; what is wrong
// with them is told with its cure, because certificates are exchanged in a hurry.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/ocsp.h"

struct x509_st;
struct evp_pkey_st;

namespace goma::core {

class TlsIdentity {
 public:
  // What is wrong, and what to do about it.
  struct Fault {
    std::string code;     // "bad-certificate", "bad-key", "key-mismatch", "chain-order"
    std::string message;  // "holds no certificate"
    std::string hint;     // "openssl x509 -in FILE -noout -text shows it"
    bool in_key = false;  // the key is to blame, not the certificate
  };
  // The chain begins with the certificate of the key and leads upwards.
  static std::variant<TlsIdentity, Fault> parse(std::string_view chain, std::string_view key);
  // A certificate and key made now: EC P-256, one year, CN "GOMA DEFAULT CERT", names localhost. PEM of both.
  static std::string self_signed();

  TlsIdentity(TlsIdentity&& other) noexcept;
  TlsIdentity& operator=(TlsIdentity&& other) noexcept;
  ~TlsIdentity();

  // Lower case host names of the certificate, wildcards as "*.example.com"; the common name only when there are no
  // alternative names (RFC 6125 6.4.4).
  const std::vector<std::string>& names() const { return names_; }
  std::string issuer() const;            // RFC 2253
  int64_t not_before() const { return not_before_; }  // Unix seconds
  int64_t not_after() const { return not_after_; }
  bool is_rsa() const;
  const std::string& fingerprint() const { return fingerprint_; }  // SHA-256, 32 bytes

  // The authority's word that is shown with it; empty: none.
  const OcspStaple& staple() const { return staple_; }
  void set_staple(OcspStaple staple) { staple_ = std::move(staple); }

  x509_st* certificate() const { return chain_.front(); }
  const std::vector<x509_st*>& chain() const { return chain_; }  // the certificate first
  evp_pkey_st* key() const { return key_; }

 private:
  TlsIdentity() = default;
  void read_names();
  void add_name(std::string_view name);

  std::vector<x509_st*> chain_;
  evp_pkey_st* key_ = nullptr;
  std::vector<std::string> names_;
  std::string fingerprint_;
  OcspStaple staple_;
  int64_t not_before_ = 0;
  int64_t not_after_ = 0;
};

}  // namespace goma::core
