// SPDX-License-Identifier: Apache-2.0
//
// What an exchange keeps of itself once it is a tunnel: how long nothing has passed, and for a WebSocket where the
// frames end, so that it can be closed with a word (RFC 6455 7.1) instead of a cut.
//
// Saying goodbye: each direction goes on to the end of the frame that has begun, then the close frame follows, then
// nothing more passes. The backend's end ends the tunnel, and who does not answer is cut after a moment.
//
// It moves no bytes; the exchange asks it what may pass.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/deadline.h"
#include "http/websocket.h"

namespace goma::http {

class Exchange;

class Tunnel {
 public:
  enum class Way : unsigned char { to_backend, to_client };

  // Counts idle time from now on. frames: it is a WebSocket.
  Tunnel(Exchange& x, bool frames);

  // What of these bytes goes on.
  std::string_view pass(Way way, std::string_view data);
  // The close frame that must follow what has passed; empty when none is due. Valid as long as the tunnel.
  std::string_view goodbye(Way way);
  // Nothing more goes this way.
  void ended(Way way) { direction(way).silent = true; }
  // Nothing but the rest of a frame and goodbyes from now on; the client hears `code`. False: this tunnel has no words.
  bool close(uint16_t code);
  bool closing() const { return code_ != 0; }

 private:
  struct Direction {
    FrameTracker frames;
    char text[8];
    bool silent = false;  // the goodbye is out, or was never ours to say
  };

  void on_quiet();
  Direction& direction(Way way) { return way == Way::to_client ? to_client_ : to_backend_; }

  Exchange& x_;
  core::Deadline quiet_;
  int64_t moved_us_;
  Direction to_backend_;
  Direction to_client_;
  uint16_t code_ = 0;
  bool frames_;
};

}  // namespace goma::http
