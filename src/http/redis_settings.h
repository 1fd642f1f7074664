// SPDX-License-Identifier: Apache-2.0
//
// What the client of Redis is told: gateway.redis, its certificates read. The configuration has said before what is
// wrong with the keys; here only files can be missing or broken.
#pragma once

#include <memory>

#include "core/problem.h"
#include "core/redis_settings.h"
#include "core/source.h"
#include "http/config.h"

namespace goma::http {

// Null without Redis, and after adding an error. source null: nothing can be read.
std::shared_ptr<const core::RedisSettings> redis_settings_of(const Config& config, core::Source* source, core::Problems& problems);

}  // namespace goma::http
