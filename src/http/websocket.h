// SPDX-License-Identifier: Apache-2.0
//
// What the gateway knows of WebSockets (RFC 6455): whether a request really opens one, where a frame ends, and how to
// say goodbye. Messages are not parsed, unmasked, joined or limited; their bytes pass as they are.
//
// The one idea: a gateway that must leave a conversation can do so politely between two frames, and only there. So it
// follows the lengths of the frames, which costs a few additions per read.
//
// The invariant: a FrameTracker that has seen every byte of a direction knows whether the next one begins a frame.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "http/message.h"

namespace goma::http {

// Close codes the gateway says itself (RFC 6455 7.4.1, and 1012 of its registry).
constexpr uint16_t close_going_away = 1001;
constexpr uint16_t close_service_restart = 1012;

// Whether the request asks for a WebSocket, rightly or not (the token in Upgrade, in any letter case).
bool names_websocket(const RequestHead& request);
// Whether a request that asks to switch protocols is worth asking a backend. Not for h2c, which RFC 9113 3.1 has
// retired and which is a way around a proxy; for a WebSocket only with GET, version 13 and a key of sixteen bytes (RFC
// 6455 4.2.1). Where it is not, the request is an ordinary one, and what follows it is the next request.
bool may_upgrade(const RequestHead& request);

// The frames of one direction.
class FrameTracker {
 public:
  // These bytes pass.
  void pass(std::string_view data);
  // How many of the bytes that come next end the frame that has begun, at most data.size(); 0 between two frames.
  size_t until_boundary(std::string_view data) const;
  bool at_boundary() const { return left_ == 0 && head_bytes_ == 0; }
  // Whether a close frame has passed: nothing may follow it (RFC 6455 5.5.1).
  bool closed() const { return closed_; }

 private:
  size_t step(std::string_view data);
  size_t take_head(std::string_view data);

  uint64_t left_ = 0;              // payload to come
  unsigned char head_[14] = {};    // of a frame whose head came in pieces
  unsigned char head_bytes_ = 0;
  bool closed_ = false;
};

// A close frame in `out`, which has room for eight bytes: as a server says it, or masked as a client must.
std::string_view write_close(char* out, uint16_t code);
std::string_view write_masked_close(char* out, uint16_t code, uint32_t mask);

}  // namespace goma::http
