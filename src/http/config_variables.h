// SPDX-License-Identifier: Apache-2.0
//
// Variables that a configuration names and nobody has set. Goma leaves them as they stand, so that "${PURGE_TOKEN}" is
// the token and everybody knows it: where a secret stands that is an error, elsewhere a warning.
//
// A pair {NAME} without '$' means other things too: {id} in a path, {sub} in a host, a brace of a regular expression. It
// is taken for a variable only where none of these can stand, and when it is written as variables are.
#pragma once

#include <string>
#include <vector>

#include "core/problem.h"
#include "core/source.h"
#include "core/yaml.h"

namespace goma::http {

class UnsetVariables {
 public:
  explicit UnsetVariables(core::Source& source) : source_(source) {}

  // Finds them in a file whose variables have been replaced. From now on every finding about such a value says why.
  // The nodes must live until tell().
  void look(const core::yaml::Node& root, core::Problems& problems);
  // Tells those that no error has told.
  void tell(core::Problems& problems) const;

 private:
  struct Found {
    core::Place place;
    std::string reason;
    std::string hint;
    bool in_secret;
  };
  struct Where {
    std::string_view key;   // the nearest one above
    bool secret = false;    // something above names a secret
  };
  void walk(const core::yaml::Node& node, Where where, core::Problems& problems);
  void judge(const core::yaml::Node& scalar, Where where, core::Problems& problems);

  core::Source& source_;
  std::vector<Found> found_;
};

}  // namespace goma::http
