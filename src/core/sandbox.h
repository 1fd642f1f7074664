// SPDX-License-Identifier: Apache-2.0
//
// What a process that speaks with strangers gives up for good before it begins: capabilities, also those that a program
// it could execute would get, and system calls that serving never needs and breaking in does.
//
// The filter names what is refused, with EPERM, and lets the rest pass: a list of what is allowed would break with every
// update of OpenSSL or the C library, at the moment of the update and in the middle of the night. What a kernel without
// filters, or a container that forbids them, cannot give is left out with a warning; `gomactl workers` shows what holds.
#pragma once

#include <sys/types.h>

#include <string>

#include "core/process.h"
#include "core/result.h"

namespace goma::core::sandbox {

// Becomes this user, without a capability and without a way to get one. What a service manager's own filter does not let
// a process give up stays, and state_of() shows it. Error: refused, when it cannot become the user.
Result<void> give_up_rights(const process::Identity& identity);
// Installs the filter in this process, which has one thread. Error: refused, or invalid where goma was built without.
Result<void> filter_calls();
// "system call filter (libseccomp 2.5.4)", for `goma -V`.
std::string version();

// What holds for a process, from /proc.
struct State {
  bool known = false;
  bool no_new_privileges = false;
  bool capabilities = false;  // it has some, or an execve could bring some
  bool filter = false;
};
State state_of(pid_t pid);
// "no new privileges, no capabilities, system call filter"
std::string describe(const State& state);

}  // namespace goma::core::sandbox
