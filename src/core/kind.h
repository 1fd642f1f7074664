// SPDX-License-Identifier: Apache-2.0
//
// The closed set of value kinds: what each accepts, what it calls itself in a message, and what it says when a value
// does not fit. A duration, an address, a URL are judged here and nowhere else.
//
// What it does not do: walk mappings or store anything; that is core/schema.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/schema.h"

namespace goma::core {

// Why a value does not fit.
struct Complaint {
  std::string code = "bad-type";
  std::string message;              // follows the key's name: "wants a whole number, got the text "x""
  std::string hint;
  std::string suggestion;           // the replacement alone
  std::vector<std::string> notes;
};

// Turns a scalar into a value by the field's kind; nothing when it fits. The value's views point into the
// node, or into the value itself: it is not to be moved.
std::optional<Complaint> judge(const Field& field, const yaml::Node& node, Value& value);

// What a kind wants, for messages and documents: "a whole number of seconds".
std::string kind_words(const Field& field);
// An example for the kind, as it is written in YAML; may be empty.
std::string kind_example(const Field& field);
// How a message calls a value: the text "sixty", a list, nothing.
std::string got_words(const yaml::Node& node);

}  // namespace goma::core
