// SPDX-License-Identifier: Apache-2.0
//
// The field tables as documents: JSON Schema (draft-07) for editors, the Markdown reference, the mdoc manual, and
// the effective configuration with the origin of every value. There is no second description of a key anywhere.
//
// What is written is a function of the tables alone: the same binary always writes the same bytes.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/schema.h"

namespace goma::core {

// The rule table of a kind of middleware, as the documents need it.
struct RuleSection {
  std::span<const std::string_view> types;  // accepted `type` spellings, preferred one first
  std::string_view doc;                     // one line
  std::span<const Field> fields;
};

struct DescribeInput {
  const Section* root = nullptr;            // the whole file
  const Section* rule_owner = nullptr;      // the section whose "rule" depends on its "type"
  std::vector<RuleSection> rules;
};

std::string describe_schema(const DescribeInput& input);
std::string describe_markdown(const DescribeInput& input);
std::string describe_mdoc(const DescribeInput& input);

// The struct as YAML with defaults filled in, secrets masked, and a trailing comment with the origin of each value:
// FILE:LINE when `node` (the mapping it was read from, may be null) has the key, the environment variable when `used` has
// "section.key", else "default". Indented by `indent` spaces.
std::string print_section(const Section& section, const void* conf, const yaml::Node* node,
                          const std::map<std::string, std::string>& used, int indent);

}  // namespace goma::core
