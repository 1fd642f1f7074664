// SPDX-License-Identifier: Apache-2.0
//
// What must be settled on a client's connection before HTTP begins, in this order:
//
//   proxy    a PROXY header of a trusted peer tells who the client is (core/proxy_protocol.h)
//   tls      the handshake; ALPN chooses the version of HTTP
//   preface  a plain connection begins with HTTP/2's preface or not (RFC 9113 3.4)
//   done     the server hands the stream to H1Server or H2Server
//   closed
//
// Headers and prefaces are looked at in the kernel's buffer and taken out exactly, so nothing has to be given back.
// A server's part of a handshake costs as much as twenty requests; the owner says how many a turn of the loop may
// have, the others wait for the next one.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/deadline.h"
#include "core/stream.h"
#include "http/arrival.h"
#include "http/connection.h"
#include "http/entry_point.h"

namespace goma::http {

class Site;
struct Runtime;

class Greeting final : public ClientConnection {
 public:
  // Keeps the site that is current until it is destroyed; the entry point belongs to it.
  Greeting(Runtime& runtime, ConnectionOwner& owner, const EntryPoint& entry, const core::Address& peer);
  ~Greeting() override;

  // Takes a fresh connection and reads what is already there.
  void open(int fd);
  // Its turn to compute has come (ConnectionOwner::may_handshake).
  void proceed();

  // Requires: greeted. The stream may hold the end of the handshake back (Stream::holds).
  core::Stream& stream() { return stream_; }
  Arrival& arrival() { return arrival_; }
  bool http2() const { return http2_; }

  Phase phase() const override { return state_ == State::closed || state_ == State::done ? Phase::closed : Phase::waiting; }
  int64_t waiting_since_ms() const override { return since_ms_; }
  uint64_t progress() const override { return stream_.received() + stream_.sent(); }
  void drain(bool abruptly) override;
  void shed() override { close(); }

  core::ListHook turn_hook;  // those that wait for their turn to compute

 private:
  enum class State : unsigned char { proxy, tls, preface, done, closed };

  void on_ready(unsigned ready);
  void on_deadline();
  void advance();
  bool step();
  bool take_proxy_header();
  void begin_tls();
  bool shake_hands();
  void handshake_failed();
  bool look_for_preface();
  void greeted();
  void refuse(std::string_view reason);
  void close();

  Runtime& runtime_;
  ConnectionOwner& owner_;
  Site* site_;
  const EntryPoint& entry_;
  core::Stream stream_;
  core::Deadline deadline_;
  Arrival arrival_;
  int64_t since_ms_;
  State state_;
  bool http2_ = false;
};

}  // namespace goma::http
