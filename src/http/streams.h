// SPDX-License-Identifier: Apache-2.0
//
// The two faces between an exchange and the protocols. ClientStream is the client's side as an exchange sees it, and
// BackendStream the backend's; HTTP/1 implements both today, and nothing in them is HTTP/1.
//
// Bodies are pushed. The receiver takes every piece it is given; pieces must stay valid until flush, which sends
// everything gathered since the last one in a single call (and copies what the socket refuses). flush answers
// whether more is welcome; after "pause" the pusher waits for resume.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/arena.h"
#include "core/stream.h"
#include "http/failure.h"
#include "http/headers.h"
#include "http/message.h"

namespace goma::http {

enum class Flow : bool { pause = false, go = true };

class ClientStream {
 public:
  virtual ~ClientStream() = default;
  // An informational response (1xx but 101). HTTP/1.0 clients do not get it.
  virtual void send_informational(const ResponseHead& head) = 0;
  // The final head. With 101 the stream becomes a tunnel: raw bytes both ways.
  virtual void send_head(const ResponseHead& head) = 0;
  virtual void send_body(std::string_view data) = 0;
  // The response is complete (sent with the next flush). trailers may be null.
  virtual void finish(const Headers* trailers) = 0;
  virtual Flow flush() = 0;
  // The response cannot be completed: the client must notice (RFC 9112 8).
  virtual void abort() = 0;
  // The exchange can take request body (again).
  virtual void resume_request() = 0;
  // How much response content is worth reading for it now: what is above would have to be kept.
  virtual size_t room() const { return SIZE_MAX; }
  // Whether response bytes can go from the backend's socket to the client's without passing user space.
  virtual bool can_splice() const = 0;
  virtual core::Stream::Read splice(core::Stream& source, size_t max) = 0;
};

// A request as it leaves for a backend: end-to-end headers only, framing as a value.
struct BackendRequest {
  std::string_view method;
  Method method_id = Method::other;
  std::string_view target;
  const Headers* headers = nullptr;
  Body body;
  bool upgrade = false;  // ask for the tunnel in headers' Upgrade
  bool accepts_trailers = false;  // the client does (RFC 9110 10.1.4); said to backends by HTTP/2 only
};

// Whom a BackendStream reports to. After on_backend_failure or on_backend_end the stream is no longer used.
class BackendHandler {
 public:
  virtual ~BackendHandler() = default;
  virtual core::Arena& backend_arena() = 0;
  virtual void on_backend_informational(const ResponseHead& head) = 0;
  virtual void on_backend_head(ResponseHead& head) = 0;
  // False while the receiver of the response cannot take more.
  virtual bool wants_backend_body() const = 0;
  // How much of it is worth reading at once.
  virtual size_t backend_room() const { return SIZE_MAX; }
  virtual void on_backend_body(std::string_view data) = 0;
  // The pieces given so far will not stay valid any longer.
  virtual Flow on_backend_flush() = 0;
  virtual void on_backend_end(const Headers* trailers) = 0;
  virtual void on_backend_failure(const Failure& failure) = 0;
  // The backlog of request body is gone: send more.
  virtual void on_backend_writable() = 0;
  virtual bool can_splice() const = 0;
  virtual core::Stream::Read splice(core::Stream& source, size_t max) = 0;
};

class BackendStream {
 public:
  virtual ~BackendStream() = default;
  // Whom it serves from here on. Requires: just lent.
  void attach(BackendHandler& handler) { handler_ = &handler; }
  // The head leaves with the next flush, together with the body that is there by then.
  virtual void send(const BackendRequest& request) = 0;
  virtual void send_body(std::string_view data) = 0;
  virtual void finish_body(const Headers* trailers) = 0;
  virtual Flow flush() = 0;
  // The handler can take response body (again).
  virtual void resume() = 0;
  // The handler leaves before the end: what is half said here is of no use to anybody else.
  virtual void abandon() = 0;

 protected:
  BackendHandler* handler_ = nullptr;
};

}  // namespace goma::http
