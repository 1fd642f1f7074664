// SPDX-License-Identifier: Apache-2.0
//
// From "did not find expected key" to the reader's words: libyaml says where it noticed and where the construct
// began; a table of the traps that gateway files invite turns that into a cause and a fix.
//
// What it does not do: judge. The text was refused already.
#pragma once

#include <yaml.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/problem.h"

namespace goma::core::yaml {

// A block mapping: how far it is indented, the key that was read last in it, and the key it is the value of.
struct Level {
  int indent = 0;
  std::string key;
  std::string owner;
};

// Adds one problem for a parser that stopped. `levels` are the block mappings on the way to the place, outermost first,
// those that were closed last included.
void report_trap(const std::string& file, std::string_view text, const yaml_parser_t& parser, const std::vector<Level>& levels, Problems& problems);

// Whether the bytes are no UTF-8 text but one of its relatives: what it is, and how to mend it. Without a line, so that
// no such byte gets to a terminal.
std::optional<Problem> foreign_encoding(const std::string& file, std::string_view text);

// The place of a byte offset.
Place place_of_offset(const std::string& file, std::string_view text, size_t offset);

}  // namespace goma::core::yaml
