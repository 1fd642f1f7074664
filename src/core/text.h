// SPDX-License-Identifier: Apache-2.0
//
// Small questions about text, asked everywhere: trimming, splitting, ASCII comparison, strict numbers, and the
// nearest word in a list. Everything works on views and knows ASCII only; nothing here depends on the locale.
//
// The invariant: a number is the whole text or no number at all, and never a wrapped-around one.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace goma::core {

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'; }
constexpr bool is_alpha(char c) { return (lower(c) >= 'a' && lower(c) <= 'z'); }

// The text without white space at both ends.
std::string_view trim(std::string_view text);
// ASCII lower case copy.
std::string to_lower(std::string_view text);
// Equal when ASCII case is ignored.
bool iequals(std::string_view a, std::string_view b);
bool istarts_with(std::string_view text, std::string_view prefix);
// Whether the text contains the part when ASCII case is ignored.
bool icontains(std::string_view text, std::string_view part);

// The whole text as a decimal number; nothing when it is empty, has another character (signs and spaces included)
// or does not fit.
std::optional<uint64_t> parse_u64(std::string_view text);
// The same with an optional leading '-'.
std::optional<int64_t> parse_i64(std::string_view text);

// Iterates over the parts between separators: for (std::string_view part : split("a,b", ',')). An empty text has
// one empty part. Parts are not trimmed.
class split {
 public:
  split(std::string_view text, char separator) : text_(text), separator_(separator) {}

  class Iterator {
   public:
    std::string_view operator*() const { return rest_.substr(0, length_); }
    Iterator& operator++();
    bool operator!=(const Iterator& other) const { return done_ != other.done_; }

   private:
    friend class split;
    Iterator(std::string_view rest, char separator, bool done) : rest_(rest), separator_(separator), done_(done) { measure(); }
    void measure();
    std::string_view rest_;
    char separator_;
    bool done_;
    size_t length_ = 0;
  };
  Iterator begin() const { return Iterator(text_, separator_, false); }
  Iterator end() const { return Iterator({}, separator_, true); }

 private:
  std::string_view text_;
  char separator_;
};

// Whether a comma list ("gzip, chunked") holds the token; ASCII case and white space around items are ignored.
bool contains_token(std::string_view list, std::string_view token);

// Damerau-Levenshtein distance (insert, delete, replace, swap neighbours), ASCII case ignored.
size_t edit_distance(std::string_view a, std::string_view b);
// The candidate nearest to the name, or an empty view: at most 2 edits away, 1 for names under 5 letters.
std::string_view suggest(std::string_view name, std::span<const std::string_view> candidates);

// The text as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD.
std::string json_quote(std::string_view text);
// The characters of a text; bytes that are not UTF-8 become U+FFFD each.
std::u32string decode_utf8(std::string_view text);
void append_utf8(std::string& out, char32_t character);

// The byte that "%XY" at this place stands for (RFC 3986 2.1); -1 when it stands for none.
int percent_byte(std::string_view text, size_t at);
// A path decoded once, into room for as many bytes; how many it took. An encoded slash stays "%2F", so that it is none, and
// what is malformed stays as it is.
size_t decode_path(std::string_view encoded, char* into);

// The parts of an absolute URL as written; views into the text.
struct UrlParts {
  std::string_view scheme;
  std::string_view user;  // "name:password", empty when absent
  std::string_view host;  // without brackets
  std::string_view port;  // digits, empty when absent
  std::string_view path;  // from the first '/', '?' or '#' on; may be empty
};
// Splits scheme://[user@]host[:port][path]. Nothing when scheme or host is missing, the port is not 1..65535, or a
// byte is a space or control character. Does not decode.
std::optional<UrlParts> split_url(std::string_view url);

}  // namespace goma::core
