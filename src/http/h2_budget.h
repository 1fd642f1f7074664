// SPDX-License-Identifier: Apache-2.0
//
// What the streams of HTTP/2 connections may hold in memory. Header compression lets a client name kilobytes with a
// byte, and flow control lets it leave what it asked for lying here; so every stream tells what it holds, its
// connection has a share of the worker's budget, and what does not fit is refused before it was begun.
//
//   admits    a further stream may begin
//   fits      a head that is being read may go on growing
//   exceeded  even the room for bodies and responses is gone: streams that wait for the client must go
//
// The one idea: a share is the same for everybody while there is plenty, and an eighth of what is left when there is
// not. So nobody is counted out by those who came first, and no number of connections holds more than the budget but
// for the floor of each. A stream alone on its connection is always borne: its limits are those of HTTP/1.
#pragma once

#include <cstddef>

namespace goma::http {

// Of a worker. Outlives the shares.
class H2Budget {
 public:
  static constexpr size_t usual = size_t{128} << 20;

  explicit H2Budget(size_t bytes = usual) : bytes_(bytes) {}
  size_t held() const { return held_; }
  size_t left() const { return held_ < bytes_ ? bytes_ - held_ : 0; }

 private:
  friend class H2Share;
  size_t bytes_;
  size_t held_ = 0;
};

// Of a connection.
class H2Share {
 public:
  static constexpr size_t floor_bytes = 64 * 1024;
  static constexpr size_t usual_heads = 704 * 1024;
  static constexpr size_t stream_bytes = 7 * 1024;  // what an ordinary request holds until it is answered

  // streams: how many may be open at once; head_bytes: the limit of one head; body_bytes: the connection's window. The
  // worker's budget may be null: there is none.
  H2Share(H2Budget* worker, size_t streams, size_t head_bytes, size_t body_bytes);
  H2Share(const H2Share&) = delete;
  H2Share& operator=(const H2Share&) = delete;
  ~H2Share();

  // A stream holds `now` bytes in place of `before`.
  void change(size_t before, size_t now);
  bool admits() const { return held_ == 0 || held_ + stream_bytes <= limit(); }
  // streams: how many there are.
  bool fits(size_t streams) const { return streams <= 1 || held_ <= limit(); }
  bool exceeded(size_t streams) const { return streams > 1 && held_ > limit() + body_bytes_; }
  size_t held() const { return held_; }

 private:
  size_t limit() const;

  H2Budget* worker_;
  size_t heads_;
  size_t body_bytes_;
  size_t held_ = 0;
};

}  // namespace goma::http
