// SPDX-License-Identifier: Apache-2.0
//
// How a text names a variable of the environment: ${NAME} and {NAME} as Goma has them, ${NAME:-default} as shells do.
//
// What it does not do: replace anything; http/config_expand does, http/config_variables tells what was left.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace goma::core {

struct VariableUse {
  size_t begin = 0, end = 0;        // the bytes that name it
  std::string_view name;
  bool has_dollar = false;
  bool has_fallback = false;        // ${NAME:-fallback}
  std::string_view fallback;
  bool is_understood = true;        // false: ${NAME with something else behind it, as in ${NAME:?text}
};

// The first variable that begins at or behind `from`. A fallback ends at the brace that closes it, so it may hold
// variables and braces in pairs.
std::optional<VariableUse> find_variable(std::string_view text, size_t from = 0);

// Whether the text says nothing but which variables it comes from, "Bearer ${TOKEN}" included: then it is no secret.
bool only_names_variables(std::string_view text);

}  // namespace goma::core
