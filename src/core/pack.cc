// SPDX-License-Identifier: Apache-2.0
//
// Writing and reading, and what a text that ends too early gives.
#include "core/pack.h"

#include <cstring>

namespace goma::core {

Pack& Pack::number(uint64_t value) {
  bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  return *this;
}

Pack& Pack::text(std::string_view value) {
  number(value.size());
  bytes_.append(value);
  return *this;
}

uint64_t Unpack::number() {
  uint64_t value = 0;
  if (rest_.size() < sizeof value) {
    ok_ = false;
    rest_ = {};
    return 0;
  }
  std::memcpy(&value, rest_.data(), sizeof value);
  rest_.remove_prefix(sizeof value);
  return value;
}

std::string Unpack::text() {
  const uint64_t size = number();
  if (size > rest_.size()) {
    ok_ = false;
    rest_ = {};
    return {};
  }
  std::string value(rest_.substr(0, size));
  rest_.remove_prefix(size);
  return value;
}

}  // namespace goma::core
