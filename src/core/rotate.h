// SPDX-License-Identifier: Apache-2.0
//
// The log as a file among files: making it, and rotation. When it is too large it is renamed to
// NAME-2026-08-04T10-00-00.000.EXT beside itself, and what is too many or too old of those goes. The manager asks, the
// master renames, then everybody reopens.
#pragma once

#include <string>

#include "core/result.h"
#include "core/service.h"
#include "core/settings.h"

namespace goma::core {

// The file of a plan as an absolute path or as the process sees it; "" when the log is not a file.
std::string log_path(const Plan& plan, const std::string& prefix);
// Makes the file and gives it to the workers' user, who will open it. Error: refused, a complete line.
Result<void> make_log(const Plan& plan, const Settings& settings);
// Whether the file has reached its size.
bool log_is_full(const Plan& plan, const std::string& prefix);
// Renames the file and removes old ones. False when there was nothing to rename.
bool rotate_log(const Plan& plan, const std::string& prefix);

}  // namespace goma::core
