// SPDX-License-Identifier: Apache-2.0
//
// Finding a context by name.
#include "http/certificates.h"

#include <openssl/bn.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>

#include "core/text.h"
#include "http/authority.h"

namespace goma::http {

namespace {

// What follows the first label; empty when nothing does.
std::string_view parent_of(std::string_view name) {
  const size_t dot = name.find('.');
  return dot == std::string_view::npos ? std::string_view() : name.substr(dot + 1);
}

std::string hex(const unsigned char* bytes, size_t n) {
  constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (size_t i = 0; i < n; ++i) out.append({digits[bytes[i] >> 4], digits[bytes[i] & 15]});
  return out;
}

std::string serial_of(const X509* certificate) {
  BIGNUM* number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr);
  char* text = BN_bn2hex(number);
  std::string serial = core::to_lower(text);
  OPENSSL_free(text);
  BN_free(number);
  return serial;
}

std::string issuer_of(const X509* certificate) {
  BIO* text = BIO_new(BIO_s_mem());
  X509_NAME_print_ex(text, X509_get_issuer_name(certificate), 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  char* data = nullptr;
  const long n = BIO_get_mem_data(text, &data);
  std::string issuer(data, static_cast<size_t>(n));
  BIO_free(text);
  return issuer;
}

}  // namespace

ssl_ctx_st* Certificates::Group::find(size_t rule) const {
  const auto found = std::find_if(contexts.begin(), contexts.end(), [rule](const auto& c) { return c.first == rule; });
  return found == contexts.end() ? nullptr : found->second->get();
}

size_t Certificates::rule_of(std::string_view name) const {
  if (host_rules_.empty() && label_rules_.empty() && wildcard_rules_.empty()) return 0;
  if (const auto found = host_rules_.find(name); found != host_rules_.end()) return found->second;
  std::string_view parent = parent_of(name);
  if (const auto found = label_rules_.find(parent); found != label_rules_.end()) return found->second;
  for (; !parent.empty(); parent = parent_of(parent)) {
    if (const auto found = wildcard_rules_.find(parent); found != wildcard_rules_.end()) return found->second;
  }
  return 0;
}

size_t Certificates::group_of(std::string_view name) const {
  if (const auto found = exact_.find(name); found != exact_.end()) return found->second;
  if (const auto found = wildcards_.find(parent_of(name)); found != wildcards_.end()) return found->second;
  return default_group_;
}

// The rule counts more than the certificate: the default group has a context for every rule.
ssl_ctx_st* Certificates::choose(std::string_view server_name) const {
  const size_t rule = rule_of(server_name);
  ssl_ctx_st* found = groups_[group_of(server_name)].find(rule);
  return found != nullptr ? found : groups_[default_group_].find(rule);
}

TlsFacts Certificates::facts(const core::TlsSession& session) const {
  TlsFacts facts;
  facts.version = session.version();
  facts.cipher = session.cipher();
  facts.resumed = session.resumed();
  const auto rule = rule_ids_.find(session.context());
  facts.client_rule = rule == rule_ids_.end() ? 0 : rule->second;
  const X509* certificate = SSL_get0_peer_certificate(session.ssl());
  if (certificate == nullptr || SSL_get_verify_result(session.ssl()) != X509_V_OK) return facts;
  unsigned char digest[32];
  X509_digest(certificate, EVP_sha256(), digest, nullptr);
  facts.client = std::make_unique<ClientCertificate>(
      ClientCertificate{session.peer_subject(), issuer_of(certificate), serial_of(certificate), hex(digest, sizeof digest)});
  return facts;
}

const core::TlsClientRule* Certificates::route_rule(std::string_view route) const {
  const auto found = route_rules_.find(route);
  return found == route_rules_.end() ? nullptr : &rules_[found->second];
}

uint64_t Certificates::client_rule(std::string_view host) const {
  if (rules_.empty()) return 0;
  if (host_rules_.empty() && label_rules_.empty() && wildcard_rules_.empty()) return rules_.front().id();
  std::string name = core::to_lower(split_host_port(host).host);
  if (!name.empty() && name.back() == '.') name.pop_back();
  return rules_[rule_of(name)].id();
}

}  // namespace goma::http
