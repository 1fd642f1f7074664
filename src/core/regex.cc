// SPDX-License-Identifier: Apache-2.0
//
// PCRE2 behind three outcomes. Match data and the match context with its limits belong to the thread, so a pattern
// is shared by everyone and a match allocates nothing.
#include "core/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>

#include "core/text.h"

namespace goma::core {

namespace {

constexpr uint32_t match_limit = 100'000;
constexpr uint32_t depth_limit = 10'000;
constexpr uint32_t heap_limit_kib = 4096;
constexpr uint32_t most_groups = 64;

// What one thread needs to match; made at its first match.
struct Workplace {
  pcre2_match_data* data = pcre2_match_data_create(most_groups, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  Workplace() {
    pcre2_set_match_limit(context, match_limit);
    pcre2_set_depth_limit(context, depth_limit);
    pcre2_set_heap_limit(context, heap_limit_kib);
  }
  Workplace(const Workplace&) = delete;
  Workplace& operator=(const Workplace&) = delete;
  ~Workplace() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
  }
};

Workplace& workplace() {
  thread_local Workplace place;
  return place;
}

const unsigned char* bytes(std::string_view text) {
  static const unsigned char empty = 0;
  return text.data() == nullptr ? &empty : reinterpret_cast<const unsigned char*>(text.data());
}

// The number of groups found, 0 for no match, negative at a limit.
int search(const pcre2_code* code, std::string_view subject, size_t from, uint32_t options) {
  Workplace& place = workplace();
  const int n = pcre2_match(code, bytes(subject), subject.size(), from, options, place.data, place.context);
  if (n > 0) return n;
  if (n == 0) return static_cast<int>(most_groups);  // more groups than we keep
  return n == PCRE2_ERROR_NOMATCH ? 0 : -1;
}

// Go accepts a leading '*' once '^' stands in front of it; it means "anything".
std::string translate(std::string_view pattern) {
  if (!pattern.empty() && pattern.front() == '*') return "." + std::string(pattern);
  if (pattern.size() > 1 && pattern.substr(0, 2) == "^*") return "^." + std::string(pattern.substr(1));
  return std::string(pattern);
}

}  // namespace

Regex::~Regex() { pcre2_code_free(code_); }

std::optional<Regex::Failure> Regex::compile(std::string_view pattern, Options options, Regex& into) {
  const std::string text = translate(pattern);
  uint32_t flags = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C;
  if (options.ignore_case) flags |= PCRE2_CASELESS;
  if (options.anchored_start) flags |= PCRE2_ANCHORED;
  int error = 0;
  size_t offset = 0;
  pcre2_code* code = pcre2_compile(bytes(text), text.size(), flags, &error, &offset, nullptr);
  if (code == nullptr) {
    std::array<unsigned char, 256> reason{};
    pcre2_get_error_message(error, reason.data(), reason.size());
    const size_t added = text.size() - pattern.size();
    return Failure{reinterpret_cast<const char*>(reason.data()), offset > added ? offset - added : 0};
  }
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // without JIT the interpreter matches, under the same limits
  pcre2_code_free(into.code_);
  into.code_ = code;
  return std::nullopt;
}

Regex::Outcome Regex::match(std::string_view subject) const {
  const int n = search(code_, subject, 0, 0);
  if (n < 0) return Outcome::limit;
  return n > 0 ? Outcome::match : Outcome::no_match;
}

Regex::Outcome Regex::match(std::string_view subject, std::vector<std::string_view>& groups) const {
  groups.clear();
  const int n = search(code_, subject, 0, 0);
  if (n <= 0) return n < 0 ? Outcome::limit : Outcome::no_match;
  const size_t* offsets = pcre2_get_ovector_pointer(workplace().data);
  for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
    const size_t begin = offsets[2 * i];
    groups.push_back(begin == PCRE2_UNSET ? std::string_view() : subject.substr(begin, offsets[2 * i + 1] - begin));
  }
  return Outcome::match;
}

namespace {

bool is_name_char(char c) { return is_alpha(c) || is_digit(c) || c == '_'; }

// One match of a subject, for looking up what a template refers to.
struct Found {
  const pcre2_code* code;
  std::string_view subject;
  const size_t* offsets;
  size_t count;

  std::string_view group(size_t index) const {
    if (index >= count || offsets[2 * index] == PCRE2_UNSET) return {};
    return subject.substr(offsets[2 * index], offsets[2 * index + 1] - offsets[2 * index]);
  }
  // "1" or "name"; unknown ones are empty, as in Go.
  std::string_view named(std::string_view name) const {
    if (const auto number = parse_u64(name)) return group(static_cast<size_t>(*number));
    const std::string text(name);
    const int index = pcre2_substring_number_from_name(code, bytes(text));
    return index > 0 ? group(static_cast<size_t>(index)) : std::string_view();
  }
};

// Go's Expand: $name takes the longest name, ${name} is explicit, $$ is a dollar, anything else stays.
void expand(std::string_view replacement, const Found& found, std::string& out) {
  while (!replacement.empty()) {
    const size_t dollar = std::min(replacement.find('$'), replacement.size());
    out += replacement.substr(0, dollar);
    replacement.remove_prefix(dollar);
    if (replacement.empty()) return;
    const bool braced = replacement.size() > 1 && replacement[1] == '{';
    size_t end = braced ? 2 : 1;
    while (end < replacement.size() && is_name_char(replacement[end])) ++end;
    const std::string_view name = replacement.substr(braced ? 2 : 1, end - (braced ? 2 : 1));
    if (replacement.size() > 1 && replacement[1] == '$') {
      out += '$';
      replacement.remove_prefix(2);
    } else if (name.empty() || (braced && (end == replacement.size() || replacement[end] != '}'))) {
      out += '$';
      replacement.remove_prefix(1);
    } else {
      out += found.named(name);
      replacement.remove_prefix(end + (braced ? 1 : 0));
    }
  }
}

}  // namespace

Regex::Outcome Regex::replace_all(std::string_view subject, std::string_view replacement, std::string& out) const {
  out.clear();
  size_t copied = 0;
  size_t from = 0;
  bool any = false;
  while (from <= subject.size()) {
    const int n = search(code_, subject, from, 0);
    if (n < 0) return Outcome::limit;
    if (n == 0) break;
    const size_t* offsets = pcre2_get_ovector_pointer(workplace().data);
    const size_t begin = offsets[0];
    const size_t end = offsets[1];
    const bool empty_after_match = end == begin && any && begin == copied;
    if (!empty_after_match) {
      out += subject.substr(copied, begin - copied);
      expand(replacement, Found{code_, subject, offsets, static_cast<size_t>(n)}, out);
      copied = end;
      any = true;
    }
    from = end;
    if (end == begin) {  // step over one whole character
      ++from;
      while (from < subject.size() && (static_cast<unsigned char>(subject[from]) & 0xC0U) == 0x80) ++from;
    }
  }
  out += subject.substr(copied);
  return any ? Outcome::match : Outcome::no_match;
}

std::string regex_advice(const Regex::Failure& failure) {
  if (failure.reason.find("missing closing parenthesis") != std::string::npos) return "to match a literal parenthesis write \\(";
  if (failure.reason.find("unmatched closing parenthesis") != std::string::npos) return "to match a literal parenthesis write \\)";
  if (failure.reason.find("missing terminating ]") != std::string::npos) return "to match a literal bracket write \\[";
  if (failure.reason.find("quantifier does not follow") != std::string::npos) return "to match anything write .* ; to match a literal star write \\*";
  return {};
}

}  // namespace goma::core
