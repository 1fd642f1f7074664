// SPDX-License-Identifier: Apache-2.0
//
// The `paths` of a middleware, by Goma's rules (goma-config 9.3): each pattern is tried as a regular expression that
// starts where the path starts, alone and behind the route's own path, and else as literal text.
//
// A path has several forms: each of its readings (http/uri.h), with the ";parameters" of its segments and without. The
// invariant: nobody gets around what the set is for by choosing a form. Most sets say what is guarded: then one form that
// matches suffices, and so does a pattern that costs too much to judge. A set that says what is granted wants all.
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
#include "http/uri.h"

namespace goma::http {

class PathSet {
 public:
  // How Goma joins a pattern with the route's path.
  enum class Base : bool {
    with_route,  // alone and behind the route's path
    alone,       // only against the whole path (responseHeaders)
  };
  // What the set says when the forms of a path disagree.
  enum class Doubt : bool {
    matches,  // what it is for protects somebody
    fails,    // what it is for is a favour (httpCache: not to ask the backend)
  };
  struct Rules {
    Base base = Base::with_route;
    Doubt doubt = Doubt::matches;
  };

  // The patterns of a middleware on a route with this path. Null when there are no patterns (what that means is the
  // middleware's affair). Patterns that are no valid regular expression are literal, with a warning.
  static std::unique_ptr<PathSet> compile(std::span<const core::PlacedText> patterns, std::string_view route_path,
                                          Rules rules, core::Problems& problems);

  // Whether any pattern matches this path. Allocates only for paths with ';'.
  bool matches(const CanonicalPath& path) const;

 private:
  explicit PathSet(Doubt doubt) : doubt_(doubt) {}
  void add(const core::PlacedText& pattern, std::string_view prefix, core::Problems& problems);
  void add_prefix(std::string text);
  void add_literal(const std::string& expression);
  std::optional<core::Regex::Failure> add_expression(const std::string& expression);
  bool matches_reading(std::string_view path) const;
  bool matches_form(std::string_view path) const;

  std::vector<std::string> prefixes_;  // patterns without special characters; ASCII case ignored
  std::vector<core::Regex> regexes_;
  std::vector<std::string> sources_;   // of regexes_
  Doubt doubt_;
};

}  // namespace goma::http
