// SPDX-License-Identifier: Apache-2.0
//
// Puts one log line together in memory that somebody else owns. Three ways to write a text that a stranger chose:
// inside a JSON string, as a Go slog value (quoted only when it must be), and as in nginx's "combined". Each keeps
// the text on its line and inside its field.
//
// The invariant: the line never outgrows the room it was given. Texts share a budget and are cut; what the gateway
// writes itself (keys, numbers) is small and has its own reserve.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace goma::http {

class LogLine {
 public:
  static constexpr size_t reserve = 2048;      // for keys and numbers
  static constexpr size_t longest_text = 4096;  // of one field, before escaping
  static constexpr size_t worst_growth = 6;     // \u0000 for one byte

  // room must be more than reserve.
  LogLine(char* begin, size_t room) : begin_(begin), out_(begin), budget_(room - reserve) {}

  // Our own text, as it is; counts against the reserve.
  void raw(std::string_view text) {
    if (text.empty()) return;  // its data may be null
    std::memcpy(out_, text.data(), text.size());
    out_ += text.size();
  }
  void raw(char c) { *out_++ = c; }
  void number(uint64_t value);
  // value / 100 and value / 1000 with all their decimals: hundredths(1234) is 12.34.
  void hundredths(uint64_t value);
  void thousandths(uint64_t value);
  // Inside a JSON string: no quotes around, valid UTF-8 whatever the text was.
  void json(std::string_view text);
  // A slog value: plain, or quoted as Go's strconv.Quote does. An empty text is "".
  void slog(std::string_view text);
  // Between the quotes of a combined line; an empty text is "-".
  void combined(std::string_view text);
  // Goma's duration: 523000ns, 12.34ms, 1.23s, 1.50m, 2.00h.
  void duration(int64_t microseconds);

  size_t size() const { return static_cast<size_t>(out_ - begin_); }

 private:
  enum class Style : unsigned char { json, go, combined };
  // As much of the text as surely fits; quotes around it included.
  std::string_view within_budget(std::string_view text) const {
    if (text.size() <= longest_text && text.size() * worst_growth + 2 <= budget_) return text;
    return text.substr(0, budget_ > 2 ? std::min(longest_text, (budget_ - 2) / worst_growth) : 0);
  }
  [[gnu::noinline]] void copy(std::string_view text);
  void two_digits(uint64_t value);
  void escaped(std::string_view text, Style style);
  size_t one(std::string_view text, Style style);
  void escape_byte(unsigned char byte, Style style);

  char* begin_;
  char* out_;
  size_t budget_;
};

}  // namespace goma::http
