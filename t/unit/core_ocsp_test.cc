// SPDX-License-Identifier: Apache-2.0
//
// Judging responses: made here by an authority of our own, good ones and every way in which one can be wrong.
#include "core/ocsp.h"

#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <ctime>

#include "check.h"

using namespace goma::core;

namespace {

struct Party {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  Party(const char* name, long serial, const Party* issuer, std::initializer_list<std::pair<int, const char*>> extensions) {
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
    X509_set_pubkey(certificate, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(issuer == nullptr ? certificate : issuer->certificate));
    for (const auto& [kind, value] : extensions) {
      X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, kind, value);
      X509_add_ext(certificate, extension, -1);
      X509_EXTENSION_free(extension);
    }
    X509_sign(certificate, issuer == nullptr ? key : issuer->key, EVP_sha256());
  }
  Party(const Party&) = delete;
  Party& operator=(const Party&) = delete;
  ~Party() {
    X509_free(certificate);
    EVP_PKEY_free(key);
  }
};

struct World {
  Party root{"root", 1, nullptr, {{NID_basic_constraints, "critical,CA:true"}}};
  Party ca{"ca", 2, &root, {{NID_basic_constraints, "critical,CA:true"}}};  // no root, so nothing above it is known
  Party site{"site", 3, &ca, {{NID_info_access, "OCSP;URI:https://secret.test/,OCSP;URI:http://ask.test/it"}}};
  Party other{"other", 4, &ca, {}};
  Party delegate{"delegate", 5, &ca, {{NID_ext_key_usage, "OCSPSigning"}}};
  int64_t now = std::time(nullptr);

  struct Says {
    int status = V_OCSP_CERTSTATUS_GOOD;
    long from = -60;
    long until = 3600;  // 0: not said
  };
  std::string response(const Party& about, const Party& signer, Says says) const {
    OCSP_BASICRESP* basic = OCSP_BASICRESP_new();
    OCSP_CERTID* id = OCSP_cert_to_id(EVP_sha1(), about.certificate, ca.certificate);
    ASN1_TIME* from = X509_gmtime_adj(nullptr, says.from);
    ASN1_TIME* until = says.until == 0 ? nullptr : X509_gmtime_adj(nullptr, says.until);
    ASN1_TIME* revoked = X509_gmtime_adj(nullptr, -3600);
    OCSP_basic_add1_status(basic, id, says.status, 0, says.status == V_OCSP_CERTSTATUS_REVOKED ? revoked : nullptr, from, until);
    OCSP_basic_sign(basic, signer.certificate, signer.key, EVP_sha256(), nullptr, 0);
    OCSP_RESPONSE* response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    unsigned char* bytes = nullptr;
    const int n = i2d_OCSP_RESPONSE(response, &bytes);
    std::string der(reinterpret_cast<char*>(bytes), static_cast<size_t>(n));
    OPENSSL_free(bytes);
    OCSP_RESPONSE_free(response);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    for (ASN1_TIME* time : {from, until, revoked}) ASN1_TIME_free(time);
    return der;
  }
  Result<OcspAnswer> judge(const std::string& der) const { return verify_ocsp(der, site.certificate, ca.certificate, now); }
};

void a_good_response_is_taken_with_its_dates() {
  const World w;
  for (const Party* signer : {&w.ca, &w.delegate}) {
    const std::string der = w.response(w.site, *signer, {});
    const Result<OcspAnswer> answer = w.judge(der);
    CHECK(answer.ok());
    CHECK(!answer.value().revoked && answer.value().staple.der == der);
    CHECK(std::abs(answer.value().from - (w.now - 60)) <= 2 && std::abs(answer.value().staple.until - (w.now + 3600)) <= 2);
  }
}

void a_revoked_certificate_is_an_answer() {
  const World w;
  const Result<OcspAnswer> answer = w.judge(w.response(w.site, w.ca, {.status = V_OCSP_CERTSTATUS_REVOKED}));
  CHECK(answer.ok() && answer.value().revoked);
}

void without_an_end_it_holds_for_a_day() {
  const World w;
  CHECK_EQ(w.judge(w.response(w.site, w.ca, {.until = 0})).value().staple.until, w.now + 86400);
}

void wrong_ones_are_refused_with_the_reason() {
  const World w;
  const auto reason = [&](const std::string& der) {
    const Result<OcspAnswer> answer = w.judge(der);
    return answer.ok() ? std::string("taken") : answer.error().text;
  };
  CHECK_EQ(reason("text"), "the answer is no OCSP response");
  CHECK_EQ(reason(""), "the answer is no OCSP response");
  CHECK_EQ(reason(std::string("\x30\x03\x0a\x01\x03", 5)), "the responder refuses to answer");
  CHECK_EQ(reason(w.response(w.site, w.other, {})), "the response is not signed by the issuer");
  CHECK_EQ(reason(w.response(w.site, w.root, {})), "the response is not signed by the issuer");
  std::string changed = w.response(w.site, w.ca, {});
  const size_t bit = changed.find("ca");  // the responder's name, which is signed
  CHECK(bit != std::string::npos);
  changed[bit] ^= 1;
  CHECK_EQ(reason(changed), "the response is not signed by the issuer");
  CHECK_EQ(reason(w.response(w.other, w.ca, {})), "the response is not about the certificate");
  CHECK_EQ(reason(w.response(w.site, w.ca, {.status = V_OCSP_CERTSTATUS_UNKNOWN})), "the responder does not know the certificate");
  CHECK_EQ(reason(w.response(w.site, w.ca, {.from = -7200, .until = -3600})), "the response is outdated");
  CHECK_EQ(reason(w.response(w.site, w.ca, {.from = 1800})), "the response is of the future");
}

void the_question_names_the_first_responder_without_tls() {
  const World w;
  const std::optional<OcspQuestion> question = ocsp_question({w.site.certificate, w.ca.certificate});
  CHECK(question.has_value());
  CHECK_EQ(question->responder, "http://ask.test/it");
  CHECK_EQ(question->fingerprint.size(), size_t{32});
  CHECK(!ocsp_question({w.site.certificate}));
  CHECK(!ocsp_question({w.other.certificate, w.ca.certificate}));
}

void a_file_is_judged_by_certificate_and_time() {
  const World w;
  CHECK(read_ocsp(w.response(w.site, w.other, {}), w.site.certificate, w.now).ok());
  CHECK(!read_ocsp(w.response(w.other, w.ca, {}), w.site.certificate, w.now).ok());
  CHECK(!read_ocsp(w.response(w.site, w.ca, {.status = V_OCSP_CERTSTATUS_REVOKED}), w.site.certificate, w.now).ok());
  CHECK(!read_ocsp(w.response(w.site, w.ca, {}), w.site.certificate, w.now + 7200).ok());
}

}  // namespace

GOMA_TESTS(a_good_response_is_taken_with_its_dates, a_revoked_certificate_is_an_answer, without_an_end_it_holds_for_a_day, wrong_ones_are_refused_with_the_reason,
           the_question_names_the_first_responder_without_tls, a_file_is_judged_by_certificate_and_time)
