// SPDX-License-Identifier: Apache-2.0
//
// Rules between keys: what no single table can see. Runs once over the merged configuration.
#pragma once

#include "core/problem.h"
#include "http/config.h"

namespace goma::http {

// Adds a problem for every broken rule.
void check_config(const Config& config, core::Problems& problems);

// The directory of this key could not be read: an error where what serves was read from it, or when it is there; one that
// is not there at the first start is a warning.
void tell_unread_directory(const std::string& key, const core::PlacedText& directory, const core::Error& error, const core::Source& source,
                           core::Problems& problems);

}  // namespace goma::http
