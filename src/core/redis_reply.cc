// SPDX-License-Identifier: Apache-2.0
//
// The small parts of the Redis client: views of replies, scripts, and the writing of commands.
#include <fmt/format.h>
#include <hiredis/hiredis.h>
#include <openssl/evp.h>

#include "core/check.h"
#include "core/redis.h"
#include "core/redis_request.h"

namespace goma::core {

namespace {

const redisReply* of(const void* raw) { return static_cast<const redisReply*>(raw); }

std::string sha1_hex(std::string_view text) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  GOMA_CHECK(EVP_Digest(text.data(), text.size(), digest, &length, EVP_sha1(), nullptr) == 1);
  std::string hex;
  for (unsigned i = 0; i < length; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

}  // namespace

RedisReply::Kind RedisReply::kind() const {
  if (raw_ == nullptr) return Kind::nil;
  switch (of(raw_)->type) {
    case REDIS_REPLY_STATUS: return Kind::status;
    case REDIS_REPLY_ERROR: return Kind::error;
    case REDIS_REPLY_INTEGER: return Kind::integer;
    case REDIS_REPLY_STRING: return Kind::text;
    case REDIS_REPLY_ARRAY: return Kind::list;
    default: return Kind::nil;
  }
}

std::string_view RedisReply::text() const {
  const Kind k = kind();
  if (k != Kind::status && k != Kind::error && k != Kind::text) return {};
  return {of(raw_)->str, static_cast<size_t>(of(raw_)->len)};
}

int64_t RedisReply::integer() const { return kind() == Kind::integer ? of(raw_)->integer : 0; }

size_t RedisReply::size() const { return kind() == Kind::list ? of(raw_)->elements : 0; }

RedisReply RedisReply::operator[](size_t index) const { return RedisReply(index < size() ? of(raw_)->element[index] : nullptr); }

std::string_view outcome_name(RedisResult::Outcome outcome) {
  static constexpr std::string_view names[] = {"answer", "refused", "unreachable", "unavailable", "late", "overload"};
  return names[static_cast<size_t>(outcome)];
}

RedisScript::RedisScript(std::string_view text) : text_(text), sha_(sha1_hex(text)) {}

void RedisRequest::clear() {
  queue.unlink();
  clock.unlink();
  call = nullptr;
  link = nullptr;
  settled = asking = sent = with_text = false;
  redirects = 0;
  slot = -1;
  script = nullptr;
  wire.clear();
}

void begin_command(std::string& wire, size_t words) { fmt::format_to(std::back_inserter(wire), "*{}\r\n", words); }

void append_command(std::string& wire, std::string_view word) {
  fmt::format_to(std::back_inserter(wire), "${}\r\n", word.size());
  wire.append(word).append("\r\n");
}

}  // namespace goma::core
