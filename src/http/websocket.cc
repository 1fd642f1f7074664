// SPDX-License-Identifier: Apache-2.0
//
// Frame heads (RFC 6455 5.2): two bytes, up to eight of length, four of mask.
#include "http/websocket.h"

#include <algorithm>
#include <cstring>

#include "core/text.h"

namespace goma::http {

namespace {

constexpr unsigned char close_opcode = 8;
constexpr size_t key_characters = 24;  // sixteen bytes in base64

bool names(const RequestHead& request, std::string_view protocol) {
  for (const Header& h : request.headers) {
    if (h.id == HeaderId::upgrade && core::contains_token(h.value, protocol)) return true;
  }
  return false;
}

bool is_base64(char c) { return core::is_alpha(c) || core::is_digit(c) || c == '+' || c == '/'; }

bool is_key(std::string_view key) {
  return key.size() == key_characters && key.substr(22) == "==" && std::all_of(key.begin(), key.begin() + 22, is_base64);
}

// How long the head is, judged by its first two bytes.
size_t head_length(const unsigned char* head) {
  const unsigned length = head[1] & 0x7f;
  return 2u + (length == 126 ? 2u : length == 127 ? 8u : 0u) + ((head[1] & 0x80) != 0 ? 4u : 0u);
}

uint64_t payload_length(const unsigned char* head) {
  const unsigned length = head[1] & 0x7f;
  if (length < 126) return length;
  uint64_t value = 0;
  const int bytes = length == 126 ? 2 : 8;
  for (int i = 0; i < bytes; ++i) value = value << 8 | head[2 + i];
  return value;
}

}  // namespace

bool names_websocket(const RequestHead& request) { return names(request, "websocket"); }

bool may_upgrade(const RequestHead& request) {
  if (names(request, "h2c")) return false;
  if (!names_websocket(request)) return true;
  const Header* version = request.headers.find("Sec-WebSocket-Version");
  return request.method == Method::get && is_key(request.headers.get(HeaderId::sec_websocket_key)) && version != nullptr && version->value == "13";
}

// ---------------------------------------------------------------- following frames

void FrameTracker::pass(std::string_view data) {
  while (!data.empty()) data.remove_prefix(step(data));
}

// One head, or one payload, as far as it is there. Returns how many bytes it took.
size_t FrameTracker::step(std::string_view data) {
  if (left_ == 0) return take_head(data);
  const uint64_t taken = std::min<uint64_t>(left_, data.size());
  left_ -= taken;
  return static_cast<size_t>(taken);
}

// Adds to the head that has begun; when it is whole, its payload is due. Returns how many bytes it took.
size_t FrameTracker::take_head(std::string_view data) {
  size_t used = 0;
  while (used < data.size()) {
    head_[head_bytes_++] = static_cast<unsigned char>(data[used++]);
    if (head_bytes_ < 2 || head_bytes_ < head_length(head_)) continue;
    closed_ = closed_ || (head_[0] & 0x0f) == close_opcode;
    left_ = payload_length(head_);
    head_bytes_ = 0;
    break;
  }
  return used;
}

size_t FrameTracker::until_boundary(std::string_view data) const {
  FrameTracker ahead = *this;
  size_t used = 0;
  while (used < data.size() && !ahead.at_boundary()) used += ahead.step(data.substr(used));
  return used;
}

// ---------------------------------------------------------------- goodbye

std::string_view write_close(char* out, uint16_t code) {
  out[0] = static_cast<char>(0x88);
  out[1] = 2;
  out[2] = static_cast<char>(code >> 8);
  out[3] = static_cast<char>(code & 0xff);
  return {out, 4};
}

std::string_view write_masked_close(char* out, uint16_t code, uint32_t mask) {
  out[0] = static_cast<char>(0x88);
  out[1] = static_cast<char>(0x80 | 2);
  std::memcpy(out + 2, &mask, 4);
  out[6] = static_cast<char>((code >> 8) ^ out[2]);
  out[7] = static_cast<char>((code & 0xff) ^ out[3]);
  return {out, 8};
}

}  // namespace goma::http
