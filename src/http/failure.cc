// SPDX-License-Identifier: Apache-2.0
//
// The words. What is wrong with a response begins with "upstream-".
#include "http/failure.h"

#include <iterator>

namespace goma::http {

std::string_view failure_name(Failure::Kind kind) {
  static constexpr std::string_view names[] = {
      "none",
      "resolve",
      "connect",
      "connect-timeout",
      "exhausted",
      "queue-full",
      "queue-timeout",
      "send",
      "closed",
      "reset",
      "header-timeout",
      "truncated",
      "body-timeout",
      "tls",
      "upstream-header-too-large",
      "upstream-too-many-headers",
      "upstream-bad-status-line",
      "upstream-bad-header",
      "upstream-control-byte",
      "upstream-bad-length",
      "upstream-conflicting-lengths",
      "upstream-both-lengths",
      "upstream-bad-coding",
      "upstream-bad-chunk",
      "upstream-informational-flood",
      "upstream-unasked-switch",
      "upstream-bad-http2",
      "upstream-bare-lf",
      "upstream-empty-line",
      "upstream-repeated-length",
      "upstream-folded-line",
      "upstream-blank-before-colon",
  };
  static_assert(std::size(names) == Failure::kinds);
  return names[static_cast<size_t>(kind)];
}

}  // namespace goma::http
