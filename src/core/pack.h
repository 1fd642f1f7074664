// SPDX-License-Identifier: Apache-2.0
//
// Numbers and texts in one text, for what travels between processes of this host or lies in Redis.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace goma::core {

// Values one after the other; numbers are eight bytes in host order, texts carry their length.
class Pack {
 public:
  Pack& number(uint64_t value);
  Pack& text(std::string_view value);
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

// Reads what Pack wrote. Reading past the end gives zeros and empty texts, and ok() tells.
class Unpack {
 public:
  explicit Unpack(std::string_view bytes) : rest_(bytes) {}
  uint64_t number();
  std::string text();
  bool ok() const { return ok_; }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace goma::core
