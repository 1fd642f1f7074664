// SPDX-License-Identifier: Apache-2.0
//
// Making one connection to a backend, up to the point where a protocol can be spoken over it:
//
//   resolving   the name is looked up
//   connecting  an address is tried; the next one after a failure
//   securing    the TLS handshake, when the pool has a profile; ALPN says which version of HTTP follows
//   done        the pool has taken the stream, or was told why there is none
//
// The one idea: what speaks HTTP over a connection begins with an open stream. A dialer belongs to its pool and ends
// in PeerPool::dialed or PeerPool::dial_failed, once.
#pragma once

#include <string>
#include <vector>

#include "core/deadline.h"
#include "core/resolver.h"
#include "core/stream.h"
#include "http/peer_pool.h"
#include "http/streams.h"

namespace goma::http {

class Dialer final : public BackendConnection {
 public:
  // only: the one address to try, in place of those of the pool's name; null: all of these.
  Dialer(Runtime& runtime, PeerPool& pool, DialPurpose purpose, const core::Address* only);

  // Starts; may end before it returns.
  void dial();
  // Gives up without telling anybody; the pool's counts are the pool's.
  void close() override;
  // Requires: called from PeerPool::dialed, which takes it.
  core::Stream& stream() { return stream_; }
  // HTTP/2 follows.
  bool http2() const { return http2_; }
  DialPurpose purpose() const { return purpose_; }

 private:
  enum class State : unsigned char { resolving, connecting, securing, done };
  using Addresses = std::vector<core::Address>;

  void on_resolved(const core::Result<Addresses>& addresses);
  void try_next_address();
  void note_failed();
  void on_ready(unsigned ready);
  void on_deadline();
  void connected();
  void begin_tls();
  void shake_hands();
  void succeed();
  void fail(Failure::Kind kind, std::string_view detail);

  Runtime& runtime_;
  PeerPool& pool_;
  core::Stream stream_;
  core::Deadline deadline_;
  core::Resolver::Lookup lookup_;
  Addresses addresses_;
  size_t next_address_ = 0;
  std::string reason_;  // of a failed handshake
  bool http2_ = false;
  DialPurpose purpose_;
  State state_ = State::resolving;
};

}  // namespace goma::http
