// SPDX-License-Identifier: Apache-2.0
//
// The last, partial step is taken over the last sixteen bytes: those seen twice are known to be clean.
#include "core/scan.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace goma::core {

const char* find_control_plain(const char* begin, const char* end) {
  for (; begin != end; ++begin) {
    const auto byte = static_cast<unsigned char>(*begin);
    if ((byte < 0x20 && byte != '\t') || byte == 0x7F) return begin;
  }
  return end;
}

#if defined(__SSE2__)

namespace {

constexpr long step = 16;

// One bit per byte that is a control byte.
inline unsigned controls(const char* at) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
  const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1F)), bytes);
  const __m128i tab = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t'));
  const __m128i del = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7F));
  return static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, low), del)));
}

}  // namespace

const char* find_control(const char* begin, const char* end) {
  if (end - begin < step) return find_control_plain(begin, end);
  for (const char* at = begin;; at += step) {
    if (end - at < step) {
      if (at == end) return end;
      at = end - step;
    }
    const unsigned found = controls(at);
    if (found != 0) return at + __builtin_ctz(found);
  }
}

#else

const char* find_control(const char* begin, const char* end) { return find_control_plain(begin, end); }

#endif

}  // namespace goma::core
