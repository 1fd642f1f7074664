// SPDX-License-Identifier: Apache-2.0
//
// Whether the address sanitizer is built in (`make check-asan`, `make fuzz`), asked in one place: g++ and clang say it in
// different words. What hides memory or other processes from it steps aside then.
#pragma once

#if defined(__SANITIZE_ADDRESS__)
#define GOMA_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GOMA_SANITIZED 1
#endif
#endif

#ifdef GOMA_SANITIZED
#include <sanitizer/lsan_interface.h>
#endif

namespace goma::core {

#ifdef GOMA_SANITIZED
inline constexpr bool sanitized = true;
// Tells of memory that nothing points to any more. For processes that end without exit(3), which would do it.
inline void report_leaks() { __lsan_do_recoverable_leak_check(); }
#else
inline constexpr bool sanitized = false;
inline void report_leaks() {}
#endif

}  // namespace goma::core
