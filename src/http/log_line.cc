// SPDX-License-Identifier: Apache-2.0
//
// Escaping at eight bytes a step: a word without a byte that needs care is copied whole, and only around such bytes
// the text is looked at one character at a time.
#include "http/log_line.h"

#include <fmt/format.h>

#include <algorithm>

namespace goma::http {

namespace {

constexpr uint64_t ones = 0x0101010101010101u;
constexpr uint64_t tops = 0x8080808080808080u;

uint64_t load(const char* at) {
  uint64_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

// Not zero when a byte of the word equals c (bytes above the first hit may be reported wrongly).
constexpr uint64_t has(uint64_t word, unsigned char c) {
  const uint64_t x = word ^ (ones * c);
  return (x - ones) & ~x & tops;
}

// Not zero when a byte is below n (n <= 0x80).
constexpr uint64_t has_below(uint64_t word, unsigned char n) { return (word - ones * n) & ~word & tops; }

// Whether eight bytes can be copied as they are, in every style.
bool is_plain(uint64_t word) {
  return ((word & tops) | has_below(word, 0x20) | has(word, '"') | has(word, '\\') | has(word, 0x7F)) == 0;
}

bool is_plain(unsigned char c) { return c >= 0x20 && c < 0x7F && c != '"' && c != '\\'; }

// slog quotes a value that holds a blank, a '=', a quote, a control character or anything beyond ASCII.
bool is_bare(std::string_view text) {
  const char* at = text.data();
  const char* const end = at + text.size();
  for (; end - at >= 8; at += 8) {
    const uint64_t word = load(at);
    if (((word & tops) | has_below(word, 0x21) | has(word, '"') | has(word, '=') | has(word, 0x7F)) != 0) return false;
  }
  return std::all_of(at, end, [](char c) { return c > 0x20 && c != 0x7F && c != '"' && c != '='; });
}

// The length of the UTF-8 character at `at` (RFC 3629: no overlong forms, no surrogates), 0 when it is none.
size_t utf8_length(const char* at, const char* end) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(at[i]); };
  const unsigned char first = byte(0);
  const size_t length = first >= 0xC2 && first <= 0xDF ? 2 : first >= 0xE0 && first <= 0xEF ? 3 : first >= 0xF0 && first <= 0xF4 ? 4 : 0;
  if (length == 0 || static_cast<size_t>(end - at) < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const bool overlong = (first == 0xE0 && byte(1) < 0xA0) || (first == 0xF0 && byte(1) < 0x90);
  const bool outside = (first == 0xED && byte(1) > 0x9F) || (first == 0xF4 && byte(1) > 0x8F);
  return overlong || outside ? 0 : length;
}

// Characters beyond ASCII that some readers take for a line end or a control: U+0080-9F, U+2028, U+2029. The code
// point, or 0.
unsigned dangerous_character(const char* at, size_t length) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(at[i]); };
  if (length == 2 && byte(0) == 0xC2 && byte(1) < 0xA0) return byte(1);
  if (length == 3 && byte(0) == 0xE2 && byte(1) == 0x80 && (byte(2) & 0xFE) == 0xA8) return 0x2028u + (byte(2) & 1u);
  return 0;
}

constexpr std::string_view hex = "0123456789abcdef";

}  // namespace

void LogLine::number(uint64_t value) {
  const fmt::format_int text(value);
  raw({text.data(), text.size()});
}

void LogLine::decimals(uint64_t value, int digits) {
  uint64_t power = 1;
  for (int i = 0; i < digits; ++i) power *= 10;
  number(value / power);
  raw('.');
  for (uint64_t rest = value % power; power > 1; rest %= power) {
    power /= 10;
    raw(static_cast<char>('0' + rest / power));
  }
}

void LogLine::duration(int64_t microseconds) {
  const auto us = static_cast<uint64_t>(std::max<int64_t>(microseconds, 0));
  if (us < 1000) {
    number(us * 1000);
    raw("ns");
  } else if (us < 1'000'000) {
    decimals((us + 5) / 10, 2);
    raw("ms");
  } else if (us < 60'000'000) {
    decimals((us + 5'000) / 10'000, 2);
    raw('s');
  } else if (us < 3'600'000'000) {
    decimals((us + 300'000) / 600'000, 2);
    raw('m');
  } else {
    decimals((us + 18'000'000) / 36'000'000, 2);
    raw('h');
  }
}

// As much of the text as surely fits; quotes around it included.
std::string_view LogLine::within_budget(std::string_view text) const {
  const size_t most = budget_ > 2 ? std::min(longest_text, (budget_ - 2) / worst_growth) : 0;
  return text.substr(0, most);
}

void LogLine::json(std::string_view text) { escaped(text, Style::json); }

void LogLine::slog(std::string_view text) {
  text = within_budget(text);
  if (!text.empty() && is_bare(text)) {
    raw(text);
    budget_ -= text.size();
    return;
  }
  raw('"');
  escaped(text, Style::go);
  raw('"');
}

void LogLine::combined(std::string_view text) {
  if (text.empty()) raw('-');
  else escaped(text, Style::combined);
}

void LogLine::escaped(std::string_view text, Style style) {
  text = within_budget(text);
  const char* const before = out_;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at < end) {
    while (end - at >= 8 && is_plain(load(at))) {
      std::memcpy(out_, at, 8);
      out_ += 8;
      at += 8;
    }
    for (int i = 0; i < 8 && at < end; ++i) at = one(at, end, style);
  }
  budget_ -= std::min(budget_, static_cast<size_t>(out_ - before) + 2);
}

// Writes the character at `at`; returns where the next one starts.
const char* LogLine::one(const char* at, const char* end, Style style) {
  const auto byte = static_cast<unsigned char>(*at);
  if (is_plain(byte)) {
    raw(*at);
    return at + 1;
  }
  const size_t length = byte >= 0x80 && style != Style::combined ? utf8_length(at, end) : 0;
  if (length == 0) {
    escape_byte(byte, style);
    return at + 1;
  }
  const unsigned dangerous = dangerous_character(at, length);
  if (dangerous == 0) {
    raw({at, length});
  } else {
    raw("\\u");
    for (int shift = 12; shift >= 0; shift -= 4) raw(hex[(dangerous >> shift) & 15]);
  }
  return at + length;
}

void LogLine::escape_byte(unsigned char byte, Style style) {
  if (style != Style::combined) {
    constexpr std::string_view letters = "\"\"\\\\\nn\rr\tt";
    for (size_t i = 0; i < letters.size(); i += 2) {
      if (static_cast<unsigned char>(letters[i]) != byte) continue;
      raw('\\');
      raw(letters[i + 1]);
      return;
    }
  }
  if (style == Style::json) raw(byte >= 0x80 ? "\\ufffd" : "\\u00");
  else raw("\\x");
  if (style == Style::json && byte >= 0x80) return;
  raw(hex[byte >> 4]);
  raw(hex[byte & 15]);
}

}  // namespace goma::http
