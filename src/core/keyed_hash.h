// SPDX-License-Identifier: Apache-2.0
//
// A hash of texts under a secret that lies in shared memory: every process of an instance gets the same number, and a
// client, who does not know the secret, cannot choose two texts that meet. It folds sixteen bytes at a time with one
// wide multiplication.
//
// It is no message authentication code: the numbers must not leave the machine.
#pragma once

#include <cstdint>
#include <string_view>

namespace goma::core {

// Both halves of a wide product in one word.
inline uint64_t fold(uint64_t a, uint64_t b) {
  const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

// Plain memory for a zone. All zero until make_secret().
class KeyedHash {
 public:
  // Takes a new secret from the kernel. False: it has none to give.
  [[nodiscard]] bool make_secret();
  bool has_secret() const { return secret_[1] != 0; }
  // Of two texts as a pair: no byte can move from one to the other. seed makes it the hash of a longer list.
  uint64_t operator()(std::string_view first, std::string_view second, uint64_t seed = 0) const;
  // Twice as long, for what two texts must never share. seed as above.
  struct Wide {
    uint64_t high, low;  // no defaults: {} is still all zero, and a default argument of what is made of it
    bool operator==(const Wide&) const = default;
  };
  Wide wide(std::string_view text, Wide seed) const;

 private:
  uint64_t secret_[2];
};

}  // namespace goma::core
