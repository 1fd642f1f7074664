// SPDX-License-Identifier: Apache-2.0
//
// How exchanges end.
#pragma once

#include <string_view>

namespace goma::http {

// Who or what ended an exchange, for log and metrics. Names in ending_name().
enum class Ending : unsigned char {
  complete,
  client_abort,        // the client left before the response was complete
  client_timeout,      // the client was too slow to send or to read
  bad_request,         // refused by the parser or the path rules
  no_route,
  refused,             // a middleware answered
  backend_connect,     // no connection to a backend
  backend_timeout,
  backend_fault,       // closed, reset, malformed
  backend_truncated,   // the response was cut in the middle
  overload,            // a limit of the gateway was reached
  gateway_stop,
  tunnel_idle,         // nothing passed for too long
  internal,
};
std::string_view ending_name(Ending ending);

}  // namespace goma::http
