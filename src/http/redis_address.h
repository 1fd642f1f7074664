// SPDX-License-Identifier: Apache-2.0
//
// How people write where Redis is: host:port, [IPv6]:port, a unix socket, or a URL with everything in it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/redis_settings.h"
#include "core/result.h"

namespace goma::http {

struct RedisUrl {
  core::RedisAddress address;
  std::string username, password;  // decoded
  std::optional<int> database;
  bool tls = false;                // rediss://
  bool has_credentials = false;
};

// Accepts host, host:port, :port (this machine), [IPv6]:port, unix:/path, /path, redis://[user:password@]host[:port][/db]
// and rediss://. The error's text continues a sentence: "has no port between 1 and 65535"; it never shows the text.
core::Result<RedisUrl> parse_redis_address(std::string_view text, uint16_t default_port);
// The text without what a URL says besides the server: user, password, database.
std::string bare_redis_address(std::string_view text);

}  // namespace goma::http
