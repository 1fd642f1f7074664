// SPDX-License-Identifier: Apache-2.0
//
// Looking at many bytes at once. Text protocols ask one question of nearly every byte: is this a control byte, and
// if so, where is the first? Sixteen bytes are compared per step where the machine has SSE2, one elsewhere.
//
// The invariant: both versions give the same answer for every input and never touch a byte outside [begin, end).
#pragma once

namespace goma::core {

// The first control byte (0x00-0x1F or 0x7F) other than HTAB, or `end` when there is none.
const char* find_control(const char* begin, const char* end);

// The same, one byte at a time: what the fast version is measured and tested against, and its end pieces.
const char* find_control_plain(const char* begin, const char* end);

}  // namespace goma::core
