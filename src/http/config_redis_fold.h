// SPDX-License-Identifier: Apache-2.0
//
// What gateway.redis means, whoever's spelling it is in: addresses, mode, deadlines, TLS. Runs after the file and the
// environment were read; a variable that fits no table (TYK_GW_STORAGE_HOSTS) is read here.
#pragma once

#include <map>
#include <string>

#include "core/problem.h"
#include "core/source.h"
#include "http/config.h"

namespace goma::http {

// How a message calls a key of gateway.redis, and where it stands.
struct RedisSaid {
  std::string name;  // "gateway.redis.ca_file", "the environment variable GOMA_REDIS_DB"
  core::Place place;
  bool given = false;
  bool variable = false;
};
// `key` is the field's name: "addr", "tls.clientCa".
RedisSaid redis_said(const RedisConf& conf, const std::map<std::string, std::string>& environment, const std::string& key);

// Fills conf.addresses, deadline and uses_tls, moves Tyk's keys to ours, and tells what contradicts or has no effect.
// Where a moved value came from is noted in `environment`.
void fold_redis(RedisConf& conf, std::map<std::string, std::string>& environment, core::Source& source, core::Problems& problems);

}  // namespace goma::http
