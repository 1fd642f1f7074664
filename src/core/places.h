// SPDX-License-Identifier: Apache-2.0
//
// Where an instance keeps its pid file, its control socket and its state: under -p DIR, or under the run directory of
// the system. goma and gomactl look here, so that they meet.
#pragma once

#include <string>

#include "core/result.h"
#include "core/settings.h"

namespace goma::core {

// Fills prefix and the places; with `make` the run directory is made when it is the default one and missing. Error: not_found, refused.
Result<void> find_places(const std::string& prefix, Settings& settings, bool make);
// The control socket of the instance with this prefix ("" = the default one); the most likely one when there is none.
std::string control_socket_of(const std::string& prefix);
// The absolute path of the program that was started under this name.
std::string find_binary(const std::string& name);

}  // namespace goma::core
