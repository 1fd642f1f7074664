// SPDX-License-Identifier: Apache-2.0
//
// One HTTP/1 message on its way out (RFC 9112 6, 7): a head, body pieces and the end, gathered and sent with one
// system call per flush. Used for responses to clients and for requests to backends alike.
//
// Pieces are views; they must stay valid until flush. What the socket refuses is copied by the stream.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <string_view>

#include "core/arena.h"
#include "core/stream.h"
#include "http/headers.h"
#include "http/message.h"
#include "http/streams.h"

namespace goma::http {

class H1Sender {
 public:
  // head: a written head that lives until flushed. A Framing::until_close body is raw bytes.
  void begin(std::string_view head, Body body);
  // Takes a piece; more than the announced length is dropped and remembered (overrun).
  void body(core::Stream& stream, std::string_view data);
  // The message is complete; trailers only with chunked. The text is made in the arena.
  void end(const Headers* trailers, core::Arena& arena);
  core::Stream::Io flush(core::Stream& stream);

  bool ended() const { return ended_; }
  // Bytes still owed of an announced length.
  uint64_t owed() const { return framing_ == Framing::length ? left_ : 0; }
  bool chunked() const { return framing_ == Framing::chunked; }
  // Bytes that went around the sender (splice).
  void skip(uint64_t n) { left_ -= n; }
  bool idle() const { return head_.empty() && count_ == 0 && tail_.empty(); }
  void raw() { framing_ = Framing::until_close; }

 private:
  static constexpr int max_pieces = 24;

  std::string_view head_;
  std::string_view tail_;
  iovec pieces_[max_pieces];
  int count_ = 0;
  size_t gathered_ = 0;
  uint64_t left_ = 0;
  Framing framing_ = Framing::none;
  bool ended_ = false;
};

}  // namespace goma::http
