// SPDX-License-Identifier: Apache-2.0
//
// The vector scan gives the plain scan's answer for every byte, place and length, and stays inside its range.
#include "core/scan.h"

#include <memory>

#include "check.h"

using goma::core::find_control;
using goma::core::find_control_plain;

namespace {

void knows_what_a_control_byte_is() {
  for (int c = 0; c < 256; ++c) {
    const std::string text(40, static_cast<char>(c));
    const bool control = (c < 0x20 && c != '\t') || c == 0x7F;
    const char* end = text.data() + text.size();
    CHECK_EQ(find_control(text.data(), end) == text.data(), control);
    CHECK_EQ(find_control_plain(text.data(), end) == text.data(), control);
  }
}

void finds_the_first_in_every_place() {
  for (size_t n = 0; n < 70; ++n) {
    for (size_t place = 0; place <= n; ++place) {
      const auto text = std::make_unique<char[]>(n);  // exactly n bytes: a sanitizer sees one read too many
      std::memset(text.get(), 'a', n);
      if (place < n) text[place] = '\r';
      if (place + 3 < n) text[place + 3] = '\n';
      CHECK_EQ(find_control(text.get(), text.get() + n) - text.get(), place);
    }
  }
}

void walks_from_one_to_the_next() {
  std::mt19937_64 random(goma::test::seed());
  for (int round = 0; round < 5000; ++round) {
    const size_t n = random() % 80;
    const auto text = std::make_unique<char[]>(n);
    for (size_t i = 0; i < n; ++i) text[i] = random() % 8 == 0 ? '\r' : 'x';
    const char* const end = text.get() + n;
    goma::core::Controls controls(text.get(), end);
    size_t count = 0;
    const char* at = text.get();
    while (true) {
      const char* const want = find_control_plain(at, end);
      at = controls.next(at);
      CHECK(at == want);
      if (at == end) break;
      ++count;
      at += 1 + random() % 2 * static_cast<size_t>(end - at > 1);
    }
    size_t all = 0;
    for (size_t i = 0; i < n; ++i) all += text[i] == '\r' ? 1 : 0;
    CHECK_EQ(goma::core::count_controls(text.get(), end), all);
    CHECK(count <= all);
  }
}

void agrees_with_the_plain_version() {
  std::mt19937_64 random(goma::test::seed());
  std::string text(200, ' ');
  for (int round = 0; round < 20000; ++round) {
    for (char& c : text) c = random() % 64 == 0 ? static_cast<char>(random()) : 'x';
    const char* begin = text.data() + random() % 100;
    const char* end = begin + random() % 100;
    CHECK(find_control(begin, end) == find_control_plain(begin, end));
  }
}

// A lane of the vector version counts to 255.
void counts_beyond_a_byte() {
  for (const size_t n : {size_t{4079}, size_t{4080}, size_t{4096}, size_t{100'003}}) {
    const std::string all(n, '\n');
    CHECK_EQ(goma::core::count_controls(all.data(), all.data() + n), n);
  }
}

}  // namespace

GOMA_TESTS(knows_what_a_control_byte_is, finds_the_first_in_every_place, walks_from_one_to_the_next, agrees_with_the_plain_version,
           counts_beyond_a_byte)
