// SPDX-License-Identifier: Apache-2.0
//
// What the writers of core/describe share: a value, a default and a scalar as they stand in a file.
#pragma once

#include <string>
#include <string_view>

#include "core/schema.h"

namespace goma::core {

// The text as a YAML scalar, quoted when it must be.
std::string plain_scalar(std::string_view text);
// In place of a secret.
inline constexpr std::string_view hidden_value = "\"*******\"";
// The value as it is written in YAML; a secret, and credentials in other texts, as stars.
std::string print_value(const Field& field, const Value& value);
// The default of a scalar field, as it is written in YAML; empty when it has none.
std::string default_text(const Field& field);

}  // namespace goma::core
