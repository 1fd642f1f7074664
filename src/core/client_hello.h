// SPDX-License-Identifier: Apache-2.0
//
// The server name in the first message of a TLS client (RFC 8446 4.1.2, RFC 6066 3), found without decrypting or
// answering anything. The message may be cut into several records (RFC 8446 5.1).
//
// What it does not do: judge the rest of the message; the server that gets the connection does.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace goma::core {

struct ClientHello {
  enum class State : unsigned char {
    more,     // a beginning; more bytes are needed
    not_tls,  // something else
    bad,      // TLS, but broken or longer than max_bytes
    ok,
  };
  static constexpr size_t max_bytes = 16 * 1024;

  State state = State::more;
  std::string server_name;  // with ok; empty when the client names none
};

// Looks at the first bytes of a connection.
ClientHello read_client_hello(std::string_view bytes);

}  // namespace goma::core
