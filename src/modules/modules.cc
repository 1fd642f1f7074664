// SPDX-License-Identifier: Apache-2.0
//
// The inventory. Writing a module: one file here with its ModuleInfo at the end, and its name in the list below.
#include "modules/modules.h"

#ifndef GOMA_ADDED_MODULES
#define GOMA_ADDED_MODULES(X)
#endif

#define GOMA_BUILT_IN_MODULES(X) \
  X(respond)                     \
  X(add_prefix)                  \
  X(request_headers)             \
  X(response_headers)            \
  X(redirect_scheme)             \
  X(forward_auth)                \
  X(rate_limit)                  \
  X(quota)                       \
  X(http_cache)                  \
  X(access_log)

namespace goma::mod {

#define GOMA_DECLARE(name) extern const http::ModuleInfo name##_module;
GOMA_BUILT_IN_MODULES(GOMA_DECLARE)
GOMA_ADDED_MODULES(GOMA_DECLARE)

std::span<const http::ModuleInfo* const> all_modules() {
#define GOMA_LIST(name) &name##_module,
  static const http::ModuleInfo* const modules[] = {GOMA_BUILT_IN_MODULES(GOMA_LIST) GOMA_ADDED_MODULES(GOMA_LIST)};
  return modules;
}

}  // namespace goma::mod
