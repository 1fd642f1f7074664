// SPDX-License-Identifier: Apache-2.0
//
// The content of a proxied exchange: one attempt after another. Chooses a backend, borrows a connection, writes the
// request as goma-config 7.2 says, passes bodies both ways and maps failures to answers (goma-config 7.6).
//
// What follows a failed attempt is decided in http/retry.h; here the backends that were tried are noted, so that each
// is asked once with what none of them got to see.
#pragma once

#include <string_view>

#include "http/exchange.h"
#include "http/peer_pool.h"
#include "http/streams.h"
#include "http/upstream.h"

namespace goma::http {

class Forward final : public BackendHandler, private PeerPool::Waiter {
 public:
  explicit Forward(Exchange& x);
  ~Forward() override;

  void start();
  // Request body from the client.
  bool wants_request_body() const;
  void request_body(std::string_view data);
  void request_end(const Headers* trailers);
  Flow flush_request();
  // The client takes response body again.
  void resume_response();
  // Gives the backend up (the client left).
  void cancel();
  // The response has no content and another one was given: the exchange hears no more of this one.
  void finish_alone() { alone_ = true; }
  // The exchange became a tunnel: the configuration may go.
  void forget_route() { backend_ = nullptr; }
  std::string_view waiting_for() const;

  core::Arena& backend_arena() override { return x_.arena(); }
  void on_backend_informational(const ResponseHead& head) override;
  void on_backend_head(ResponseHead& head) override;
  bool wants_backend_body() const override { return x_.wants_response_body(); }
  size_t backend_room() const override { return x_.response_room(); }
  void on_backend_body(std::string_view data) override { x_.response_body(data); }
  Flow on_backend_flush() override { return x_.flush_response(); }
  void on_backend_end(const Headers* trailers) override;
  void on_backend_failure(const Failure& failure) override;
  void on_backend_writable() override;
  bool can_splice() const override { return x_.can_splice_response(); }
  core::Stream::Read splice(core::Stream& source, size_t max) override { return x_.splice_response(source, max); }

 private:
  void on_lease(BackendStream& stream) override;
  void on_lease_failed(const Failure& failure) override;
  void attempt(bool fresh);
  void connect(bool fresh);
  void build_request();
  void add_forwarded_headers(Headers& headers);
  std::string_view build_target(const Backend& backend);
  bool go_on(const Failure& failure);
  void give_up(const Failure& failure);

  Exchange& x_;
  Backend* backend_ = nullptr;
  BackendStream* stream_ = nullptr;
  BackendSet tried_;
  int replaced_ = 0;          // connections that turned out to take nothing
  bool trial_ = false;        // what becomes of it says whether the backend is good again
  bool body_taken_ = false;   // request body has left: no second attempt
  bool request_ended_ = false;
  bool full_ = false;         // the backend takes no more for now
  bool head_seen_ = false;
  bool alone_ = false;
};

}  // namespace goma::http
