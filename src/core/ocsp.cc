// SPDX-License-Identifier: Apache-2.0
//
// Reading a response with OpenSSL. The serial number says which certificate is meant.
#include "core/ocsp.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509.h>

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

OCSP_SINGLERESP* find(OCSP_BASICRESP* basic, const X509* certificate) {
  for (int i = 0; i < OCSP_resp_count(basic); ++i) {
    OCSP_SINGLERESP* single = OCSP_resp_get0(basic, i);
    ASN1_INTEGER* serial = nullptr;
    OCSP_id_get0_info(nullptr, nullptr, nullptr, &serial, const_cast<OCSP_CERTID*>(OCSP_SINGLERESP_get0_id(single)));
    if (serial != nullptr && ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(certificate)) == 0) return single;
  }
  return nullptr;
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
  OcspStaple staple{std::string(der), std::numeric_limits<int64_t>::max()};
  tm parts{};
  if (next != nullptr && ASN1_TIME_to_tm(next, &parts) == 1) staple.until = static_cast<int64_t>(timegm(&parts));
  if (staple.until <= now) return wrong("is outdated");
  return staple;
}

}  // namespace goma::core
