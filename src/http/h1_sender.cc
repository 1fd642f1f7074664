// SPDX-License-Identifier: Apache-2.0
//
// Gathering a message. However many pieces a flush has, they become one chunk.
#include "http/h1_sender.h"

#include <algorithm>

#include "http/chunked.h"
#include "http/h1_writer.h"

namespace goma::http {

namespace {

iovec piece(std::string_view text) { return {const_cast<char*>(text.data()), text.size()}; }

std::string_view trailer_text(const Headers& trailers, core::Arena& arena) {
  size_t n = 5;
  for (const Header& h : trailers) n += h.name.size() + h.value.size() + 4;
  char* text = static_cast<char*>(arena.allocate(n, 1));
  char* out = std::copy_n("0\r\n", 3, text);
  for (const Header& h : trailers) {
    out = std::copy(h.name.begin(), h.name.end(), out);
    out = std::copy_n(": ", 2, out);
    out = std::copy(h.value.begin(), h.value.end(), out);
    out = std::copy_n("\r\n", 2, out);
  }
  out = std::copy_n("\r\n", 2, out);
  return {text, static_cast<size_t>(out - text)};
}

}  // namespace

void H1Sender::begin(std::string_view head, Body body) {
  head_ = head;
  framing_ = body.framing;
  left_ = body.length;
  tail_ = {};
  count_ = 0;
  gathered_ = 0;
  ended_ = false;
}

void H1Sender::body(core::Stream& stream, std::string_view data) {
  if (framing_ == Framing::none || data.empty()) return;
  if (framing_ == Framing::length) {
    data = data.substr(0, std::min<uint64_t>(data.size(), left_));
    left_ -= data.size();
    if (data.empty()) return;
  }
  if (count_ == max_pieces) flush(stream);  // a broken stream shows at the caller's own flush
  pieces_[count_++] = piece(data);
  gathered_ += data.size();
}

void H1Sender::end(const Headers* trailers, core::Arena& arena) {
  ended_ = true;
  if (framing_ != Framing::chunked) return;
  tail_ = trailers != nullptr && trailers->size() != 0 ? trailer_text(*trailers, arena) : std::string_view("0\r\n\r\n");
}

core::Stream::Io H1Sender::flush(core::Stream& stream) {
  iovec out[max_pieces + 4];
  int n = 0;
  char size_line[20];
  if (!head_.empty()) out[n++] = piece(head_);
  const bool chunk = framing_ == Framing::chunked && gathered_ != 0;
  if (chunk) out[n++] = {size_line, write_chunk_head(size_line, gathered_)};
  n = static_cast<int>(std::copy_n(pieces_, count_, out + n) - out);
  if (chunk) out[n++] = piece("\r\n");
  if (!tail_.empty()) out[n++] = piece(tail_);
  head_ = tail_ = {};
  count_ = 0;
  gathered_ = 0;
  if (n == 0) return stream.backlog() != 0 ? core::Stream::Io::blocked : core::Stream::Io::ok;
  return stream.write(out, n);
}

}  // namespace goma::http
