// SPDX-License-Identifier: Apache-2.0
//
// Reading PEM with OpenSSL, and judging it.
#include "core/tls_identity.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <memory>

#include "core/check.h"
#include "core/idn.h"
#include "core/text.h"

namespace goma::core {

namespace {

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
constexpr size_t longest_chain = 16;

Bio reader(std::string_view text) { return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), &BIO_free}; }

std::string written(const Bio& bio) {
  char* data = nullptr;
  const long n = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<size_t>(n)};
}

std::string name_text(const X509_NAME* name) {
  const Bio bio(BIO_new(BIO_s_mem()), &BIO_free);
  X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  return written(bio);
}

int64_t unix_time(const ASN1_TIME* time) {
  tm parts{};
  return ASN1_TIME_to_tm(time, &parts) == 1 ? static_cast<int64_t>(timegm(&parts)) : 0;
}

// Answers OpenSSL's question for a passphrase: there is none, and it is noted that one was wanted.
int note_passphrase(char*, int, int, void* wanted) {
  *static_cast<bool*>(wanted) = true;
  return -1;
}

EVP_PKEY* read_key(std::string_view text, bool& encrypted) {
  EVP_PKEY* key = PEM_read_bio_PrivateKey(reader(text).get(), nullptr, note_passphrase, &encrypted);
  ERR_clear_error();
  return key;
}

// A name that a client may ask for: letters, digits, hyphens and dots, perhaps behind "*.".
bool is_name(std::string_view text) {
  if (text.starts_with("*.")) text.remove_prefix(2);
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return is_alpha(c) || is_digit(c) || c == '-' || c == '.' || c == '_'; });
}

std::string text_of(const ASN1_STRING* string) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)), static_cast<size_t>(ASN1_STRING_length(string))};
}

void add_extension(X509* certificate, int kind, const char* value) {
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, kind, value);
  GOMA_CHECK(extension != nullptr);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

}  // namespace

TlsIdentity::TlsIdentity(TlsIdentity&& other) noexcept { *this = std::move(other); }

TlsIdentity& TlsIdentity::operator=(TlsIdentity&& other) noexcept {
  std::swap(chain_, other.chain_);
  std::swap(key_, other.key_);
  std::swap(names_, other.names_);
  std::swap(fingerprint_, other.fingerprint_);
  std::swap(staple_, other.staple_);
  std::swap(not_before_, other.not_before_);
  std::swap(not_after_, other.not_after_);
  return *this;
}

TlsIdentity::~TlsIdentity() {
  for (X509* certificate : chain_) X509_free(certificate);
  EVP_PKEY_free(key_);
}

std::variant<TlsIdentity, TlsIdentity::Fault> TlsIdentity::parse(std::string_view chain, std::string_view key) {
  TlsIdentity made;
  const Bio bio = reader(chain);
  while (made.chain_.size() < longest_chain) {
    X509* next = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr);
    if (next == nullptr) break;
    made.chain_.push_back(next);
  }
  const int reason = ERR_GET_REASON(ERR_peek_last_error());
  ERR_clear_error();
  if (made.chain_.empty() || (reason != 0 && reason != PEM_R_NO_START_LINE)) {
    const bool none = made.chain_.empty() && reason == PEM_R_NO_START_LINE;
    return Fault{"bad-certificate", none ? "holds no certificate" : "holds a certificate that cannot be read", "openssl x509 -in FILE -noout -text shows what it holds"};
  }
  bool encrypted = false;
  made.key_ = read_key(key, encrypted);
  if (encrypted) return Fault{"bad-key", "is encrypted, and there is nobody to ask for its passphrase", "openssl pkey -in FILE -out PLAIN removes it", true};
  if (made.key_ == nullptr) return Fault{"bad-key", "holds no private key", "openssl pkey -in FILE -noout -text shows what it holds", true};
  X509* leaf = made.chain_.front();
  if (X509_check_private_key(leaf, made.key_) != 1) {
    ERR_clear_error();
    const auto belongs = [&](X509* certificate) { return X509_check_private_key(certificate, made.key_) == 1; };
    const bool later = std::any_of(made.chain_.begin(), made.chain_.end(), belongs);
    ERR_clear_error();
    if (later) return Fault{"chain-order", "does not begin with the certificate of the key", "put the server's certificate first, then its issuers"};
    return Fault{"key-mismatch", "is not the key of the certificate", "openssl pkey -in KEY -pubout and openssl x509 -in CERT -noout -pubkey must print the same", true};
  }
  for (size_t i = 0; i + 1 < made.chain_.size(); ++i) {
    if (X509_NAME_cmp(X509_get_issuer_name(made.chain_[i]), X509_get_subject_name(made.chain_[i + 1])) == 0) continue;
    return Fault{"chain-order", "has certificate " + std::to_string(i + 2) + " (" + name_text(X509_get_subject_name(made.chain_[i + 1])) + "), which did not issue the one before it",
                 "each certificate must be followed by its issuer"};
  }
  made.not_before_ = unix_time(X509_get0_notBefore(leaf));
  made.not_after_ = unix_time(X509_get0_notAfter(leaf));
  made.fingerprint_.resize(32);
  X509_digest(leaf, EVP_sha256(), reinterpret_cast<unsigned char*>(made.fingerprint_.data()), nullptr);
  made.read_names();
  return made;
}

void TlsIdentity::read_names() {
  auto* alternatives = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate(), NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(alternatives); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(alternatives, i);
    if (name->type != GEN_DNS) continue;
    add_name(text_of(name->d.dNSName));
  }
  const bool has_alternatives = alternatives != nullptr;
  GENERAL_NAMES_free(alternatives);
  if (has_alternatives) return;
  const X509_NAME* subject = X509_get_subject_name(certificate());
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0) return;
  unsigned char* utf8 = nullptr;
  const int n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  if (n >= 0) add_name({reinterpret_cast<const char*>(utf8), static_cast<size_t>(n)});
  OPENSSL_free(utf8);
}

// Clients ask for A-labels, whatever the certificate is written in.
void TlsIdentity::add_name(std::string_view name) {
  const std::string wildcard = name.starts_with("*.") ? "*." : "";
  const Result<std::string> label = to_a_label(name.substr(wildcard.size()));
  if (label && is_name(wildcard + label.value())) names_.push_back(wildcard + label.value());
}

std::string TlsIdentity::issuer() const { return name_text(X509_get_issuer_name(certificate())); }

bool TlsIdentity::is_rsa() const { return EVP_PKEY_base_id(key_) == EVP_PKEY_RSA || EVP_PKEY_base_id(key_) == EVP_PKEY_RSA_PSS; }

std::string TlsIdentity::self_signed() {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* made = X509_new();
  GOMA_CHECK(key != nullptr && made != nullptr);
  unsigned char serial[16] = {};
  GOMA_CHECK(RAND_bytes(serial, sizeof serial) == 1);
  serial[0] &= 0x7F;
  BIGNUM* number = BN_bin2bn(serial, sizeof serial, nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(made));
  BN_free(number);
  X509_set_version(made, X509_VERSION_3);
  X509_gmtime_adj(X509_getm_notBefore(made), -3600);
  X509_gmtime_adj(X509_getm_notAfter(made), 365L * 24 * 3600);
  X509_set_pubkey(made, key);
  X509_NAME* name = X509_get_subject_name(made);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("GOMA DEFAULT CERT"), -1, -1, 0);
  X509_set_issuer_name(made, name);
  add_extension(made, NID_subject_alt_name, "DNS:localhost");
  add_extension(made, NID_ext_key_usage, "serverAuth");
  GOMA_CHECK(X509_sign(made, key, EVP_sha256()) != 0);
  const Bio bio(BIO_new(BIO_s_mem()), &BIO_free);
  PEM_write_bio_X509(bio.get(), made);
  PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
  X509_free(made);
  EVP_PKEY_free(key);
  return written(bio);
}

}  // namespace goma::core
