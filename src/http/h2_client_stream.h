// SPDX-License-Identifier: Apache-2.0
//
// One exchange on an HTTP/2 connection to a backend (RFC 9113 8.1). The handler's side is a BackendStream like any
// other; the engine's side gets fields, content and the end as nghttp2 meets them.
//
// Request content goes out straight from the pieces; what windows or the socket refuse is kept (one flush of it at most)
// and the handler waits. Response content that the handler does not take now is kept, at most a stream's window of
// it, and the window opens again with what was taken.
//
// It lives until both sides have let go: the handler, and the engine.
#pragma once

#include <nghttp2/nghttp2.h>
#include <sys/uio.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "core/deadline.h"
#include "http/streams.h"

namespace goma::http {

class H2Client;

class H2ClientStream final : public BackendStream {
 public:
  explicit H2ClientStream(H2Client& connection);
  ~H2ClientStream() override;

  void send(const BackendRequest& request) override;
  void send_body(std::string_view data) override;
  void finish_body(const Headers* trailers) override;
  Flow flush() override;
  void resume() override;
  void abandon() override;

  // ------------------------------------------------------------------ for the engine

  // How much request content there is for a frame of this length (nghttp2_data_source_read_callback).
  ssize_t offer(size_t length, uint32_t& flags);
  // Moves that content behind out.
  void take_out(std::string& out, size_t n);
  void begin_block();
  // False: the block is too large by far for the connection to go on.
  bool field(std::string_view name, std::string_view value);
  void block_ended();
  void content(std::string_view data);
  void end_seen();
  void malformed() { fault(Failure::Kind::bad_http2); }
  void engine_closed(uint32_t code);
  // The connection is gone.
  void lost(Failure::Kind kind, std::string_view detail);
  // Does what was noted while the engine was busy. False: both sides have let go.
  bool work();

  core::ListHook hook;       // of the connection
  core::ListHook work_hook;  // has work to do

 private:
  static constexpr int max_pieces = 16;

  void fault(Failure::Kind kind) { fault_ = fault_ == Failure::Kind::none ? kind : fault_; }
  bool is_faulty() const { return fault_ != Failure::Kind::none; }
  void submit();
  void open_window();
  void end_of_offer(uint32_t& flags);
  void keep_rest();
  size_t left() const { return rest_.size() - rest_sent_ + gathered_; }
  void take_head();
  Body framing_of(const ResponseHead& head) const;
  void pass_held();
  void taken(size_t n);
  void complete();
  void fail(Failure failure);
  bool written() const;
  void fail_by_code();
  void reset(uint32_t code);
  void on_deadline();

  H2Client& connection_;
  core::Deadline deadline_;
  ResponseHead* head_ = nullptr;
  Headers* trailers_ = nullptr;
  const Headers* own_trailers_ = nullptr;
  BackendRequest request_;
  iovec pieces_[max_pieces];
  int count_ = 0;
  size_t gathered_ = 0;
  std::string rest_;             // request content that was refused
  size_t rest_sent_ = 0;
  std::string held_;             // response content that the handler did not take
  size_t block_fields_ = 0;
  size_t block_bytes_ = 0;
  uint64_t length_ = 0;
  uint64_t received_mark_ = 0;   // of the connection, when the request was handed to the engine
  uint64_t accepted_mark_ = 0;   // whatever is written beyond may be of this request
  size_t taken_ = 0;             // content given to the handler, its window not yet opened again
  Failure lost_;
  Failure::Kind fault_ = Failure::Kind::none;  // of the response
  uint32_t code_ = 0;
  int32_t id_ = 0;
  unsigned char informational_ = 0;
  bool ended_ = false;           // the request is complete
  bool window_open_ = false;     // the backend may send more than a first piece
  bool end_sent_ = false;
  bool has_length_ = false;
  bool head_seen_ = false;
  bool answered_ = false;
  bool end_seen_ = false;
  bool paused_ = false;
  bool full_ = false;            // the handler waits for rest_ to go
  bool flush_due_ = false;
  bool closed_ = false;          // the engine has let go
};

}  // namespace goma::http
