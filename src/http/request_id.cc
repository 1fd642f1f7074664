// SPDX-License-Identifier: Apache-2.0
//
// xoshiro256** for ids (Blackman and Vigna); strftime for the date.
#include "http/request_id.h"

#include <sys/random.h>

#include <bit>
#include <cstring>

#include "core/check.h"

namespace goma::http {

namespace {

// Two hex digits for every byte.
struct PairTable {
  constexpr PairTable() {
    constexpr char digits[] = "0123456789abcdef";
    for (int i = 0; i < 256; ++i) {
      text[i][0] = digits[i >> 4];
      text[i][1] = digits[i & 15];
    }
  }
  char text[256][2]{};
};

}  // namespace

RequestIds::RequestIds() { GOMA_CHECK(::getrandom(state_, sizeof state_, 0) == static_cast<ssize_t>(sizeof state_)); }

uint64_t RequestIds::next() {
  const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

std::string_view RequestIds::make(core::Arena& arena) {
  static constexpr PairTable pairs;
  char* text = arena.array<char>(32);
  for (int half = 0; half < 2; ++half) {
    uint64_t bits = next();
    for (int i = 0; i < 8; ++i, bits >>= 8) std::memcpy(text + half * 16 + i * 2, pairs.text[bits & 255], 2);
  }
  return {text, 32};
}

std::string_view RequestIds::date(time_t second) {
  if (second != second_) {
    second_ = second;
    current_ ^= 1;
    tm parts{};
    ::gmtime_r(&second, &parts);
    std::strftime(date_[current_], sizeof date_[0], "%a, %d %b %Y %H:%M:%S GMT", &parts);
  }
  return {date_[current_], 29};
}

}  // namespace goma::http
