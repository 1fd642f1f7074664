// SPDX-License-Identifier: Apache-2.0
//
// A connection to a backend speaking HTTP/2 (RFC 9113) by means of nghttp2: many exchanges at once, each on an
// H2ClientStream. The backend says how many it takes; a connection with room is in its pool's list of open ones.
//
//   open     streams may begin
//   leaving  no further ones: the backend said GOAWAY, or stream numbers run out; closed after the last has ended
//   closed   the socket is gone; buried when the last stream has handed on what it still held
//
// Nobody is called out of the engine with a wish to speak: what streams want is noted and done when the engine is at
// rest. Output leaves once per turn of the loop, DATA straight from the pieces into one buffer.
//
// The invariant: the trouble of one stream never reaches another. What a backend may make us hold is bounded: a
// stream's window for content, the limits of heads for fields, nghttp2's own for frames that want an answer.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "core/deadline.h"
#include "core/stream.h"
#include "http/h2_client_stream.h"
#include "http/peer_pool.h"

namespace goma::http {

class H2Client final : public BackendConnection {
 public:
  // Takes the stream.
  H2Client(Runtime& runtime, PeerPool& pool, core::Stream& dialed);
  ~H2Client() override;

  // Says our settings and reads what is already there.
  void open();
  // Whether another stream may begin.
  bool has_room() const;
  // The backend has said its settings.
  bool greeted() const { return greeted_; }
  // How many may be under way at once, as far as is known.
  size_t limit() const;
  bool is_open() const { return state_ == State::open; }
  size_t streams() const { return count_; }
  bool settling = false;  // the pool waits for the backend's settings before it makes further connections
  // A stream for one exchange. Requires: has_room().
  H2ClientStream& begin();
  // It serves nobody and closes itself after this time.
  void rest(int64_t idle_ms) { deadline_.in(idle_ms); }
  void stir() { deadline_.clear(); }
  // Says goodbye. Requires: no streams.
  void close() override;

  // ------------------------------------------------------------------ for its streams

  Runtime& runtime() { return runtime_; }
  PeerPool& pool() { return pool_; }
  nghttp2_session* session() { return session_; }
  bool secure() const { return stream_.tls() != nullptr; }
  uint64_t received() const { return stream_.received(); }
  // Bytes that the kernel has taken, and those that wait for it.
  uint64_t sent() const { return stream_.sent(); }
  uint64_t accepted() const { return stream_.sent() + stream_.backlog(); }
  // Moves what the engine has to say towards the socket. While the engine receives, nothing.
  void pump();
  // The engine has something to say at the end of this turn.
  void want_send();
  // The stream has work to do when the engine is at rest.
  void schedule(H2ClientStream& stream);
  // No further streams here.
  void leave();

 private:
  enum class State : unsigned char { open, leaving, closed };
  struct Callbacks;

  void on_ready(unsigned ready);
  void on_deadline() { close(); }
  void read_input();
  bool read_once();
  void receive(const char* data, size_t n);
  void run_work();
  void after_callback();
  void end_turn();
  void write_out();
  void settle();
  void lost(Failure::Kind kind, std::string_view detail);
  void end_stream(H2ClientStream& stream);
  H2ClientStream* stream_of(int32_t id);

  Runtime& runtime_;
  PeerPool& pool_;
  core::Stream stream_;
  core::Deadline deadline_;
  core::Deferred after_;
  core::Deferred turn_;
  nghttp2_session* session_ = nullptr;
  core::List<H2ClientStream, &H2ClientStream::hook> streams_;
  core::List<H2ClientStream, &H2ClientStream::work_hook> work_;
  std::string out_;            // frames of this turn
  size_t count_ = 0;
  State state_ = State::open;
  bool greeted_ = false;       // the backend's SETTINGS arrived
  bool unread_ = false;        // the kernel may hold bytes whose edge has passed
  bool receiving_ = false;
  bool in_turn_ = false;
  bool full_ = false;          // out_ was written before the engine had said all
  bool broken_ = false;
  bool leave_ = false;         // GOAWAY came
  bool room_ = false;          // more streams may have become possible
};

}  // namespace goma::http
