// SPDX-License-Identifier: Apache-2.0
//
// Counting frames: gather nine bytes, classify, skip the payload. One more byte is gathered where a DATA frame is padded,
// because only its pad length tells whether there is data.
#include "http/h2_guard.h"

#include <algorithm>
#include <cstring>

namespace goma::http {

namespace {

constexpr size_t header_size = 9;
constexpr uint32_t preface_size = 24;
constexpr int64_t second_ms = 1000;

// RFC 9113 6, RFC 9218 7.1.
enum Type : unsigned char {
  type_data = 0,
  type_headers = 1,
  type_priority = 2,
  type_rst_stream = 3,
  type_settings = 4,
  type_push_promise = 5,
  type_ping = 6,
  type_goaway = 7,
  type_window_update = 8,
  type_continuation = 9,
  type_priority_update = 16,
};
constexpr unsigned char flag_end_stream = 0x1;
constexpr unsigned char flag_padded = 0x8;

uint32_t length_of(const unsigned char* header) {
  return static_cast<uint32_t>(header[0]) << 16 | static_cast<uint32_t>(header[1]) << 8 | header[2];
}

int32_t stream_of(const unsigned char* header) {
  return static_cast<int32_t>((header[5] & 0x7fu) << 24 | static_cast<uint32_t>(header[6]) << 16 | static_cast<uint32_t>(header[7]) << 8 | header[8]);
}

bool is_padded_data(const unsigned char* header) {
  return header[3] == type_data && (header[4] & flag_padded) != 0 && length_of(header) > 0;
}

// A DATA frame that carries nothing: no bytes but padding, and no end. Requires the pad length where there is one.
bool is_idle_data(const unsigned char* header) {
  if ((header[4] & flag_end_stream) != 0) return false;
  const uint32_t length = length_of(header);
  return length == 0 || (is_padded_data(header) && length <= header[header_size] + 1u);
}

}  // namespace

H2Guard::H2Guard(Limits limits, int64_t now_ms) : limits_(limits), refilled_ms_(now_ms), skip_(preface_size) {
  for (size_t kind = 0; kind < kinds; ++kind) left_[kind] = burst(kind);
}

int32_t H2Guard::burst(size_t kind) const {
  const int32_t usual = allowances[kind].burst;
  if (kind != rapid_reset) return usual;
  return std::max(usual, static_cast<int32_t>(std::min<uint32_t>(limits_.streams, unlimited_credit)));
}

std::string_view H2Guard::feed(const char* data, size_t n, int64_t now_ms) {
  refill(now_ms);
  while (n > 0 && abuse_.empty()) {
    size_t used = std::min<size_t>(skip_, n);
    if (skip_ > 0) {
      skip_ -= static_cast<uint32_t>(used);
    } else if (have_ == 0 && n >= sizeof header_) {
      used = count_frame(reinterpret_cast<const unsigned char*>(data));
    } else {
      used = gather(data, n);
    }
    data += used;
    n -= used;
  }
  return abuse_;
}

// A header at the edge of a block comes in pieces.
size_t H2Guard::gather(const char* data, size_t n) {
  const size_t wanted = (have_ < header_size ? header_size : sizeof header_) - have_;
  const size_t used = std::min(wanted, n);
  std::memcpy(header_ + have_, data, used);
  have_ = static_cast<unsigned char>(have_ + used);
  if (have_ > header_size || (have_ == header_size && !is_padded_data(header_))) {
    count_frame(header_);
    have_ = 0;
  }
  return used;
}

// The header is whole: what does this frame cost? Returns the size of the header.
size_t H2Guard::count_frame(const unsigned char* header) {
  const uint32_t length = length_of(header);
  const size_t size = is_padded_data(header) ? header_size + 1 : header_size;
  skip_ = length - static_cast<uint32_t>(size - header_size);
  count(header, length);
  return size;
}

void H2Guard::count(const unsigned char* header, uint32_t length) {
  switch (header[3]) {
    case type_data:
      note_data(stream_of(header));
      if (is_idle_data(header)) take(empty_data);
      return;
    case type_headers:
      block_bytes_ = length;
      continuations_ = 0;
      earn(priority, 2);
      earn(window_update, 2);
      return;
    case type_continuation: return count_continuation(length);
    case type_priority:
    case type_priority_update: return take(priority);
    case type_rst_stream: return take(rapid_reset);
    case type_settings: return take(settings);
    case type_ping: return take(ping);
    case type_goaway: return take(goaway);
    case type_window_update: return take(window_update);
    case type_push_promise: return;  // ends the connection anyway (RFC 9113 8.4)
    default: return take(unknown_frame);
  }
}

void H2Guard::note_data(int32_t stream) {
  const size_t place = data_frames_++ % data_streams_.size();
  data_streams_[place] = stream;
}

void H2Guard::count_continuation(uint32_t length) {
  block_bytes_ += length;
  if (++continuations_ > limits_.continuations || block_bytes_ > limits_.block_bytes) abuse_ = "continuation";
}

// Our own failures are nobody's fault.
void H2Guard::reset_sent(uint32_t code) {
  constexpr uint32_t internal_error = 2;
  constexpr uint32_t refused = 7;
  if (code == internal_error) return;
  take(code == refused ? refused_stream : server_reset);
}

uint32_t H2Guard::head_decoded(size_t decoded, size_t on_the_wire) {
  constexpr size_t fair = 8;
  if (decoded <= fair * on_the_wire) return 0;
  const auto kib = static_cast<uint32_t>((decoded - fair * on_the_wire) / 1024);
  if (kib != 0) take(decoded_bytes, kib);
  return kib;
}

void H2Guard::request_done(uint32_t inflated) {
  earn(rapid_reset, 1);
  earn(server_reset, 1);
  earn(refused_stream, 1);
  earn(decoded_bytes, static_cast<int32_t>(inflated));
  earn(ping, 1);
}

void H2Guard::data_sent(size_t bytes, bool short_of_window) {
  if (short_of_window && bytes < fair_piece) return;
  earn(ping, 1);
  earn(window_update, 4);
}

void H2Guard::take(Kind kind, uint32_t times) {
  left_[kind] -= static_cast<int32_t>(times);
  if (left_[kind] < 0 && abuse_.empty()) abuse_ = allowances[kind].name;
}

void H2Guard::earn(Kind kind, int32_t credit) {
  left_[kind] = std::min(left_[kind] + credit, std::max(allowances[kind].most, left_[kind]));
}

// Whole seconds only, so that most blocks find nothing to do.
void H2Guard::refill(int64_t now_ms) {
  const int64_t seconds = (now_ms - refilled_ms_) / second_ms;
  if (seconds <= 0) return;
  refilled_ms_ += seconds * second_ms;
  for (size_t kind = 0; kind < kinds; ++kind) {
    const int64_t grown = left_[kind] + seconds * allowances[kind].per_second;
    if (left_[kind] < burst(kind)) left_[kind] = static_cast<int32_t>(std::min<int64_t>(grown, burst(kind)));
  }
}

}  // namespace goma::http
