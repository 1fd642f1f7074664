// SPDX-License-Identifier: Apache-2.0
//
// Escaping in runs: what needs no care is found sixteen bytes a step and copied whole; only the byte that ends a run is
// looked at as a character.
#include "http/log_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace goma::http {

namespace {

// Two questions are asked of a text. inside: how far can it be copied into quotes as it is? bare: how far can it go
// without quotes? slog quotes a value that holds a blank, a '=', a quote, a control character or anything beyond ASCII.
enum class Place : bool { inside, bare };

template <Place place>
constexpr bool is_clean(char c) {
  constexpr signed char lowest = place == Place::bare ? 0x21 : 0x20;
  constexpr char special = place == Place::bare ? '=' : '\\';
  return static_cast<signed char>(c) >= lowest && c != 0x7F && c != '"' && c != special;
}

#ifdef __SSE2__
// One bit per byte that is not clean. As signed numbers, bytes beyond ASCII are below every letter.
template <Place place>
unsigned stops(__m128i bytes) {
  __m128i found = _mm_cmplt_epi8(bytes, _mm_set1_epi8(place == Place::bare ? 0x21 : 0x20));
  found = _mm_or_si128(found, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')));
  found = _mm_or_si128(found, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7F)));
  found = _mm_or_si128(found, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(place == Place::bare ? '=' : '\\')));
  return static_cast<unsigned>(_mm_movemask_epi8(found));
}
template <Place place>
unsigned stops16(const char* at) {
  return stops<place>(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
}
template <Place place>
unsigned stops8(const char* at) {
  return stops<place>(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(at))) & 0xFF;
}
#endif

// How many bytes at the beginning are clean.
template <Place place>
size_t clean_run(std::string_view text) {
  const char* const at = text.data();
  const size_t n = text.size();
  size_t i = 0;
#ifdef __SSE2__
  unsigned found = 0;
  for (; n - i >= 16; i += 16) {
    if ((found = stops16<place>(at + i)) != 0) return i + static_cast<size_t>(std::countr_zero(found));
  }
  if (n - i >= 8) {
    if ((found = stops8<place>(at + i)) != 0) return i + static_cast<size_t>(std::countr_zero(found));
    i += 8;
  }
  if (i != 0 && i < n) {  // the last eight again: those before i are known to be clean
    found = stops8<place>(at + n - 8);
    return found != 0 ? n - 8 + static_cast<size_t>(std::countr_zero(found)) : n;
  }
#endif
  while (i < n && is_clean<place>(at[i])) ++i;
  return i;
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

void LogLine::hundredths(uint64_t value) {
  number(value / 100);
  raw('.');
  two_digits(value % 100);
}

void LogLine::thousandths(uint64_t value) {
  number(value / 1000);
  raw('.');
  raw(static_cast<char>('0' + value % 1000 / 100));
  two_digits(value % 100);
}

void LogLine::two_digits(uint64_t value) {
  raw(static_cast<char>('0' + value / 10));
  raw(static_cast<char>('0' + value % 10));
}

void LogLine::duration(int64_t microseconds) {
  const auto us = static_cast<uint64_t>(std::max<int64_t>(microseconds, 0));
  if (us < 1000) {
    number(us * 1000);
    raw("ns");
  } else if (us < 1'000'000) {
    hundredths((us + 5) / 10);
    raw("ms");
  } else if (us < 60'000'000) {
    hundredths((us + 5'000) / 10'000);
    raw('s');
  } else if (us < 3'600'000'000) {
    hundredths((us + 300'000) / 600'000);
    raw('m');
  } else {
    hundredths((us + 18'000'000) / 36'000'000);
    raw('h');
  }
}

// Kept apart: where g++ knows the text's greatest length it copies with "rep movs", which is slow for short ones.
void LogLine::copy(std::string_view text) { raw(text); }

void LogLine::json(std::string_view text) { escaped(text, Style::json); }

void LogLine::slog(std::string_view text) {
  text = within_budget(text);
  if (!text.empty() && clean_run<Place::bare>(text) == text.size()) {
    copy(text);
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
  for (;;) {
    const size_t run = clean_run<Place::inside>(text);
    copy(text.substr(0, run));
    if (run == text.size()) break;
    text.remove_prefix(run);
    text.remove_prefix(one(text, style));
  }
  budget_ -= std::min(budget_, static_cast<size_t>(out_ - before) + 2);
}

// Writes the first character, which needs care; how many bytes it was.
size_t LogLine::one(std::string_view text, Style style) {
  const char* const at = text.data();
  const auto byte = static_cast<unsigned char>(*at);
  const size_t length = byte >= 0x80 && style != Style::combined ? utf8_length(at, at + text.size()) : 0;
  if (length == 0) {
    escape_byte(byte, style);
    return 1;
  }
  const unsigned dangerous = dangerous_character(at, length);
  if (dangerous == 0) {
    raw({at, length});
  } else {
    raw("\\u");
    for (int shift = 12; shift >= 0; shift -= 4) raw(hex[(dangerous >> shift) & 15]);
  }
  return length;
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
