// SPDX-License-Identifier: Apache-2.0
//
// A request head as HTTP/2 carries it (RFC 9113 8.3), understood: fields come in one by one, the result is the same
// RequestHead that the HTTP/1 parser makes, by the same rules. So nothing behind it knows the difference, and what
// would be ambiguous once written as HTTP/1 is refused here.
//
// nghttp2 has already refused what RFC 9113 calls malformed: upper case, fields of a connection, missing, doubled or
// late pseudo-header fields. What is left to this unit are goma's limits and its stricter syntax.
//
// An extended CONNECT for WebSocket (RFC 8441) becomes the GET with Upgrade that backends know.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/arena.h"
#include "http/h1_parser.h"
#include "http/message.h"

namespace goma::http {

class H2Request {
 public:
  enum class Size : unsigned char { fits, too_large, absurd };

  // The head and all text live in the arena.
  H2Request(core::Arena& arena, const Limits& limits);

  // The next field; texts are copied. too_large: answer 431 when the head is complete, further fields are only counted.
  // absurd: so far beyond the limits that reading on is a waste.
  Size field(std::string_view name, std::string_view value);

  // The last field was given. end_stream: there is no content. False with `error` filled; head() then holds enough to
  // log and to answer.
  bool complete(bool end_stream, ParseError& error);

  RequestHead& head() { return head_; }
  const RequestHead& head() const { return head_; }
  // Bytes that complete() will need besides.
  size_t still_to_join() const { return cookies_ > 1 ? cookie_bytes_ : 0; }
  // It opens a tunnel (RFC 8441).
  bool is_tunnel() const { return !protocol_.empty(); }

 private:
  void pseudo_field(std::string_view name, std::string_view value);
  void keep(std::string_view name, std::string_view value);
  bool understand_tunnel(ParseError& error);
  bool understand_authority(ParseError& error);
  bool understand_fields(bool end_stream, ParseError& error);
  void join_cookies();

  core::Arena& arena_;
  const Limits limits_;
  RequestHead& head_;
  std::string_view scheme_;
  std::string_view authority_;
  std::string_view protocol_;
  std::string_view length_;
  std::string_view expect_;
  size_t bytes_ = 0;
  size_t cookie_bytes_ = 0;
  uint32_t fields_ = 0;
  uint32_t cookies_ = 0;
  uint32_t hosts_ = 0;
  uint32_t expects_ = 0;
};

}  // namespace goma::http
