// SPDX-License-Identifier: Apache-2.0
//
// Rules between keys: what no single table can see. Runs once over the merged configuration.
#pragma once

#include "core/problem.h"
#include "http/config.h"

namespace goma::http {

// Adds a problem for every broken rule.
void check_config(const Config& config, core::Problems& problems);

}  // namespace goma::http
