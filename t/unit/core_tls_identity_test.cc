// SPDX-License-Identifier: Apache-2.0
//
// Certificates and keys out of texts: the three forms of a value, and every fault with its name. Names and chains of
// real authorities are a play's (t/tls.t).
#include "core/tls_identity.h"

#include <openssl/evp.h>

#include <ctime>

#include "check.h"
#include "core/source.h"
#include "core/tls_files.h"

using namespace goma::core;

namespace {

// Knows one file.
struct OneFile final : Source {
  std::string content;
  Result<std::string_view> read(const std::string& path) override {
    if (path != "site.pem") return Error{Code::not_found, "not there", 0};
    return std::string_view(content);
  }
  Result<Listing> list(const std::string&, Reach) override { return Error{Code::not_found, "not there", 0}; }
  std::optional<std::string_view> env(const std::string&) override { return std::nullopt; }
};

std::string base64(const std::string& text) {
  std::string out(4 * ((text.size() + 2) / 3) + 1, '\0');
  const int n = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  out.resize(static_cast<size_t>(n));
  return out;
}

// The certificate and the key of a text that holds both.
struct Pair {
  explicit Pair(const std::string& both) : cert(both.substr(0, both.find("-----BEGIN PRIVATE"))), key(both.substr(cert.size())) {}
  std::string cert;
  std::string key;
};

TlsIdentity::Fault fault_of(const std::string& chain, const std::string& key) {
  const auto parsed = TlsIdentity::parse(chain, key);
  const auto* fault = std::get_if<TlsIdentity::Fault>(&parsed);
  return fault != nullptr ? *fault : TlsIdentity::Fault{"none", "", ""};
}

void a_value_is_pem_or_base64_of_it_or_a_file() {
  OneFile source;
  for (size_t padding = 0; padding < 3; ++padding) {
    const std::string pem = TlsIdentity::self_signed() + std::string(padding, '\n');
    source.content = pem;
    std::string folded = base64(pem);
    for (size_t at = 64; at < folded.size(); at += 66) folded.insert(at, "\n ");
    std::string unpadded = base64(pem);
    unpadded.erase(unpadded.find_last_not_of('=') + 1);
    for (const std::string& value : {pem, base64(pem), folded, unpadded, std::string("site.pem")}) {
      CHECK_EQ(is_inline_pem(value), value != "site.pem");
      CHECK(read_pem(source, value).value() == pem);
    }
  }
  CHECK(read_pem(source, "other.pem").error().code == Code::not_found);
  CHECK(!is_inline_pem("LS0"));
}

void what_is_made_for_want_of_another_is_complete() {
  const std::string both = TlsIdentity::self_signed();
  auto parsed = TlsIdentity::parse(both, both);
  const auto& identity = std::get<TlsIdentity>(parsed);
  CHECK_EQ(identity.names().size(), size_t{1});
  CHECK_EQ(identity.names().front(), "localhost");
  CHECK(identity.issuer().find("GOMA DEFAULT CERT") != std::string::npos);
  CHECK(!identity.is_rsa());
  CHECK_EQ(identity.fingerprint().size(), size_t{32});
  const int64_t now = std::time(nullptr);
  CHECK(identity.not_before() < now && identity.not_after() > now + 364 * 86400);
  auto other = TlsIdentity::parse(TlsIdentity::self_signed(), both);
  CHECK(std::holds_alternative<TlsIdentity::Fault>(other));  // each has a key of its own
}

void faults_have_names_and_cures() {
  const Pair one(TlsIdentity::self_signed()), two(TlsIdentity::self_signed());
  CHECK_EQ(fault_of(one.cert, one.key).code, "none");
  CHECK_EQ(fault_of("", one.key).code, "bad-certificate");
  CHECK_EQ(fault_of("no PEM", one.key).code, "bad-certificate");
  CHECK_EQ(fault_of(one.cert.substr(0, one.cert.size() / 2), one.key).code, "bad-certificate");
  CHECK_EQ(fault_of(one.cert, "").code, "bad-key");
  CHECK_EQ(fault_of(one.cert, one.cert).code, "bad-key");
  CHECK_EQ(fault_of(one.cert, two.key).code, "key-mismatch");
  CHECK_EQ(fault_of(two.cert + one.cert, one.key).code, "chain-order");
  for (const TlsIdentity::Fault& fault : {fault_of("", ""), fault_of(one.cert, ""), fault_of(one.cert, two.key), fault_of(two.cert + one.cert, one.key)}) {
    CHECK(!fault.message.empty() && !fault.hint.empty());
  }
  CHECK(!fault_of("", one.key).in_key && fault_of(one.cert, "").in_key && fault_of(one.cert, two.key).in_key);
}

void moving_leaves_nothing_behind() {
  const std::string both = TlsIdentity::self_signed();
  auto parsed = TlsIdentity::parse(both, both);
  TlsIdentity taken = std::get<TlsIdentity>(std::move(parsed));
  taken.set_staple({"word", 5});
  const TlsIdentity again = std::move(taken);
  CHECK_EQ(again.staple().der, "word");
  CHECK(again.key() != nullptr && again.certificate() != nullptr);
}

}  // namespace

GOMA_TESTS(a_value_is_pem_or_base64_of_it_or_a_file, what_is_made_for_want_of_another_is_complete, faults_have_names_and_cures, moving_leaves_nothing_behind)
