// SPDX-License-Identifier: Apache-2.0
//
// Hellos: an answer, once given, does not change with what follows, and before it only more was asked for.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "core/client_hello.h"

using goma::core::ClientHello;
using State = ClientHello::State;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  ClientHello last;
  for (size_t cut = 0; cut <= std::min<size_t>(size, 400); ++cut) {
    const ClientHello now = goma::core::read_client_hello(std::string(bytes.substr(0, cut)));
    if (last.state != State::more && (now.state != last.state || now.server_name != last.server_name)) std::abort();
    last = now;
  }
  const ClientHello whole = goma::core::read_client_hello(bytes);
  if (whole.state == State::ok && whole.server_name.size() > 255) std::abort();
  if (last.state != State::more && (whole.state != last.state || whole.server_name != last.server_name)) std::abort();
  return 0;
}
