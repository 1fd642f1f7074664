// SPDX-License-Identifier: Apache-2.0
//
// Ranges of bytes: what a field asks for, and the pieces that answer it.
#include "http/byte_ranges.h"

#include <string>
#include <vector>

#include "check.h"
#include "core/arena.h"

namespace {

using goma::http::ByteRange;
using goma::http::RangeWish;

// "0-1 4-5", or "whole", or "unsatisfiable".
std::string wish(std::string_view field, uint64_t size = 10) {
  std::vector<ByteRange> ranges;
  const RangeWish wish = parse_byte_ranges(field, size, ranges);
  if (wish != RangeWish::parts) return wish == RangeWish::whole ? "whole" : "unsatisfiable";
  std::string out;
  for (const ByteRange r : ranges) out.append(out.empty() ? "" : " ").append(std::to_string(r.first)).append("-").append(std::to_string(r.last));
  return out;
}

void parts() {
  CHECK_EQ(wish("bytes=0-1"), "0-1");
  CHECK_EQ(wish("bytes=5-, 0-0"), "5-9 0-0");
  CHECK_EQ(wish("bytes=-3"), "7-9");
  CHECK_EQ(wish("bytes=-99"), "0-9");
  CHECK_EQ(wish("bytes=9-18446744073709551616"), "9-9");
  CHECK_EQ(wish("bytes=0-1,10-"), "0-1");
  CHECK_EQ(wish("bytes=0-18446744073709551615", UINT64_MAX), "0-18446744073709551614");
}

void wholes() {
  for (const char* text : {"", "bytes", "bytes=", "bytes=,", "bytes=1-0", "bytes=x-", "bytes=-", "bytes=--1", "items=0-1", "bytes=0-,1-", "bytes=0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0"}) CHECK_EQ(wish(text), "whole");
}

void none_exists() {
  for (const char* text : {"bytes=10-", "bytes=-0", "bytes=99-100, 200-", "bytes=18446744073709551616-"}) CHECK_EQ(wish(text), "unsatisfiable");
  CHECK_EQ(wish("bytes=0-", 0), "unsatisfiable");
}

class Pieces final : public goma::http::PlacedBody {
 public:
  uint64_t size() const override { return 9; }
  size_t pieces() const override { return 3; }
  std::string_view piece(size_t index) const override { return std::string_view("abcdefghi").substr(index * 3, 3); }
};

void over_pieces() {
  const Pieces whole;
  for (uint64_t first = 0; first < 9; ++first) {
    for (uint64_t last = first; last < 9; ++last) {
      goma::http::PartialBody body;
      body.add(whole, {first, last});
      std::string text;
      for (size_t i = 0; i < body.pieces(); ++i) text += body.piece(i);
      CHECK_EQ(text, std::string("abcdefghi").substr(first, last - first + 1));
      CHECK_EQ(body.size(), text.size());
    }
  }
}

}  // namespace

GOMA_TESTS(parts, wholes, none_exists, over_pieces)
