// SPDX-License-Identifier: Apache-2.0
//
// A client's connection speaking HTTP/1.x (RFC 9112): reads heads, runs one exchange at a time, writes its response,
// keeps alive, pipelines in order (RFC 9112 9.3.2).
//
//   idle       between requests; holds no buffer
//   head       part of a head has arrived
//   exchange   an exchange is under way (its request body may still be arriving)
//   tunnel     after 101: raw bytes both ways
//   lingering  the response is out, the connection ends; what the client still sends is read and dropped, so that it
//              can read the response before a reset (RFC 9112 9.6)
//   closed     waits to be buried by the server
//
// Nothing is read that nobody wants: a paused body or a pipelined request stays in the kernel, where TCP's own window
// stops the sender.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/arena.h"
#include "core/deadline.h"
#include "core/list.h"
#include "core/stream.h"
#include "http/chunked.h"
#include "http/arrival.h"
#include "http/connection.h"
#include "http/exchange.h"
#include "http/h1_parser.h"
#include "http/h1_sender.h"
#include "http/streams.h"

namespace goma::http {

class H1Server final : public ClientConnection, public ClientStream {
 public:
  enum class State : unsigned char { idle, head, exchange, tunnel, lingering, closed };

  H1Server(Runtime& runtime, ConnectionOwner& owner, Arrival arrival);
  ~H1Server() override;

  // Takes a fresh connection and reads what is already there.
  void open(int fd);
  // The same with a connection that was greeted.
  void open(core::Stream& greeted);

  State state() const { return state_; }
  Phase phase() const override;
  int64_t waiting_since_ms() const override { return waiting_since_ms_; }
  uint64_t progress() const override { return stream_.received() + stream_.sent() - progress_mark_; }
  // Not abruptly, an idle one answers one more request with "Connection: close".
  void drain(bool abruptly) override;
  void say_goodbye() override;
  void shed() override;

  void send_informational(const ResponseHead& head) override;
  void send_head(const ResponseHead& head) override;
  void send_body(std::string_view data) override;
  void finish(const Headers* trailers) override;
  Flow flush() override;
  void abort() override;
  void resume_request() override;
  bool can_splice() const override;
  core::Stream::Read splice(core::Stream& source, size_t max) override;

 private:
  enum class BodyState : unsigned char { none, arriving, complete, abandoned };

  void begin();
  bool waits_for_client() const { return waiting_since_ms_ != 0; }
  void on_ready(unsigned ready);
  void on_deadline();
  void check_progress();
  void check_tunnel();
  void read_input();
  bool read_once();
  void process(const char* data, size_t n);
  size_t take_head(const char* data, size_t n);
  void start_exchange(std::string_view head_text);
  void refuse_head(const ParseError& error);
  bool refuse_line(std::string_view lines);
  size_t push_body(const char* data, size_t n);
  size_t push_chunks(const char* data, size_t n);
  void body_complete(const Headers* trailers);
  void await_body();
  void client_left(Ending ending);
  void half_close();
  void after_callback();
  void end_exchange();
  void count_bytes();
  bool exchange_done() const;
  void next_request();
  void linger();
  void close();
  void set_state(State state);
  void begin_wait();
  void end_wait();
  void watch();
  H1Sender& sender();
  bool keep_alive_after() const;

  Runtime& runtime_;
  ConnectionOwner& owner_;
  core::Stream stream_;
  Arrival arrival_;
  core::Deadline deadline_;
  core::Deferred after_;
  std::string input_;          // received, not yet consumed
  struct Ongoing;              // what an exchange needs; in its arena
  Ongoing* ongoing_ = nullptr;
  core::Arena arena_;
  int64_t waiting_since_ms_ = 0;
  uint64_t progress_mark_ = 0;
  uint64_t check_mark_ = 0;
  int64_t last_progress_ms_ = 0;
  uint64_t counted_in_ = 0;    // bytes that are in the metrics already
  uint64_t counted_out_ = 0;
  State state_ = State::idle;
  BodyState body_ = BodyState::none;
  bool unread_ = false;        // the kernel may hold bytes whose edge has passed
  bool close_after_ = false;   // no request after this one
  bool draining_ = false;
  bool processing_ = false;
  bool eof_ = false;
  bool response_over_ = false;
  bool waiting_continue_ = false;
  bool line_judged_ = false;   // the request line of a head that is still arriving is good
};

}  // namespace goma::http
