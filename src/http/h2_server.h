// SPDX-License-Identifier: Apache-2.0
//
// A client's connection speaking HTTP/2 (RFC 9113): frames and header compression are nghttp2's, requests and responses
// are H2Stream's; this is what lies between them and the socket.
//
//   open       requests come and are answered
//   lingering  everything is said; what the client still sends is dropped, so that it can read the end before a reset
//   closed     waits to be buried by the server
//
// In: a guard counts what costs us more than the client (http/h2_guard.h), the engine understands, and streams that
// something happened to do their work before the received block is given back. Out: what all streams produced during
// one wake-up of the loop leaves in one write, or earlier when it is much. The engine is asked for bytes only while the
// socket takes them; so a client that does not read holds one write's worth.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/deadline.h"
#include "core/list.h"
#include "core/stream.h"
#include "http/arrival.h"
#include "http/connection.h"
#include "http/h2_budget.h"
#include "http/h2_guard.h"
#include "http/h2_stream.h"
#include "http/runtime.h"

namespace goma::http {

class H2Server final : public ClientConnection {
 public:
  H2Server(Runtime& runtime, ConnectionOwner& owner, Arrival arrival);
  ~H2Server() override;

  // Takes a connection that was greeted and reads what is already there.
  void open(core::Stream& greeted);

  Phase phase() const override;
  int64_t waiting_since_ms() const override { return waiting_since_ms_; }
  uint64_t progress() const override { return stream_.received() + stream_.sent() - progress_mark_; }
  // RFC 9113 6.8: the client is told to go elsewhere, then what it sent until it knew is finished.
  void drain(bool abruptly) override;
  // Tunnels hear it in their own words, everything else ends.
  void say_goodbye() override;
  void shed() override;

  // ------------------------------------------------------------------ for its streams

  Runtime& runtime() { return runtime_; }
  nghttp2_session* session() { return session_; }
  H2Guard& guard() { return guard_; }
  H2Share& share() { return share_; }
  std::string_view peer_ip() const { return peer_ip_; }
  const TlsFacts* tls() const { return arrival_.tls.get(); }
  // The socket takes no more for now.
  bool blocked() const { return stream_.backlog() != 0; }
  // Moves what the engine has to say towards the socket, at once when it is much. While the engine receives, nothing.
  void pump();
  // The engine has something to say at the end of this turn.
  void want_send();
  // The stream has work to do when the engine is at rest.
  void schedule(H2Stream& stream);
  void wait_begun();
  void wait_ended();

  // The engine's question for response content (nghttp2_data_source_read_callback).
  static ssize_t on_data_wanted(nghttp2_session*, int32_t, uint8_t*, size_t length, uint32_t* flags, nghttp2_data_source* source, void*);

 private:
  enum class State : unsigned char { open, lingering, closed };
  struct Callbacks;

  void make_session();
  void say_settings();
  bool may_begin(int32_t id);
  void refuse_stream(int32_t id, std::string_view reason);
  void shed_streams();
  void on_ready(unsigned ready);
  void read_input();
  bool read_once();
  void receive(const char* data, size_t n);
  void run_work();
  void block_ended();
  void note_reset(int32_t id);
  bool is_stale(int32_t id);
  bool is_closed(int32_t id);
  void answer_stray_data();
  void after_callback();
  void end_turn();
  void write_out();
  void resume_streams();
  void settle();
  void cut_for(std::string_view abuse);
  void say_goaway();
  void end_stream(H2Stream& stream);
  void drop_streams(Ending ending);
  void lost(Ending ending);
  void linger();
  void close();
  void count_bytes();
  void update_phase();
  void rearm();
  void on_deadline();
  void check_streams(int64_t now);
  H2Stream* stream_of(int32_t id);

  Runtime& runtime_;
  ConnectionOwner& owner_;
  core::Stream stream_;
  Arrival arrival_;
  core::Deadline deadline_;
  core::Deferred after_;
  core::Deferred turn_;
  nghttp2_session* session_ = nullptr;
  H2Guard guard_;
  H2Share share_;
  core::List<H2Stream, &H2Stream::hook> streams_;     // whose turn it is comes first
  core::List<H2Stream, &H2Stream::work_hook> work_;
  H2Stream* reading_ = nullptr;  // whose header block arrives
  std::string out_;              // frames of this turn
  std::string_view peer_ip_;
  int64_t waiting_since_ms_ = 0;
  uint64_t progress_mark_ = 0;
  uint64_t counted_in_ = 0;
  uint64_t counted_out_ = 0;
  uint64_t check_mark_ = 0;      // bytes sent when it was looked at last
  int64_t sent_ms_ = 0;          // when those had moved
  int64_t idle_since_ms_ = 0;
  int64_t block_since_ms_ = 0;   // a header block has begun and is not complete
  int64_t goaway_due_ms_ = 0;    // when the last word of a drain is due
  size_t stream_count_ = 0;
  uint32_t open_ = 0;            // streams that the client has not ended or given up
  uint32_t most_open_ = 0;       // as our SETTINGS say
  uint32_t block_wire_ = 0;      // of the field block that arrives: its first frame
  size_t block_decoded_ = 0;     // and what came out of it
  size_t reset_count_ = 0;       // streams that we took back
  int32_t resets_[16] = {};      // the last of them
  int32_t newest_ = 0;           // the highest stream of the client
  uint32_t data_begun_ = 0;      // DATA frames that the engine looked at
  size_t waits_ = 0;             // streams that wait for the client
  size_t dropped_ = 0;           // bytes read while lingering
  Phase told_ = Phase::closed;   // what the owner knows
  State state_ = State::open;
  bool unread_ = false;          // the kernel may hold bytes whose edge has passed
  bool greeted_ = false;         // the client's SETTINGS arrived
  bool receiving_ = false;
  bool in_turn_ = false;
  bool full_ = false;            // out_ was written before the engine had said all
  bool broken_ = false;
  bool draining_ = false;
  bool cut_ = false;             // for abuse
  char ip_[48];
};

}  // namespace goma::http
