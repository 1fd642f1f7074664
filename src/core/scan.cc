// SPDX-License-Identifier: Apache-2.0
//
// The parts that need not be at hand in every loop.
#include "core/scan.h"

#include <algorithm>

namespace goma::core {

const char* find_control_plain(const char* begin, const char* end) {
  while (begin != end && !is_control(*begin)) ++begin;
  return begin;
}

#if defined(__SSE2__)

// Every lane counts for itself, as far as a byte goes.
static size_t count_steps(const char* begin, ptrdiff_t steps) {
  size_t count = 0;
  while (steps > 0) {
    __m128i lanes = _mm_setzero_si128();
    const ptrdiff_t now = std::min<ptrdiff_t>(steps, 255);
    for (ptrdiff_t i = 0; i < now; ++i) lanes = _mm_sub_epi8(lanes, control_mask(begin + i * scan_step));
    const __m128i halves = _mm_sad_epu8(lanes, _mm_setzero_si128());
    count += static_cast<size_t>(_mm_cvtsi128_si32(halves) + _mm_extract_epi16(halves, 4));
    begin += now * scan_step;
    steps -= now;
  }
  return count;
}

size_t count_controls(const char* begin, const char* end) {
  const ptrdiff_t n = end - begin, rest = n % scan_step;
  if (n < scan_step) return static_cast<size_t>(std::count_if(begin, end, is_control));
  const unsigned last = control_bits(end - scan_step) >> (scan_step - rest);  // what lies before the rest is counted with its step
  return count_steps(begin, n / scan_step) + static_cast<size_t>(__builtin_popcount(last));
}

#else

size_t count_controls(const char* begin, const char* end) { return static_cast<size_t>(std::count_if(begin, end, is_control)); }

#endif

}  // namespace goma::core
