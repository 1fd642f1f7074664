// SPDX-License-Identifier: Apache-2.0
//
// The same text gives the same number, any other text another one, and without the secret nobody knows either.
#include "core/keyed_hash.h"

#include <cstring>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "check.h"

using goma::core::KeyedHash;

namespace {

KeyedHash fresh() {
  KeyedHash hash{};
  CHECK(hash.make_secret() && hash.has_secret());
  return hash;
}

std::pair<uint64_t, uint64_t> wide(const KeyedHash& hash, std::string_view text, KeyedHash::Wide seed = {}) {
  const KeyedHash::Wide made = hash.wide(text, seed);
  return {made.high, made.low};
}

void a_secret_makes_it() {
  const KeyedHash one = fresh(), other = fresh();
  CHECK(!KeyedHash{}.has_secret());
  CHECK(one("a", "b") == one("a", "b") && one("a", "b") != other("a", "b"));
  CHECK(wide(one, "text") == wide(one, "text"));
  CHECK(wide(one, "text").first != wide(other, "text").first && wide(one, "text").second != wide(other, "text").second);
}

// Of every length around the block size, with zeros at the end, and with one bit of difference anywhere.
void every_byte_counts() {
  const KeyedHash hash = fresh();
  std::set<uint64_t> narrow, high, low;
  size_t texts = 0;
  const auto see = [&](const std::string& text) {
    const auto made = wide(hash, text);
    narrow.insert(hash(text, {}));
    high.insert(made.first);
    low.insert(made.second);
    ++texts;
  };
  for (size_t n = 0; n <= 70; ++n) {
    see(std::string(n, '\0'));
    std::string text(n, 'x');
    see(text);
    for (size_t bit = 0; bit < 8 * n; ++bit) {
      text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << bit % 8));
      see(text);
      text[bit / 8] = 'x';
    }
  }
  texts -= 1;  // the empty one twice
  CHECK_EQ(narrow.size(), texts);
  CHECK_EQ(high.size(), texts);
  CHECK_EQ(low.size(), texts);
  for (const uint64_t half : high) CHECK(low.count(half) == 0);
}

void no_byte_moves_between_texts() {
  const KeyedHash hash = fresh();
  const std::string text = "abcdefghijklmnopqrstuvwxyz0123456789";
  std::set<uint64_t> seen;
  for (size_t cut = 0; cut <= text.size(); ++cut) seen.insert(hash(std::string_view(text).substr(0, cut), std::string_view(text).substr(cut)));
  CHECK_EQ(seen.size(), text.size() + 1);
}

void a_seed_makes_another() {
  const KeyedHash hash = fresh();
  CHECK(hash("a", "b", 1) != hash("a", "b", 2));
  CHECK(wide(hash, "a", {1, 0}).first != wide(hash, "a", {2, 0}).first);
  CHECK(wide(hash, "a", {0, 1}).second != wide(hash, "a", {0, 2}).second);
  CHECK(wide(hash, "b", hash.wide("a", {})) != wide(hash, "a", hash.wide("b", {})));
}

}  // namespace

GOMA_TESTS(a_secret_makes_it, every_byte_counts, no_byte_moves_between_texts, a_seed_makes_another)
