// SPDX-License-Identifier: Apache-2.0
//
// The log as a file among files: making it, and rotation. When it is too large it is renamed to
// NAME-2026-08-04T10-00-00.000.EXT beside itself, and what is too many or too old of those goes. The manager asks, a
// child of the master renames (core/log_keeper.h), then everybody reopens.
#pragma once

#include <string>

#include "core/result.h"
#include "core/service.h"
#include "core/settings.h"

namespace goma::core {

// The file of a plan as an absolute path or as the process sees it; "" when the log is not a file.
std::string log_path(const Plan& plan, const std::string& prefix);
// Makes the file and gives it to the workers' user, who will open it; a FIFO without a reader is well. Error: refused, a
// complete line.
Result<void> make_log(const Plan& plan, const Settings& settings);
// What make_log would refuse, asked without making anything.
Result<void> may_make_log(const Plan& plan, const Settings& settings);
// Whether the workers' user may enter the directory of the log; if not, their lines go to standard output. Asked as that
// user: for children of the master that serve nobody.
Result<void> workers_reach_log(const Plan& plan, const Settings& settings);
// Whether the file has reached its size.
bool log_is_full(const Plan& plan, const std::string& prefix);
// Renames the file and removes old ones. Error: refused, a complete line.
Result<void> rotate_log(const Plan& plan, const Settings& settings);

}  // namespace goma::core
