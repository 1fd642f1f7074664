// SPDX-License-Identifier: Apache-2.0
//
// The guard of an HTTP/2 connection: cut in two anywhere, or byte by byte, the same frames get the same verdict. The
// first byte says where to cut.
#include <cstdint>
#include <cstdlib>

#include "http/h2_guard.h"

using goma::http::H2Guard;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const char* const bytes = reinterpret_cast<const char*>(data) + 1;
  const size_t n = size - 1;
  const size_t cut = data[0] * n / 256;
  H2Guard whole({}, 0);
  H2Guard halves({}, 0);
  H2Guard single({}, 0);
  whole.feed(bytes, n, 1);
  halves.feed(bytes, cut, 1);
  halves.feed(bytes + cut, n - cut, 1);
  for (size_t i = 0; i < n; ++i) single.feed(bytes + i, 1, 1);
  if (whole.abuse() != halves.abuse() || whole.abuse() != single.abuse()) std::abort();
  return 0;
}
