// SPDX-License-Identifier: Apache-2.0
//
// libidn2 does it; what is ASCII never gets there.
#include "core/idn.h"

#include <idn2.h>

#include <algorithm>

#include "core/text.h"

namespace goma::core {

namespace {

// RFC 3986 3.2.2 without the comma and '%'. UTS 46 makes slashes, colons and percent signs of some letters.
constexpr std::string_view name_bytes = "abcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+;=";

}  // namespace

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

Result<std::string> to_a_label(std::string_view name) {
  if (is_ascii(name)) return to_lower(name);
  char* made = nullptr;
  const int result = idn2_to_ascii_8z(std::string(name).c_str(), &made, IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT);
  if (result != IDN2_OK) return Error{Code::invalid, idn2_strerror(result), 0};
  std::string label(made);
  idn2_free(made);
  if (label.find_first_not_of(name_bytes) != std::string::npos) return Error{Code::invalid, "it holds a letter that becomes a delimiter", 0};
  return label;
}

std::string to_u_label(std::string_view name) {
  std::string label(name);
  char* made = nullptr;
  if (name.find("xn--") == std::string_view::npos || idn2_to_unicode_8z8z(label.c_str(), &made, IDN2_NONTRANSITIONAL) != IDN2_OK) return label;
  label = made;
  idn2_free(made);
  return label;
}

}  // namespace goma::core
