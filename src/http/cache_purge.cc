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

// Compared in a time that tells nothing of how much agrees.
bool knows(const Exchange& x, std::string_view token) {
  std::string_view said = x.request().headers.get(HeaderId::authorization);
  if (!core::istarts_with(said, scheme)) return false;
  said = core::trim(said.substr(scheme.size()));
  return said.size() == token.size() && CRYPTO_memcmp(said.data(), token.data(), token.size()) == 0;
}

std::optional<core::Purge> what(const Exchange& x, const StoreQuestion& question) {
  const Header* field = x.request().headers.find("X-Purge");
  const std::string url = std::string(question.host) + std::string(question.path.encoded);
  if (field == nullptr) return core::Purge::parse("url", url);
  if (field->value == "prefix") return core::Purge::parse("prefix", url);
  return field->value.starts_with("tag ") || field->value == "all" ? core::Purge::read(field->value) : std::nullopt;
}

}  // namespace

Verdict purge_by_request(Exchange& x, ResponseStore& store, const StoreQuestion& question, std::string_view token) {
  if (!knows(x, token)) return x.reply(403, "403 Forbidden: a purge needs its token");
  const std::optional<core::Purge> purge = what(x, question);
  if (!purge) return x.reply(400, "400 Bad Request: X-Purge wants \"prefix\", \"tag NAME\" or \"all\"");
  Runtime& runtime = x.runtime();
  const uint64_t number = purge->apply(*store.zone());
  if (runtime.redis != nullptr && runtime.redis->configured()) purge->announce(*runtime.redis, number);
  core::log::info("responses are purged by a request", {{"what", purge->text()}, {"client", x.client().ip}});
  std::string body = "{\"purged\":";
  core::log::append_json_string(body, purge->text());
  return x.reply_with(200, "application/json", x.arena().copy(body + "}\n"));
}

}  // namespace goma::http
