// SPDX-License-Identifier: Apache-2.0
//
// OpenSSL's HTTP client over a socket that was connected to an address which was looked at first.
#include "core/ocsp_fetch.h"

#include <fmt/format.h>
#include <netdb.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/http.h>
#include <openssl/ocsp.h>
#include <openssl/x509.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <system_error>

namespace goma::core {

namespace {

using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using Bio = std::unique_ptr<BIO, decltype(&BIO_free_all)>;

struct Responder {
  std::string host;  // without brackets
  std::string port;
  std::string path;
  // As the Host field wants it.
  std::string authority() const {
    const std::string name = host.find(':') == std::string::npos ? host : "[" + host + "]";
    return port == "80" ? name : name + ":" + port;
  }
};

constexpr std::string_view not_public[] = {
    "0.0.0.0/8",   "10.0.0.0/8",  "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15",
    "224.0.0.0/3", "::/128",      "64:ff9b::/96",  "2002::/16",      "fc00::/7",      "fe80::/10",    "ff00::/8",
};

Error failed(std::string text) {
  ERR_clear_error();
  return Error{Code::refused, std::move(text), 0};
}

// What OpenSSL says first is the cause.
Error openssl_failed(const Address& address) {
  const unsigned long code = ERR_peek_error();
  const char* reason = ERR_reason_error_string(code);
  const std::string text = code == 0 ? "no answer" : reason != nullptr ? reason : std::generic_category().message(ERR_GET_REASON(code));
  return failed(fmt::format("{}: {}", address.text(), text));
}

std::optional<Responder> parse(const std::string& url) {
  char *host = nullptr, *port = nullptr, *path = nullptr;
  int tls = 0;
  const int good = OSSL_HTTP_parse_url(url.c_str(), &tls, nullptr, &host, &port, nullptr, &path, nullptr, nullptr);
  std::optional<Responder> responder;
  if (good == 1 && tls == 0) responder = Responder{host, port, path};
  for (char* text : {host, port, path}) OPENSSL_free(text);
  ERR_clear_error();
  if (responder && responder->host.starts_with('[') && responder->host.ends_with(']')) responder->host = responder->host.substr(1, responder->host.size() - 2);
  return responder;
}

Result<std::vector<Address>> addresses_of(const Responder& responder) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (const int error = ::getaddrinfo(responder.host.c_str(), responder.port.c_str(), &hints, &list); error != 0) {
    return failed(fmt::format("{}: {}", responder.host, ::gai_strerror(error)));
  }
  std::vector<Address> found;
  for (const addrinfo* next = list; next != nullptr; next = next->ai_next) {
    const Address address = Address::from_sockaddr(next->ai_addr);
    if (may_ask(address)) found.push_back(address);
  }
  ::freeaddrinfo(list);
  if (found.empty()) return failed(fmt::format("{}: is at a private address, which is not asked", responder.host));
  return found;
}

std::string request_for(X509* certificate, X509* issuer) {
  OCSP_REQUEST* request = OCSP_REQUEST_new();
  OCSP_request_add0_id(request, OCSP_cert_to_id(EVP_sha1(), certificate, issuer));
  unsigned char* bytes = nullptr;
  const int n = i2d_OCSP_REQUEST(request, &bytes);
  std::string der(reinterpret_cast<const char*>(bytes), n > 0 ? static_cast<size_t>(n) : 0);
  OPENSSL_free(bytes);
  OCSP_REQUEST_free(request);
  return der;
}

Result<std::string> post(const Responder& responder, const Address& address, const std::string& request, int seconds) {
  ERR_clear_error();
  const Bio connection(BIO_new_connect(address.text().c_str()), &BIO_free_all);
  const Bio body(BIO_new_mem_buf(request.data(), static_cast<int>(request.size())), &BIO_free_all);
  if (!connection || !body) return openssl_failed(address);
  const Bio answer(OSSL_HTTP_transfer(nullptr, responder.authority().c_str(), nullptr, responder.path.c_str(), 0, nullptr, nullptr, connection.get(), nullptr,
                                      nullptr, nullptr, 0, nullptr, "application/ocsp-request", body.get(), "application/ocsp-response", 1, max_ocsp_bytes, seconds, 0),
                   &BIO_free_all);
  if (!answer) return openssl_failed(address);
  std::string der(max_ocsp_bytes, '\0');
  const int n = BIO_read(answer.get(), der.data(), static_cast<int>(der.size()));
  ERR_clear_error();
  der.resize(static_cast<size_t>(std::max(n, 0)));
  return der;
}

Certificate certificate_of(const std::string& der) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(der.data());
  return {d2i_X509(nullptr, &bytes, static_cast<long>(der.size())), &X509_free};
}

}  // namespace

bool may_ask(const Address& address) {
  if (address.family() != Address::Family::ipv4 && address.family() != Address::Family::ipv6) return false;
  return std::none_of(std::begin(not_public), std::end(not_public), [&](std::string_view network) {
    const std::optional<Cidr> cidr = Cidr::parse(network);
    return !cidr || cidr->contains(address);
  });
}

Result<OcspAnswer> fetch_ocsp(const OcspQuestion& question) {
  const std::optional<Responder> responder = parse(question.responder);
  const Certificate certificate = certificate_of(question.certificate), issuer = certificate_of(question.issuer);
  if (!responder || !certificate || !issuer) return failed("the responder's address cannot be read");
  const Result<std::vector<Address>> addresses = addresses_of(*responder);
  if (!addresses) return addresses.error();
  const std::string request = request_for(certificate.get(), issuer.get());
  const int64_t end = std::time(nullptr) + ocsp_patience_s;
  Result<std::string> answer = failed("no answer in time");
  for (const Address& address : addresses.value()) {
    const int64_t left = end - std::time(nullptr);
    if (left <= 0) break;
    answer = post(*responder, address, request, static_cast<int>(left));
    if (answer) return verify_ocsp(*answer, certificate.get(), issuer.get(), std::time(nullptr));
  }
  return answer.error();
}

}  // namespace goma::core
