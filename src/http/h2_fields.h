// SPDX-License-Identifier: Apache-2.0
//
// Fields on their way into an HTTP/2 header block (RFC 9113 8.2): the end-to-end fields of a message as the array that
// nghttp2 compresses. Used for responses to clients and for requests to backends alike.
//
// Names are lower case (known ones from a table made by the compiler), fields that belong to an HTTP/1 connection stay
// behind, and no value carries a control byte. Nothing is copied that is right as it is: names and values must live
// until the block has been compressed.
#pragma once

#include <nghttp2/nghttp2.h>

#include <string_view>

#include "core/arena.h"
#include "http/headers.h"

namespace goma::http {

class H2Fields {
 public:
  // room: the most fields that will be added, pseudo-header fields included.
  H2Fields(core::Arena& arena, size_t room) : arena_(arena), list_(arena.array<nghttp2_nv>(room)) {}

  // A pseudo-header field, or another one whose name is lower case already.
  void add(std::string_view name, std::string_view value);
  // The fields of a message. Left out: Host (a pseudo-header field says it), Content-Length (the framing says it), fields
  // of an HTTP/1 connection, TE but for "trailers", and names that are no tokens.
  void add(const Headers& headers);

  const nghttp2_nv* data() const { return list_; }
  size_t size() const { return size_; }

 private:
  void put(std::string_view name, std::string_view value, uint8_t flags);

  core::Arena& arena_;
  nghttp2_nv* list_;
  size_t size_ = 0;
};

// The decimal digits of a number, in the arena.
std::string_view decimal(core::Arena& arena, uint64_t number);

}  // namespace goma::http
