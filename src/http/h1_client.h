// SPDX-License-Identifier: Apache-2.0
//
// A connection to a backend speaking HTTP/1.1 (RFC 9112), one request at a time.
//
//   idle        in the pool
//   head        a request is on its way; a response head is awaited (RFC 9112 2, informational ones pass: RFC 9110 15.2)
//   body        response body arrives
//   tunnel      after 101
//   closed      waits to be buried by its pool
//
// It begins with an open stream, which a Dialer made.
// A connection goes back to the pool only if both messages are complete, the response said so and not a byte more
// arrived; everything else closes it, so that no client ever sees another's bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/deadline.h"
#include "core/stream.h"
#include "http/chunked.h"
#include "http/h1_response.h"
#include "http/h1_sender.h"
#include "http/peer_pool.h"
#include "http/streams.h"

namespace goma::http {

class H1Client final : public BackendConnection, public BackendStream {
 public:
  enum class State : unsigned char { idle, head, body, tunnel, closed };

  // Takes the stream.
  H1Client(Runtime& runtime, PeerPool& pool, core::Stream& dialed);
  ~H1Client() override;

  // It is idle and the backend has said or done something: it cannot be lent.
  bool has_news() const { return stream_.has_news(); }
  bool served() const { return served_ > 0; }
  // It is idle and closes itself after this time.
  void rest(int64_t idle_ms);
  State state() const { return state_; }

  void send(const BackendRequest& request) override;
  void send_body(std::string_view data) override;
  void finish_body(const Headers* trailers) override;
  Flow flush() override;
  void resume() override;
  void abandon() override;

  // Closes and tells the pool. Nothing is told to the handler.
  void close() override;

 private:
  void on_ready(unsigned ready);
  void on_deadline();
  void on_broken_send();
  void read_some();
  bool read_once();
  bool consume_pending();
  void keep(std::string long_head, std::string_view received, size_t used);
  bool splice_once();
  size_t consume(const char* data, size_t n);
  size_t consume_head(const char* data, size_t n);
  size_t consume_body(const char* data, size_t n);
  size_t consume_chunks(const char* data, size_t n);
  void take_head(std::string_view text, bool untidy, size_t behind);
  void peer_ended(bool broken);
  void response_complete(const Headers* trailers);
  void fail(Failure::Kind kind, std::string_view detail = {});
  void arm(int64_t ms) { deadline_.in(ms); }

  Runtime& runtime_;
  PeerPool& pool_;
  core::Stream stream_;
  H1Sender sender_;
  ResponseScanner scanner_;
  ChunkDecoder chunks_;
  core::Deadline deadline_;
  core::Deferred read_on_;  // what could not be read at once
  std::string pending_;        // received, not yet consumed
  uint64_t left_ = 0;          // of a response body with a length
  uint64_t served_ = 0;        // complete exchanges
  uint64_t sent_before_ = 0;   // bytes that had been written when the request began
  Method method_ = Method::other;
  Framing framing_ = Framing::none;
  State state_ = State::idle;
  unsigned char informational_ = 0;
  bool upgrade_asked_ = false;
  bool keep_alive_ = false;
  bool paused_ = false;
  bool answered_ = false;
  bool send_broken_ = false;
  bool reading_ = false;
};

}  // namespace goma::http
