// SPDX-License-Identifier: Apache-2.0
//
// Reading a response with OpenSSL. In a file the serial number says which certificate is meant; a responder's answer
// must name the issuer too.
#include "core/ocsp.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <ctime>
#include <limits>
#include <memory>

namespace goma::core {

namespace {

using Response = std::unique_ptr<OCSP_RESPONSE, decltype(&OCSP_RESPONSE_free)>;
using Basic = std::unique_ptr<OCSP_BASICRESP, decltype(&OCSP_BASICRESP_free)>;

Error wrong(const char* text) {
  ERR_clear_error();
  return Error{Code::invalid, text, 0};
}

constexpr int64_t clock_difference = 300;
constexpr int64_t usual_validity = 24 * 3600;  // of a response that does not say

OCSP_SINGLERESP* find(OCSP_BASICRESP* basic, const X509* certificate) {
  for (int i = 0; i < OCSP_resp_count(basic); ++i) {
    OCSP_SINGLERESP* single = OCSP_resp_get0(basic, i);
    ASN1_INTEGER* serial = nullptr;
    OCSP_id_get0_info(nullptr, nullptr, nullptr, &serial, const_cast<OCSP_CERTID*>(OCSP_SINGLERESP_get0_id(single)));
    if (serial != nullptr && ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(certificate)) == 0) return single;
  }
  return nullptr;
}

// Unix seconds, or the other value when there is none.
int64_t unix_time(const ASN1_GENERALIZEDTIME* time, int64_t without) {
  tm parts{};
  return time != nullptr && ASN1_TIME_to_tm(time, &parts) == 1 ? static_cast<int64_t>(timegm(&parts)) : without;
}

template <class Object, class Write>
std::string der_of(Object* object, Write write) {
  unsigned char* bytes = nullptr;
  const int n = write(object, &bytes);
  std::string der(reinterpret_cast<const char*>(bytes), n > 0 ? static_cast<size_t>(n) : 0);
  OPENSSL_free(bytes);
  return der;
}

// The issuer is trusted as it stands, also when it is not a root.
bool is_signed(OCSP_BASICRESP* basic, X509* issuer) {
  const std::unique_ptr<X509_STORE, decltype(&X509_STORE_free)> store(X509_STORE_new(), &X509_STORE_free);
  X509_STORE_add_cert(store.get(), issuer);
  X509_STORE_set_flags(store.get(), X509_V_FLAG_PARTIAL_CHAIN);
  STACK_OF(X509)* known = sk_X509_new_null();
  sk_X509_push(known, issuer);
  const int good = OCSP_basic_verify(basic, known, store.get(), OCSP_TRUSTOTHER);
  sk_X509_free(known);
  return good == 1;
}

}  // namespace

Result<OcspStaple> read_ocsp(std::string_view der, X509* certificate, int64_t now) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(der.data());
  const Response response(d2i_OCSP_RESPONSE(nullptr, &bytes, static_cast<long>(der.size())), &OCSP_RESPONSE_free);
  if (!response) return wrong("holds no OCSP response");
  if (OCSP_response_status(response.get()) != OCSP_RESPONSE_STATUS_SUCCESSFUL) return wrong("is the responder's refusal");
  const Basic basic(OCSP_response_get1_basic(response.get()), &OCSP_BASICRESP_free);
  OCSP_SINGLERESP* single = basic ? find(basic.get(), certificate) : nullptr;
  if (single == nullptr) return wrong("is not about the certificate");
  ASN1_GENERALIZEDTIME* next = nullptr;
  if (OCSP_single_get0_status(single, nullptr, nullptr, nullptr, &next) != V_OCSP_CERTSTATUS_GOOD) return wrong("says that the certificate is not good");
  OcspStaple staple{std::string(der), unix_time(next, std::numeric_limits<int64_t>::max())};
  if (staple.until <= now) return wrong("is outdated");
  return staple;
}

std::optional<OcspQuestion> ocsp_question(const std::vector<X509*>& chain) {
  if (chain.size() < 2) return std::nullopt;
  OcspQuestion question;
  STACK_OF(OPENSSL_STRING)* responders = X509_get1_ocsp(chain[0]);
  for (int i = 0; i < sk_OPENSSL_STRING_num(responders) && question.responder.empty(); ++i) {
    const std::string_view url = sk_OPENSSL_STRING_value(responders, i);
    if (url.starts_with("http://")) question.responder = url;
  }
  X509_email_free(responders);
  if (question.responder.empty()) return std::nullopt;
  question.fingerprint.resize(32);
  X509_digest(chain[0], EVP_sha256(), reinterpret_cast<unsigned char*>(question.fingerprint.data()), nullptr);
  question.certificate = der_of(chain[0], i2d_X509);
  question.issuer = der_of(chain[1], i2d_X509);
  return question;
}

Result<OcspAnswer> verify_ocsp(std::string_view der, X509* certificate, X509* issuer, int64_t now) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(der.data());
  const Response response(d2i_OCSP_RESPONSE(nullptr, &bytes, static_cast<long>(der.size())), &OCSP_RESPONSE_free);
  if (!response) return wrong("the answer is no OCSP response");
  if (OCSP_response_status(response.get()) != OCSP_RESPONSE_STATUS_SUCCESSFUL) return wrong("the responder refuses to answer");
  const Basic basic(OCSP_response_get1_basic(response.get()), &OCSP_BASICRESP_free);
  if (!basic || !is_signed(basic.get(), issuer)) return wrong("the response is not signed by the issuer");
  const std::unique_ptr<OCSP_CERTID, decltype(&OCSP_CERTID_free)> id(OCSP_cert_to_id(EVP_sha1(), certificate, issuer), &OCSP_CERTID_free);
  int status = V_OCSP_CERTSTATUS_UNKNOWN;
  ASN1_GENERALIZEDTIME *known = nullptr, *next = nullptr;
  if (OCSP_resp_find_status(basic.get(), id.get(), &status, nullptr, nullptr, &known, &next) != 1) return wrong("the response is not about the certificate");
  if (status == V_OCSP_CERTSTATUS_UNKNOWN) return wrong("the responder does not know the certificate");
  OcspAnswer answer{{std::string(der), unix_time(next, now + usual_validity)}, unix_time(known, now), status == V_OCSP_CERTSTATUS_REVOKED};
  if (answer.from > now + clock_difference) return wrong("the response is of the future");
  if (answer.staple.until <= now) return wrong("the response is outdated");
  return answer;
}

}  // namespace goma::core
