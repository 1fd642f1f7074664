// SPDX-License-Identifier: Apache-2.0
//
// The parts that need not be at hand in every loop.
#include "core/scan.h"

namespace goma::core {

const char* find_control_plain(const char* begin, const char* end) {
  while (begin != end && !is_control(*begin)) ++begin;
  return begin;
}

size_t count_controls(const char* begin, const char* end) {
  size_t count = 0;
  for (; end - begin >= scan_step; begin += scan_step) {
    for (unsigned bits = control_bits(begin); bits != 0; bits &= bits - 1) ++count;  // few are set
  }
  for (; begin != end; ++begin) count += is_control(*begin) ? 1 : 0;
  return count;
}

}  // namespace goma::core
