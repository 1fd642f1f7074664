// SPDX-License-Identifier: Apache-2.0
//
// TLS contexts: a certificate with its key and the rules of a handshake, made once and used by many sessions. Made
// from texts, never from files, so that any process can make them from a bundle.
//
// The invariant: all server contexts of a site have the same policy, because OpenSSL takes versions, groups and ticket
// keys from the context a session began with, and only the rest from the one that was chosen by name.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

struct ssl_ctx_st;
struct ssl_st;
struct x509_store_st;
struct stack_st_X509_NAME;

namespace goma::core {

class Staples;
class TlsIdentity;
class TlsTickets;

// What both sides may agree on. Names as OpenSSL writes them; empty means Mozilla's intermediate profile.
struct TlsPolicy {
  std::string min_version;  // "1.2" or "1.3"
  std::string ciphers;      // of TLS 1.2
  std::string curves;
};

// What a server asks of clients: nothing, a certificate if they have one, or a certificate.
class TlsClientRule {
 public:
  TlsClientRule() = default;  // nothing
  // Certificates must lead to one of the authorities. Error: invalid, when the text holds none.
  static Result<TlsClientRule> parse(std::string_view authorities, bool required);
  TlsClientRule(TlsClientRule&& other) noexcept;
  TlsClientRule& operator=(TlsClientRule&& other) noexcept;
  ~TlsClientRule();

  // Tells rules apart, also those of different processes and generations; 0: nothing is asked.
  uint64_t id() const { return id_; }
  bool required() const { return required_; }

 private:
  friend class TlsContext;
  x509_store_st* authorities_ = nullptr;
  stack_st_X509_NAME* names_ = nullptr;  // told to clients
  uint64_t id_ = 0;
  bool required_ = false;
};

class TlsContext {
 public:
  explicit TlsContext(ssl_ctx_st* context) : context_(context) {}  // takes the reference
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;
  ~TlsContext();

  // A server's context with one identity for each kind of key; they outlive the handshakes. http2: HTTP/2 is offered by
  // ALPN. A session under one client rule is never resumed under another. tickets and staples may be null; else they outlive the sessions. staples
  // has responses that go before an identity's own. Error: invalid, naming what OpenSSL does not know or want.
  static Result<std::unique_ptr<TlsContext>> server(const TlsPolicy& policy, std::span<const TlsIdentity* const> identities,
                                                    const TlsClientRule& rule, bool http2, TlsTickets* tickets, const Staples* staples = nullptr);

  // Sessions keep a reference of their own.
  ssl_ctx_st* get() const { return context_; }

 private:
  static int on_status(ssl_st* ssl, void* self);

  ssl_ctx_st* context_;
  std::vector<const TlsIdentity*> identities_;
  const Staples* staples_ = nullptr;
};

}  // namespace goma::core
