// SPDX-License-Identifier: Apache-2.0
//
// Dictionaries of structured fields (RFC 8941 3.2, 4.2.2), as far as cache directives need them: names with a boolean, an
// integer, or something else. The one idea: what breaks the grammar anywhere makes the whole field none.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

namespace goma::http {

struct DictionaryMember {
  enum class Kind : unsigned char { yes, no, integer, string, other };
  std::string_view name;
  Kind kind = Kind::yes;
  std::string_view text;  // of an integer with its sign, of a string without its quotes and as it was escaped
};

// The members in order, of several with a name only the last. Views into the text. Nothing: it is no dictionary.
std::optional<std::vector<DictionaryMember>> parse_dictionary(std::string_view text);

}  // namespace goma::http
