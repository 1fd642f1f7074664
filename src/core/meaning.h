// SPDX-License-Identifier: Apache-2.0
//
// What a configuration says, as a text that is the same when it says the same: by its tables, so that the order of
// keys, comments, quotes, spellings and defaults written out make no difference, and a secret does. For comparing only:
// nobody may see it.
#pragma once

#include <span>
#include <string>

#include "core/schema.h"

namespace goma::core {

// Of a struct that was read.
std::string meaning_of(const Section& section, const void* conf);
// Of a mapping, by the table that would read it; null is an empty one. Keys match as in rules, whatever their case.
// Requires: it was read without errors.
std::string meaning_of(std::span<const Field> fields, const yaml::Node* mapping);

}  // namespace goma::core
