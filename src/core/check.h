// SPDX-License-Identifier: Apache-2.0
//
// Invariants. GOMA_CHECK is always on: when it fails the process says where and aborts, and the master starts
// another worker. It guards what a bug of ours could break, never what a peer or a user can send.
#pragma once

namespace goma::core {

// Writes "invariant broken: EXPRESSION at FILE:LINE" to stderr and aborts.
[[noreturn]] void invariant_broken(const char* expression, const char* file, int line);

}  // namespace goma::core

#define GOMA_CHECK(condition) \
  (__builtin_expect(!!(condition), 1) ? (void)0 : ::goma::core::invariant_broken(#condition, __FILE__, __LINE__))
