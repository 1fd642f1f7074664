// SPDX-License-Identifier: Apache-2.0
//
// Regular expressions that cannot be used against us: PCRE2, compiled once with its JIT, matched under limits. A
// pattern was written for Go's RE2, so '$' means the very end, a leading '*' is '.*', and text that is not valid
// UTF-8 simply does not match where it is broken.
//
// The one idea: a match has three outcomes, and the caller must say what "limit" means for it (fail closed).
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct pcre2_real_code_8;

namespace goma::core {

class Regex {
 public:
  enum class Outcome : unsigned char { match, no_match, limit };
  struct Options {
    bool ignore_case = false;
    bool anchored_start = false;  // as if '^' stood in front
  };
  struct Failure {
    std::string reason;  // "missing closing parenthesis"
    size_t offset = 0;   // bytes of the pattern that were read before the parser gave up
  };

  Regex() = default;
  Regex(Regex&& other) noexcept : code_(std::exchange(other.code_, nullptr)) {}
  Regex& operator=(Regex&& other) noexcept {
    std::swap(code_, other.code_);
    return *this;
  }
  Regex(const Regex&) = delete;
  Regex& operator=(const Regex&) = delete;
  ~Regex();

  // Compiles the pattern into `into`; on failure says why and leaves `into` alone. May run on any thread.
  static std::optional<Failure> compile(std::string_view pattern, Options options, Regex& into);

  bool compiled() const { return code_ != nullptr; }
  // Looks for the pattern anywhere in the subject. Requires: compiled(). Safe on several threads at once.
  Outcome match(std::string_view subject) const;
  // The same, and fills groups[0..n] with views into the subject (an unset group is an empty view).
  Outcome match(std::string_view subject, std::vector<std::string_view>& groups) const;
  // Go's ReplaceAllString: every match replaced by the template with $1, ${1}, $name, ${name} and $$. `out` is
  // the subject when nothing matched, and unspecified at limit.
  Outcome replace_all(std::string_view subject, std::string_view replacement, std::string& out) const;

 private:
  pcre2_real_code_8* code_ = nullptr;
};

// What a person can do about a pattern failure ("to match a literal parenthesis write \("); may be empty.
std::string regex_advice(const Regex::Failure& failure);

}  // namespace goma::core
