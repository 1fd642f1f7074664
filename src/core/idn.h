// SPDX-License-Identifier: Apache-2.0
//
// Host names beyond ASCII (UTS 46, non-transitional; RFC 5891). Clients send and resolvers ask for the A-label form alone
// ("xn--mnchen-3ya.test"), so it is the only one that goma keeps; the other is for people.
#pragma once

#include <string>
#include <string_view>

#include "core/result.h"

namespace goma::core {

bool is_ascii(std::string_view text);

// The A-label form of a name in UTF-8; one in ASCII is given back as it is, but for its case. Error: invalid, with the
// reason why this is no name: among them that it would hold a delimiter, an encoded one included.
Result<std::string> to_a_label(std::string_view name);

// The name as people write it; the same text where there is nothing to decode.
std::string to_u_label(std::string_view name);

}  // namespace goma::core
