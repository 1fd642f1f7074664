// SPDX-License-Identifier: Apache-2.0
//
// Parts of a representation that is there as a whole (RFC 9110 14): what a Range asks for, and the body that answers it.
// The one idea: a Range is a wish. What is no range of bytes, asks for too much at once, or for a representation that is
// no longer this one, is answered with the whole.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "http/exchange.h"

namespace goma::http {

// Both ends are included.
struct ByteRange {
  uint64_t first = 0;
  uint64_t last = 0;
};

enum class RangeWish : unsigned char { whole, parts, unsatisfiable };
constexpr size_t most_byte_ranges = 16;

// Reads a Range for a body of that size, in bytes. parts: `into` holds those that exist, in the order of the request; they
// are together no longer than the body.
RangeWish parse_byte_ranges(std::string_view field, uint64_t size, std::vector<ByteRange>& into);

// Whether If-Range lets a range of these fields be sent (RFC 9110 13.1.5): there is none, or it is their strong validator.
bool allows_range(const Headers& request, const Headers& stored);

// Runs of bytes that lie elsewhere, one behind the other.
class PartialBody final : public PlacedBody {
 public:
  void add(std::string_view text);
  void add(const PlacedBody& whole, ByteRange range);
  uint64_t size() const override { return size_; }
  size_t pieces() const override { return pieces_.size(); }
  std::string_view piece(size_t index) const override { return pieces_[index]; }

 private:
  std::vector<std::string_view> pieces_;
  uint64_t size_ = 0;
};

// Answers with the parts: 206, as multipart/byteranges when there are several; or with 416. fields: those of the 200, which
// are not changed. boundary: a text that cannot be foreseen. What is returned has the fields of the answer already.
Verdict reply_with_parts(Exchange& x, RangeWish wish, const std::vector<ByteRange>& ranges, const PlacedBody& whole, const Headers& fields, std::string_view boundary);

}  // namespace goma::http
