// SPDX-License-Identifier: Apache-2.0
//
// PEM into stores and contexts. OpenSSL's error queue is left empty.
#include "core/tls_client_context.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "core/check.h"
#include "core/tls.h"

namespace goma::core {

namespace {

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Bio = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;

Bio reader(std::string_view text) { return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

Error invalid(std::string text) {
  ERR_clear_error();
  return Error{Code::invalid, std::move(text), 0};
}

// Nobody is asked for a passphrase.
int no_passphrase(char*, int, int, void*) { return 0; }

Result<bool> show(SSL_CTX* context, std::string_view chain, std::string_view key_text) {
  const Bio in = reader(chain);
  const Certificate own(PEM_read_bio_X509(in.get(), nullptr, no_passphrase, nullptr));
  if (!own || SSL_CTX_use_certificate(context, own.get()) != 1) return invalid("the certificate holds no PEM certificate");
  while (Certificate issuer{PEM_read_bio_X509(in.get(), nullptr, no_passphrase, nullptr)}) SSL_CTX_add1_chain_cert(context, issuer.get());
  const Bio key_in = reader(key_text);
  const Key key(PEM_read_bio_PrivateKey(key_in.get(), nullptr, no_passphrase, nullptr));
  if (!key) return invalid("the key holds no PEM private key, or one with a passphrase");
  if (X509_check_private_key(own.get(), key.get()) != 1) return invalid("the key does not belong to the certificate");
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1) return invalid("the key cannot be used");
  return true;
}

}  // namespace

Result<std::shared_ptr<const TlsRoots>> TlsRoots::parse(std::string_view pem) {
  X509_STORE* store = X509_STORE_new();
  GOMA_CHECK(store != nullptr);
  std::unique_ptr<TlsRoots> roots(new TlsRoots(store));
  const Bio in = reader(pem);
  while (Certificate authority{PEM_read_bio_X509_AUX(in.get(), nullptr, no_passphrase, nullptr)}) {
    if (X509_STORE_add_cert(store, authority.get()) == 1) ++roots->count_;
  }
  ERR_clear_error();
  if (roots->count_ == 0) return invalid("there is no PEM certificate in it");
  return std::shared_ptr<const TlsRoots>(std::move(roots));
}

TlsRoots::~TlsRoots() { X509_STORE_free(store_); }

Result<std::shared_ptr<const TlsContext>> make_client_context(const TlsRoots* roots, std::string_view certificate, std::string_view key, TlsVersions versions) {
  SSL_CTX* made = SSL_CTX_new(TLS_client_method());
  GOMA_CHECK(made != nullptr);
  auto context = std::make_shared<const TlsContext>(made);
  SSL_CTX_set_min_proto_version(made, versions.oldest == TlsVersion::v1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
  SSL_CTX_set_max_proto_version(made, versions.newest == TlsVersion::v1_2 ? TLS1_2_VERSION : TLS1_3_VERSION);
  SSL_CTX_set_options(made, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(made, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(made, &TlsSession::on_new_session);
  SSL_CTX_set_verify(made, roots != nullptr ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (roots != nullptr) SSL_CTX_set1_verify_cert_store(made, roots->store());
  if (certificate.empty() && key.empty()) return context;
  const Result<bool> shown = show(made, certificate, key);
  if (!shown.ok()) return shown.error();
  return context;
}

std::string sha256_hex(std::string_view text) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned n = 0;
  EVP_Digest(text.data(), text.size(), digest, &n, EVP_sha256(), nullptr);
  constexpr char digits[] = "0123456789abcdef";
  std::string hex;
  for (unsigned i = 0; i < n; ++i) hex.append({digits[digest[i] >> 4], digits[digest[i] & 15]});
  return hex;
}

}  // namespace goma::core
