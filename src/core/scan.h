// SPDX-License-Identifier: Apache-2.0
//
// Looking at many bytes at once. Text protocols ask one question of nearly every byte: is this a control byte, and
// if so, where is the first? Sixteen bytes are compared per step where the machine has SSE2, one elsewhere.
//
// The invariant: all versions give the same answer for every input and never touch a byte outside the range.
#pragma once

#include <cstddef>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace goma::core {

constexpr ptrdiff_t scan_step = 16;

// Control bytes are 0x00-0x1F and 0x7F without HTAB.
constexpr bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t') || byte == 0x7F;
}

// One bit for each of the scan_step bytes at `at`, the first one lowest: whether it is a control byte.
#if defined(__SSE2__)
// 0xFF for each of them, 0 for the others.
inline __m128i control_mask(const char* at) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
  const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1F)), bytes);
  const __m128i tab = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t'));
  const __m128i del = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7F));
  return _mm_or_si128(_mm_andnot_si128(tab, low), del);
}
inline unsigned control_bits(const char* at) { return static_cast<unsigned>(_mm_movemask_epi8(control_mask(at))); }
#else
inline unsigned control_bits(const char* at) {
  unsigned bits = 0;
  for (unsigned i = 0; i < scan_step; ++i) bits |= static_cast<unsigned>(is_control(at[i])) << i;
  return bits;
}
#endif

// The first control byte of [begin, end), or `end`: one byte at a time, for ends and as the measure of the others.
const char* find_control_plain(const char* begin, const char* end);

// Walks over the control bytes of a range; every step of sixteen bytes is looked at once.
class Controls {
 public:
  Controls(const char* begin, const char* end) : begin_(begin), end_(end), block_(begin) {}

  // The first control byte at or behind `from`, or the end of the range. `from` is never before
  // the last answer.
  const char* next(const char* from) {
    while (true) {
      const ptrdiff_t seen = from - block_;
      if (seen < known_) {
        const unsigned bits = bits_ >> seen;
        if (bits != 0) return from + __builtin_ctz(bits);
        from = block_ + known_;
      }
      if (end_ - from < scan_step) {
        if (from == end_ || end_ - begin_ < scan_step) return find_control_plain(from, end_);
        block_ = end_ - scan_step;  // the last step overlaps with what is known
      } else {
        block_ = from;
      }
      known_ = scan_step;
      bits_ = control_bits(block_);
    }
  }

 private:
  const char* begin_;
  const char* end_;
  const char* block_;
  ptrdiff_t known_ = 0;  // bytes of the block that bits_ tells about
  unsigned bits_ = 0;
};

// The first control byte of [begin, end), or `end`.
inline const char* find_control(const char* begin, const char* end) { return Controls(begin, end).next(begin); }

// How many control bytes [begin, end) has.
size_t count_controls(const char* begin, const char* end);

}  // namespace goma::core
