// SPDX-License-Identifier: Apache-2.0
//
// The `paths` of a middleware, by Goma's rules (goma-config 9.3): each pattern is tried as a regular expression that
// starts where the path starts, alone and behind the route's own path, and else as literal text.
//
// The invariant: in doubt it matches. A pattern that costs too much to judge counts as a match, and so does a path
// that matches only without its ";parameters": most of these sets say what is guarded.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/problem.h"
#include "core/regex.h"
#include "core/schema.h"

namespace goma::http {

class PathSet {
 public:
  // How Goma joins a pattern with the route's path.
  enum class Base : bool {
    with_route,  // alone and behind the route's path
    alone,       // only against the whole path (responseHeaders)
  };

  // The patterns of a middleware on a route with this path. Null when there are no patterns (what that means is the
  // middleware's affair). Patterns that are no valid regular expression are literal, with a warning.
  static std::unique_ptr<PathSet> compile(std::span<const core::PlacedText> patterns, std::string_view route_path,
                                          Base base, core::Problems& problems);
  static std::unique_ptr<PathSet> compile(std::span<const core::PlacedText> patterns, std::string_view route_path,
                                          core::Problems& problems) {
    return compile(patterns, route_path, Base::with_route, problems);
  }

  // Whether any pattern matches this decoded, canonical path. Allocates only for paths with ';'.
  bool matches(std::string_view path) const;
  // Whether any pattern matches the path as it was received or as it will be forwarded.
  bool matches_either(std::string_view received, std::string_view forwarded) const {
    return matches(received) || (forwarded != received && matches(forwarded));
  }

 private:
  PathSet() = default;
  void add(const core::PlacedText& pattern, std::string_view prefix, core::Problems& problems);
  void add_prefix(std::string text);
  void add_literal(const std::string& expression);
  std::optional<core::Regex::Failure> add_expression(const std::string& expression);
  bool matches_one_form(std::string_view path) const;

  std::vector<std::string> prefixes_;  // patterns without special characters; ASCII case ignored
  std::vector<core::Regex> regexes_;
  std::vector<std::string> sources_;   // of regexes_
};

}  // namespace goma::http
