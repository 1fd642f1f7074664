// SPDX-License-Identifier: Apache-2.0
//
// The words of the log and of metrics.
#include "http/ending.h"

#include <cstddef>

namespace goma::http {

std::string_view ending_name(Ending ending) {
  static constexpr std::string_view names[] = {"complete",        "client-abort",    "client-timeout", "bad-request",
                                               "no-route",        "refused",         "backend-connect", "backend-timeout",
                                               "backend-fault",   "backend-truncated", "overload",      "gateway-stop",
                                               "tunnel-idle",     "internal"};
  return names[static_cast<size_t>(ending)];
}

}  // namespace goma::http
