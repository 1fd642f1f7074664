// SPDX-License-Identifier: Apache-2.0
//
// Where a process was when it was aborted, by itself (core/check.h) or by the master because it was silent
// (core/heartbeat.h): the addresses of its stack, left in the process table, and what they mean.
//
// The one idea: processes of an instance are forks of one program, so that the master can read what the addresses of any
// of them mean, at leisure and in good health; who is aborted only writes numbers.
#pragma once

#include <string>

#include "core/slab.h"

namespace goma::core::stack_trace {

// From now on SIGABRT leaves the stack of this process in its entry before it ends it. The table must live as long as
// the process.
void leave_in(ProcessTable& table);

// "goma+0x1a2b3c epoll_wait+0x56 ...", the innermost first; offsets are for addr2line. Empty: it left none.
std::string describe(const ProcessTable::Entry& entry);

}  // namespace goma::core::stack_trace
