// SPDX-License-Identifier: Apache-2.0
//
// One stream of a client's HTTP/2 connection: a request, its exchange and the response. It has an arena of its own, so
// that a short request next to a long one gives its memory back.
//
// The engine (nghttp2) reports while it receives and asks for data while it sends. What it reports is only noted here;
// work(), called when the engine is not on the stack, does it. So an exchange begins, reads and ends outside of the
// engine, which must not be entered twice.
//
// Back-pressure: request bytes are acknowledged to the client when the backend has taken them, so what is held of all
// bodies is at most the connection's window. Response pieces go out at flush as far as windows and socket allow; the rest
// is the backlog, and the exchange pauses until it is gone. An exchange that has said all ends, and with it the heads and
// all else in the arena; a client that does not take the rest keeps the rest only.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "core/arena.h"
#include "core/list.h"
#include "http/exchange.h"
#include "http/h2_fields.h"
#include "http/h2_request.h"
#include "http/streams.h"

namespace goma::http {

class H2Server;

class H2Stream final : public ClientStream {
 public:
  // What the gateway waits for on this stream.
  enum class Wait : unsigned char { nothing, content, room };

  H2Stream(H2Server& connection, int32_t id);
  ~H2Stream() override;
  H2Stream(const H2Stream&) = delete;
  H2Stream& operator=(const H2Stream&) = delete;

  int32_t id() const { return id_; }
  // The exchange has begun, and may have ended.
  bool begun() const { return begun_; }
  // The head is complete: what comes is the trailer section.
  bool head_complete() const { return head_complete_; }
  // Tells the connection's share what the stream holds now.
  void recount();
  size_t held() const { return held_; }
  // Whether the heads have grown since then.
  bool grew() const { return arena_.used() != counted_arena_; }
  bool is_reset() const { return reset_; }
  // KiB that its heads were counted as when they were decoded.
  uint32_t inflated = 0;

  // ------------------------------------------------------------------ while the engine receives

  // A field of the head, later one of the trailer section.
  H2Request::Size take_field(std::string_view name, std::string_view value);
  // A header block is complete: the head, or the trailers.
  void take_block(bool end_stream);
  void take_content(std::string_view data);
  void take_end();
  // The engine knows the stream no more; error code of RFC 9113 7.
  void engine_closed(uint32_t code);

  // ------------------------------------------------------------------ while the engine sends

  // How much of the next DATA frame there is; negative: an nghttp2_error.
  ssize_t offer(size_t most, uint32_t& flags);
  // Appends that much. False: more was there than the frame could take.
  bool take_out(std::string& out, size_t n);
  // A field block has gone out.
  void block_sent();
  // END_STREAM has gone out.
  void end_sent();

  // ------------------------------------------------------------------ from the connection, the engine at rest

  // Does what has become possible. False: the stream is over and can be destroyed.
  bool work();
  // The client is gone or too slow, or the gateway ends.
  void give_up(Ending ending);
  // The same, and the client hears of it by a reset.
  void cut(Ending ending);
  // A tunnel or a gRPC call says in its own words that it must end. False: it has none.
  bool say_goodbye();
  // The client has kept the gateway waiting for too long: answer 408, or reset.
  bool overdue(int64_t now_ms) const;
  void time_out();
  Wait wait() const { return wait_; }
  // The response went out in full.
  bool complete() const { return end_sent_; }

  void send_informational(const ResponseHead& head) override;
  void send_head(const ResponseHead& head) override;
  void send_body(std::string_view data) override;
  void finish(const Headers* trailers) override;
  Flow flush() override;
  void abort() override;
  void resume_request() override;
  size_t room() const override;
  bool can_splice() const override { return false; }
  core::Stream::Read splice(core::Stream&, size_t) override { return {core::Stream::Io::failed}; }

  core::ListHook hook;       // all streams of the connection
  core::ListHook work_hook;  // those that have something to do

 private:
  static constexpr int max_pieces = 16;

  void start();
  void release();
  bool is_said() const;
  void submit_block(const H2Fields& fields, const nghttp2_data_provider* content);
  void push_content();
  bool may_push() const;
  void hand_over(std::string_view data);
  void flush_request();
  void submit_head();
  void gather();
  size_t pending() const { return backlog_.size() - backlog_sent_ + gathered_; }
  void note_wait();
  void moved(size_t n);
  void reset(uint32_t code);

  H2Server& connection_;
  core::Arena arena_;
  H2Request request_;
  Exchange* exchange_ = nullptr;
  Headers* trailers_in_ = nullptr;
  const ResponseHead* head_ = nullptr;  // to be submitted with the next flush
  const H2Fields* trailers_out_ = nullptr;
  std::string kept_;           // request content nobody wanted yet
  size_t unflushed_ = 0;       // request content the exchange has, not yet taken by the backend
  std::string backlog_;        // response content the windows refused
  size_t backlog_sent_ = 0;
  std::string_view pieces_[max_pieces];
  int first_ = 0;              // pieces before it are gone
  int count_ = 0;
  size_t gathered_ = 0;        // bytes in the pieces
  size_t held_ = 0;            // as last told to the share
  size_t counted_arena_ = 0;   // of which in the arena
  uint64_t owed_ = 0;          // of an announced length
  uint64_t waited_bytes_ = 0;  // moved since it waits
  int64_t since_ms_ = 0;       // it waits
  int64_t moved_ms_ = 0;       // last progress
  const int32_t id_;
  uint32_t trailer_bytes_ = 0;
  int blocks_ = 0;             // field blocks that the engine has not compressed yet
  Wait wait_ = Wait::nothing;
  bool head_complete_ = false;
  bool begun_ = false;
  bool head_sent_ = false;     // the final one went to the engine
  bool head_only_ = false;     // the request has no content
  bool end_received_ = false;
  bool end_told_ = false;      // to the exchange
  bool understood_ = false;
  bool patient_ = false;       // content may come slowly (gRPC)
  bool waiting_continue_ = false;
  bool tunnel_ = false;
  bool bodiless_ = false;
  bool announced_ = false;     // owed_ counts
  bool ended_ = false;         // the response is complete, on our side
  bool deferred_ = false;      // the engine asked for data when there was none
  bool paused_ = false;        // the exchange waits for client_writable
  bool end_sent_ = false;
  bool reset_ = false;
  bool closed_ = false;        // the engine has forgotten it
};

}  // namespace goma::http
