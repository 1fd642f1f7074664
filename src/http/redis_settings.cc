// SPDX-License-Identifier: Apache-2.0
//
// Keys to settings, files to a TLS context and its digest.
#include "http/redis_settings.h"

#include <fmt/format.h>

#include "core/tls_client_context.h"
#include "core/tls_files.h"
#include "http/config_redis_fold.h"

namespace goma::http {

namespace {

using Mode = core::RedisSettings::Mode;

Mode mode_of(const RedisConf& conf) {
  const std::string mode = conf.mode.value_or("");
  return mode == "sentinel" ? Mode::sentinel : mode == "cluster" ? Mode::cluster : Mode::standalone;
}

std::string text_of(const std::optional<core::PlacedText>& text) { return text ? text->text : std::string(); }

// Makes the TLS part of the settings.
class TlsMaker {
 public:
  TlsMaker(const Config& config, core::Source& source, core::Problems& problems) : config_(config), conf_(config.gateway.redis.tls), source_(source), problems_(problems) {}

  // False after adding an error.
  bool make(core::RedisSettings& settings);

 private:
  RedisSaid said(const char* key) const { return redis_said(config_.gateway.redis, config_.environment, key); }
  bool read(const core::PlacedText& value, const char* key, std::string& pem, core::RedisSettings& settings);
  std::shared_ptr<const core::TlsRoots> roots(const std::string& own);

  const Config& config_;
  const RedisTlsConf& conf_;
  core::Source& source_;
  core::Problems& problems_;
};

bool TlsMaker::read(const core::PlacedText& value, const char* key, std::string& pem, core::RedisSettings& settings) {
  if (value.text.empty()) return true;
  if (!core::is_inline_pem(value.text)) settings.tls_files.push_back(value.text);
  core::Result<std::string> text = core::read_pem(source_, value.text);
  if (text.ok()) {
    pem = std::move(text).value();
    return true;
  }
  const RedisSaid at = said(key);
  const bool missing = text.error().code == core::Code::not_found;
  problems_.error(missing ? "file-missing" : "file-unreadable", at.place, fmt::format("{}: cannot read {}: {}", at.name, core::pem_name(value.text), core::why_unreadable(text.error())));
  return false;
}

// Null after adding an error.
std::shared_ptr<const core::TlsRoots> TlsMaker::roots(const std::string& own) {
  auto parsed = core::TlsRoots::parse(own);
  if (parsed.ok()) return std::move(parsed).value();
  if (!conf_.ca.text.empty()) {
    const RedisSaid at = said("tls.clientCa");
    problems_.error("bad-certificate", at.place, fmt::format("{}: {}", at.name, parsed.error().text), "one or more certificates of authorities, as PEM");
  } else {
    problems_.error("no-authorities", config_.gateway.redis.place, "gateway.redis: TLS needs certificates of authorities, and this machine has none", "install ca-certificates, or set tls.clientCa");
  }
  return nullptr;
}

bool TlsMaker::make(core::RedisSettings& settings) {
  std::string authorities, certificate, key;
  const bool ca = read(conf_.ca, "tls.clientCa", authorities, settings), cert = read(conf_.client_cert, "tls.clientCert", certificate, settings);
  if (!read(conf_.client_key, "tls.clientKey", key, settings) || !ca || !cert) return false;
  if (conf_.ca.text.empty()) authorities = core::read_machine_roots(source_);
  if (conf_.insecure_skip_verify) authorities.clear();
  std::shared_ptr<const core::TlsRoots> believed;
  if (!conf_.insecure_skip_verify && (believed = roots(authorities)) == nullptr) return false;
  core::TlsVersions versions;
  if (conf_.min_version == "1.3") versions.oldest = core::TlsVersion::v1_3;
  if (conf_.max_version == "1.2") versions.newest = core::TlsVersion::v1_2;
  auto context = core::make_client_context(believed.get(), certificate, key, versions);
  if (!context.ok()) {
    const RedisSaid at = said("tls.clientCert");
    problems_.error("bad-certificate", at.place, fmt::format("{} and its key: {}", at.name, context.error().text));
    return false;
  }
  settings.tls = std::move(context).value();
  settings.server_name = conf_.server_name.text;
  settings.sentinel_tls = settings.mode == Mode::sentinel;
  settings.digest = core::sha256_hex(fmt::format("{} {} {} {} {} {}", conf_.insecure_skip_verify, conf_.min_version, conf_.max_version, core::sha256_hex(authorities), core::sha256_hex(certificate), core::sha256_hex(key)));
  return true;
}

}  // namespace

std::shared_ptr<const core::RedisSettings> redis_settings_of(const Config& config, core::Source* source, core::Problems& problems) {
  const RedisConf& conf = config.gateway.redis;
  if (conf.addresses.empty()) return nullptr;
  auto settings = std::make_shared<core::RedisSettings>();
  settings->mode = mode_of(conf);
  settings->addresses = conf.addresses;
  if (settings->mode == Mode::sentinel) {
    settings->master_name = text_of(conf.master_name);
    settings->sentinel_username = text_of(conf.sentinel_username);
    settings->sentinel_password = conf.sentinel_password.text;
  }
  settings->username = text_of(conf.username);
  settings->password = conf.password.text;
  settings->database = conf.db;
  settings->timeout_ms = conf.deadline.ms();
  settings->connect_timeout_ms = conf.connect_timeout.ms();
  settings->max_in_flight = static_cast<size_t>(conf.max_in_flight);
  settings->key_prefix = conf.key_prefix.text;
  settings->flush_on_startup = conf.flush_on_startup;
  settings->flush_cluster = conf.flush_cluster;
  settings->place = conf.place.known() ? fmt::format("{} (gateway.redis)", conf.place.text()) : "the environment (gateway.redis)";
  if (conf.uses_tls && (source == nullptr || !TlsMaker(config, *source, problems).make(*settings))) return nullptr;
  return settings;
}

}  // namespace goma::http
