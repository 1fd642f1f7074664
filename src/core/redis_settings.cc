// SPDX-License-Identifier: Apache-2.0
//
// Settings as text, and compared.
#include "core/redis_settings.h"

#include <fmt/format.h>

#include <tuple>

namespace goma::core {

std::string RedisAddress::text() const {
  if (is_unix()) return host;
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port) : fmt::format("[{}]:{}", host, port);
}

bool RedisSettings::same_as(const RedisSettings& other) const {
  const auto parts = [](const RedisSettings& s) {
    return std::tie(s.mode, s.addresses, s.master_name, s.username, s.password, s.sentinel_username, s.sentinel_password, s.database, s.server_name, s.sentinel_tls, s.digest, s.key_prefix);
  };
  return parts(*this) == parts(other) && (tls == nullptr) == (other.tls == nullptr);
}

}  // namespace goma::core
