// SPDX-License-Identifier: Apache-2.0
//
// A start without starting: what a configuration that is right in itself would meet on this machine. Addresses are bound
// and let go, directories and files are asked about, nothing is made; what the running instance holds itself is well. So
// what `goma -t` and `gomactl test` accept, starts.
#pragma once

#include <sys/types.h>

#include <vector>

#include "core/problem.h"
#include "core/service.h"
#include "core/settings.h"

namespace goma::core {

// What of a start is wrong becomes findings, at the key that asks for it. Returns what a start would exit with: 0; 78
// when the file is to be mended; 1 when the machine is. `friends` are the processes of this instance.
int rehearse(const Plan& plan, const Settings& settings, const std::vector<pid_t>& friends, Problems& problems);
// Tells what is wrong with the log: what it says of making it (an error), and whether workers reach it (a warning).
void tell_log(const Plan& plan, const Settings& settings, const Result<void>& made, Problems& problems);

// The processes of the instance with these places, as seen from outside: its master with all its children, and those that
// a killed master left behind.
std::vector<pid_t> instance_at(const Settings& settings);

}  // namespace goma::core
