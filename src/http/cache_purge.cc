// SPDX-License-Identifier: Apache-2.0
//
// Who may, what is meant, and telling everybody.
#include "http/cache_purge.h"

#include <openssl/crypto.h>

#include "core/log.h"
#include "core/purge.h"
#include "core/text.h"
#include "http/runtime.h"

namespace goma::http {

namespace {

constexpr std::string_view scheme = "Bearer ";

}  // namespace

// Compared in a time that tells nothing of how much agrees.
bool may_purge(const Exchange& x, std::string_view token) {
  std::string_view said = x.request().headers.get(HeaderId::authorization);
  if (!core::istarts_with(said, scheme)) return false;
  said = core::trim(said.substr(scheme.size()));
  return said.size() == token.size() && CRYPTO_memcmp(said.data(), token.data(), token.size()) == 0;
}

std::optional<core::Purge> purge_of(const Exchange& x, const StoreQuestion& question) {
  const Header* field = x.request().headers.find("X-Purge");
  const std::string url = std::string(question.host) + std::string(question.path.encoded);
  if (field == nullptr) return core::Purge::parse("url", url);
  if (field->value == "prefix") return core::Purge::parse("prefix", url);
  return field->value.starts_with("tag ") || field->value == "all" ? core::Purge::read(field->value) : std::nullopt;
}

PurgeEverywhere::PurgeEverywhere(Exchange& x, ResponseStore& store, core::Purge purge) : x_(x), zone_(*store.zone()), purge_(std::move(purge)) {
  call_.bind<&PurgeEverywhere::on_result>(this);
}

PurgeEverywhere::~PurgeEverywhere() {
  if (call_.pending()) owe();
}

void PurgeEverywhere::start() {
  number_ = purge_.apply(zone_);
  core::log::info("responses are purged by a request", {{"what", purge_.text()}, {"client", x_.client().ip}});
  core::Redis* redis = x_.runtime().redis;
  if (redis == nullptr || !redis->configured()) return complete({purge_.text(), true});
  purge_.announce(*redis, number_, call_);
}

void PurgeEverywhere::end(bool told) {
  call_.cancel();
  if (!told) owe();
  complete({purge_.text(), told});
}

void PurgeEverywhere::owe() { zone_.owe(purge_.text(), number_, "all"); }

Verdict answer_purge(Exchange& x, const PurgeOutcome& outcome) {
  std::string body = "{\"purged\":";
  core::log::append_json_string(body, outcome.purged);
  body += outcome.told ? "}\n" : ",\"toldOthers\":false}\n";
  return x.reply_with(outcome.told ? 200 : 202, "application/json", x.arena().copy(body));
}

}  // namespace goma::http
