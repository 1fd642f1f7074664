// SPDX-License-Identifier: Apache-2.0
//
// PROXY headers: a header that is there is there whatever follows it, every beginning of it asks for more, a refusal
// stays one, and what is understood can be written and read again.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "core/proxy_protocol.h"

using namespace goma::core;
using State = ProxyHeader::State;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const ProxyHeader whole = read_proxy_header(bytes);
  if (whole.state == State::ok && (whole.length > size || whole.length > ProxyHeader::max_bytes)) std::abort();
  bool refused = false;
  for (size_t cut = 0; cut <= std::min<size_t>(size, 300); ++cut) {
    const ProxyHeader part = read_proxy_header(std::string(bytes.substr(0, cut)));
    if (refused && part.state != State::bad) std::abort();
    if (whole.state == State::ok && cut < whole.length && part.state != State::more) std::abort();
    refused = part.state == State::bad;
  }
  if (whole.state != State::ok || whole.local) return 0;
  for (const int version : {1, 2}) {
    const ProxyHeader again = read_proxy_header(write_proxy_header(version, whole.source, whole.destination));
    if (again.state != State::ok) std::abort();
    if (!again.local && (again.source != whole.source || again.destination != whole.destination)) std::abort();
  }
  return 0;
}
