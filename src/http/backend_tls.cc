// SPDX-License-Identifier: Apache-2.0
//
// Settings to texts, texts to a digest, a digest to a profile.
#include "http/backend_tls.h"

#include <fmt/format.h>

#include "core/tls_files.h"

namespace goma::http {

std::shared_ptr<const BackendTls> BackendTlsMaker::of_route(const RouteConf& route) {
  const BackendTlsConf& conf = route.security.tls;
  const TransportConf& transport = config_.gateway.networking.transport;
  Texts texts;
  texts.conf = &conf;
  texts.place = route.name.place;
  texts.verify = !conf.insecure_skip_verify && !transport.insecure_skip_verify;
  texts.http2 = transport.force_attempt_http2 && route.backend_protocol != "http1";
  texts.server_name = conf.server_name.text;
  const Text* roots = read(conf.root_cas, "rootCAs");
  texts.certificate = read(conf.client_cert, "clientCert");
  texts.key = read(conf.client_key, "clientKey");
  if (roots == nullptr || texts.certificate == nullptr || texts.key == nullptr) return nullptr;
  if (texts.verify) texts.roots = roots->pem.empty() ? &machine_roots() : roots;
  if (texts.certificate->pem.empty() != texts.key->pem.empty()) {
    const core::PlacedText& lone = texts.key->pem.empty() ? conf.client_cert : conf.client_key;
    problems_.error("missing-key", lone.place, "security.tls wants both clientCert and clientKey, or neither");
    return nullptr;
  }
  return make(texts);
}

std::shared_ptr<const BackendTls> BackendTlsMaker::of_service(bool insecure) {
  Texts texts;
  texts.verify = !insecure && !config_.gateway.networking.transport.insecure_skip_verify;
  if (texts.verify) texts.roots = &machine_roots();
  texts.certificate = texts.key = &read_[""];
  return make(texts);
}

std::shared_ptr<const BackendTls> BackendTlsMaker::make(const Texts& texts) {
  std::string digest = core::sha256_hex(fmt::format("{} {} {} {} {} {}", texts.verify, texts.http2, texts.server_name, texts.verify ? texts.roots->digest : "",
                                                    texts.certificate->digest, texts.key->digest));
  std::shared_ptr<const BackendTls>& entry = made_[digest];
  if (entry) return entry;
  std::shared_ptr<const core::TlsRoots> roots;
  if (texts.verify && (roots = roots_of(texts)) == nullptr) return nullptr;
  auto context = core::make_client_context(roots.get(), texts.certificate->pem, texts.key->pem);
  if (!context.ok()) {
    problems_.error("bad-certificate", texts.conf->client_cert.place, fmt::format("security.tls.clientCert and clientKey: {}", context.error().text));
    return nullptr;
  }
  auto profile = std::make_shared<BackendTls>();
  profile->context = std::move(context).value();
  profile->server_name = texts.server_name;
  profile->digest = std::move(digest);
  profile->http2 = texts.http2;
  return entry = std::move(profile);
}

// Null after adding an error; an empty text when the key is not set.
const BackendTlsMaker::Text* BackendTlsMaker::read(const core::PlacedText& value, const char* key) {
  Text& text = read_[value.text];
  if (value.text.empty() || source_ == nullptr || !text.pem.empty()) return &text;
  core::Result<std::string> pem = core::read_pem(*source_, value.text);
  if (pem.ok()) {
    text = {std::move(pem).value(), {}};
    text.digest = core::sha256_hex(text.pem);
    return &text;
  }
  const bool missing = pem.error().code == core::Code::not_found;
  problems_.error(missing ? "file-missing" : "file-unreadable", value.place, fmt::format("security.tls.{}: cannot read {}: {}", key, core::pem_name(value.text), core::why_unreadable(pem.error())));
  return nullptr;
}

std::shared_ptr<const core::TlsRoots> BackendTlsMaker::roots_of(const Texts& texts) {
  std::shared_ptr<const core::TlsRoots>& entry = roots_[texts.roots->digest];
  if (entry) return entry;
  auto parsed = core::TlsRoots::parse(texts.roots->pem);
  if (parsed.ok()) return entry = std::move(parsed).value();
  if (texts.roots != &machine_roots()) {
    problems_.error("bad-certificate", texts.conf->root_cas.place, fmt::format("security.tls.rootCAs: {}", parsed.error().text), "one or more certificates of authorities, as PEM");
  } else {
    problems_.error("no-authorities", texts.place, "https towards backends needs certificates of authorities, and this machine has none",
                    "install ca-certificates, or set security.tls.rootCAs");
  }
  return nullptr;
}

const BackendTlsMaker::Text& BackendTlsMaker::machine_roots() {
  if (machine_roots_) return *machine_roots_;
  std::string all;
  if (source_ != nullptr) all = core::read_machine_roots(*source_);
  std::string digest = core::sha256_hex(all);
  return machine_roots_.emplace(Text{std::move(all), std::move(digest)});
}

}  // namespace goma::http
