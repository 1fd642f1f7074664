// SPDX-License-Identifier: Apache-2.0
//
// Goma's text expansion of one scalar: first {{helper(arguments)}}, then ${NAME} and {NAME} for variables that are set,
// and ours: ${NAME:-text} is the text when NAME is not set or empty; the text may name variables. Everything else stays
// verbatim: $NAME, {2,3}, {route.name}. http/config_variables tells what was meant to be a variable and stayed.
//
// The invariant: the same source gives the same result. Randomness comes from one read through the source, so every
// worker that builds from a bundle makes the same "random" text as the loader did.
#pragma once

#include <ctime>
#include <string>
#include <string_view>

#include "core/source.h"

namespace goma::http {

class Expander {
 public:
  explicit Expander(core::Source& source) : source_(source) {}

  // Expands the text in place; true when it changed.
  bool operator()(std::string& text);

 private:
  bool call(std::string_view expression, std::string& out);
  bool replace_variables(std::string_view text, std::string& out, int depth);
  std::string random_bytes(size_t n);
  std::string random_text(size_t n, std::string_view alphabet);
  std::string uuid();

  core::Source& source_;
  std::string seed_;
  uint64_t drawn_ = 0;
};

// Go's time.Format with a layout or one of Goma's names ("rfc3339", "datetime", ...), in local time.
std::string format_date(const timespec& time, std::string_view layout);

}  // namespace goma::http
