// SPDX-License-Identifier: Apache-2.0
//
// Owning an SSL_CTX, and setting up a server's.
#include "core/tls_context.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cstring>
#include <ctime>

#include "core/check.h"
#include "core/staples.h"
#include "core/tls.h"
#include "core/tls_identity.h"
#include "core/tls_tickets.h"

namespace goma::core {

namespace {

// Mozilla's intermediate profile without the finite-field exchanges, whose cost a stranger chooses (CVE-2002-20001).
constexpr const char* usual_ciphers =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr const char* usual_curves = "X25519:prime256v1:secp384r1";
constexpr int deepest_chain = 8;
constexpr long session_seconds = 6L * 3600;

constexpr unsigned char with_http2[] = {2, 'h', '2', 8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
constexpr unsigned char without_http2[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

// Nothing of what OpenSSL says is left for others to find.
Error complaint(std::string text) {
  ERR_clear_error();
  return Error{Code::invalid, std::move(text), 0};
}

// The server's order decides; without an overlap the handshake ends (RFC 7301 3.2).
template <const auto& Offered>
int choose_protocol(SSL*, const unsigned char** out, unsigned char* length, const unsigned char* in, unsigned n, void*) {
  unsigned char* chosen = nullptr;
  const int found = SSL_select_next_proto(&chosen, length, Offered, sizeof Offered, in, n);
  *out = chosen;
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

Result<void> apply(SSL_CTX* context, const TlsPolicy& policy) {
  SSL_CTX_set_min_proto_version(context, policy.min_version == "1.3" ? TLS1_3_VERSION : TLS1_2_VERSION);
  const char* ciphers = policy.ciphers.empty() ? usual_ciphers : policy.ciphers.c_str();
  if (SSL_CTX_set_cipher_list(context, ciphers) != 1) return complaint("ciphers has none that OpenSSL knows");
  const char* curves = policy.curves.empty() ? usual_curves : policy.curves.c_str();
  if (SSL_CTX_set1_groups_list(context, curves) != 1) return complaint("curves has a name that OpenSSL does not know");
  return {};
}

Result<void> add(SSL_CTX* context, const TlsIdentity& identity) {
  STACK_OF(X509)* issuers = sk_X509_new_null();
  for (size_t i = 1; i < identity.chain().size(); ++i) sk_X509_push(issuers, identity.chain()[i]);
  const int good = SSL_CTX_use_cert_and_key(context, identity.certificate(), identity.key(), issuers, 1);
  sk_X509_free(issuers);
  if (good == 1) return {};
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  return complaint(std::string("the certificate cannot be used: ") + (reason == nullptr ? "" : reason));
}

}  // namespace

// ---------------------------------------------------------------- rules for clients

Result<TlsClientRule> TlsClientRule::parse(std::string_view authorities, bool required) {
  TlsClientRule rule;
  rule.authorities_ = X509_STORE_new();
  rule.names_ = sk_X509_NAME_new_null();
  BIO* bio = BIO_new_mem_buf(authorities.data(), static_cast<int>(authorities.size()));
  std::string bytes(1, required ? '1' : '0');
  while (X509* authority = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr)) {
    X509_STORE_add_cert(rule.authorities_, authority);
    sk_X509_NAME_push(rule.names_, X509_NAME_dup(X509_get_subject_name(authority)));
    unsigned char fingerprint[SHA256_DIGEST_LENGTH];
    X509_digest(authority, EVP_sha256(), fingerprint, nullptr);
    bytes.append(reinterpret_cast<const char*>(fingerprint), sizeof fingerprint);
    X509_free(authority);
  }
  BIO_free(bio);
  ERR_clear_error();
  if (sk_X509_NAME_num(rule.names_) == 0) return Error{Code::invalid, "holds no certificate", 0};
  unsigned char hash[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), hash);
  std::memcpy(&rule.id_, hash, sizeof rule.id_);
  rule.id_ |= 1;  // never 0
  rule.required_ = required;
  return rule;
}

TlsClientRule::TlsClientRule(TlsClientRule&& other) noexcept { *this = std::move(other); }

TlsClientRule& TlsClientRule::operator=(TlsClientRule&& other) noexcept {
  std::swap(authorities_, other.authorities_);
  std::swap(names_, other.names_);
  std::swap(id_, other.id_);
  std::swap(required_, other.required_);
  return *this;
}

TlsClientRule::~TlsClientRule() {
  X509_STORE_free(authorities_);
  sk_X509_NAME_pop_free(names_, X509_NAME_free);
}

// ---------------------------------------------------------------- contexts

TlsContext::~TlsContext() { SSL_CTX_free(context_); }

Result<std::unique_ptr<TlsContext>> TlsContext::server(const TlsPolicy& policy, std::span<const TlsIdentity* const> identities,
                                                       const TlsClientRule& rule, bool http2, TlsTickets* tickets, const Staples* staples) {
  SSL_CTX* context = SSL_CTX_new(TLS_server_method());
  GOMA_CHECK(context != nullptr);
  auto made = std::make_unique<TlsContext>(context);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_timeout(context, session_seconds);
  SSL_CTX_set_num_tickets(context, 1);
  SSL_CTX_set_max_early_data(context, 0);
  SSL_CTX_set_verify_depth(context, deepest_chain);
  if (Result<void> applied = apply(context, policy); !applied) return applied.error();
  for (const TlsIdentity* identity : identities) {
    if (Result<void> added = add(context, *identity); !added) return added.error();
  }
  made->identities_.assign(identities.begin(), identities.end());
  made->staples_ = staples;
  const bool some_stapled = std::any_of(identities.begin(), identities.end(), [](const TlsIdentity* identity) { return !identity->staple().der.empty(); });
  if (staples != nullptr || some_stapled) {
    SSL_CTX_set_tlsext_status_cb(context, on_status);
    SSL_CTX_set_tlsext_status_arg(context, made.get());
  }
  SSL_CTX_set_alpn_select_cb(context, http2 ? choose_protocol<with_http2> : choose_protocol<without_http2>, nullptr);
  if (tickets != nullptr) tickets->serve(context);
  SSL_CTX_set_client_hello_cb(context, TlsSession::on_hello, nullptr);
  // OpenSSL resumes a ticket only where this is the same as where it was given.
  const uint64_t rule_id = rule.id();
  SSL_CTX_set_session_id_context(context, reinterpret_cast<const unsigned char*>(&rule_id), sizeof rule_id);
  if (rule_id != 0) {
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (rule.required_ ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nullptr);
    SSL_CTX_set1_verify_cert_store(context, rule.authorities_);
    SSL_CTX_set0_CA_list(context, sk_X509_NAME_deep_copy(
        rule.names_, [](const X509_NAME* name) { return X509_NAME_dup(name); }, X509_NAME_free));
  }
  return made;
}

// The client asks for the authority's word about the certificate that was chosen. OpenSSL frees the copy.
int TlsContext::on_status(SSL* ssl, void* self) {
  const auto* context = static_cast<TlsContext*>(self);
  const auto& all = context->identities_;
  const auto shown = std::find_if(all.begin(), all.end(), [ssl](const TlsIdentity* identity) { return identity->certificate() == SSL_get_certificate(ssl); });
  if (shown == all.end()) return SSL_TLSEXT_ERR_NOACK;
  const int64_t now = std::time(nullptr);
  const std::optional<OcspStaple> fetched = context->staples_ != nullptr ? context->staples_->find((*shown)->fingerprint(), now) : std::nullopt;
  const OcspStaple& staple = fetched ? *fetched : (*shown)->staple();
  if (staple.der.empty() || staple.until <= now) return SSL_TLSEXT_ERR_NOACK;
  void* copy = OPENSSL_memdup(staple.der.data(), staple.der.size());
  if (copy == nullptr) return SSL_TLSEXT_ERR_NOACK;
  SSL_set_tlsext_status_ocsp_resp(ssl, copy, static_cast<long>(staple.der.size()));
  return SSL_TLSEXT_ERR_OK;
}

}  // namespace goma::core
