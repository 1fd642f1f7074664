// SPDX-License-Identifier: Apache-2.0
//
// Fold, absorb, finish.
#include "core/keyed_hash.h"

#include <sys/random.h>

#include <cstring>

namespace goma::core {

namespace {

constexpr uint64_t golden = 0x9e3779b97f4a7c15;

uint64_t word(const char* at) {
  uint64_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

uint64_t absorb(uint64_t state, std::string_view text, uint64_t key) {
  for (; text.size() > 16; text.remove_prefix(16)) state = fold(word(text.data()) ^ state, word(text.data() + 8) ^ key);
  char last[16] = {};
  text.copy(last, sizeof last);
  return fold(word(last) ^ state, word(last + 8) ^ key);
}

}  // namespace

bool KeyedHash::make_secret() {
  if (::getrandom(secret_, sizeof secret_, 0) != static_cast<ssize_t>(sizeof secret_)) return false;
  secret_[1] |= 1;  // a key, and the sign that there is a secret
  return true;
}

// The sizes go in first, so that no byte can move from one text to the other.
uint64_t KeyedHash::operator()(std::string_view first, std::string_view second, uint64_t seed) const {
  const uint64_t sizes = (uint64_t{first.size()} << 32) + second.size();
  const uint64_t state = absorb(absorb(secret_[0] ^ sizes ^ seed, first, secret_[1]), second, secret_[1]);
  return fold(state ^ secret_[1], golden);
}

// Two states go over the text side by side; neither can be told from the other without the secret.
KeyedHash::Wide KeyedHash::wide(std::string_view text, Wide seed) const {
  const uint64_t key = secret_[1];
  Wide state{secret_[0] ^ text.size() ^ seed.high, fold(secret_[0], key) ^ text.size() ^ seed.low};
  const auto absorb_block = [&state, key](uint64_t first, uint64_t second) {
    state = {fold(first ^ state.high, second ^ key), fold(first ^ state.low, second ^ key)};
  };
  for (; text.size() > 16; text.remove_prefix(16)) absorb_block(word(text.data()), word(text.data() + 8));
  char last[16] = {};
  text.copy(last, sizeof last);
  absorb_block(word(last), word(last + 8));
  return {fold(state.high ^ key, golden), fold(state.low ^ key, golden)};
}

}  // namespace goma::core
