// SPDX-License-Identifier: Apache-2.0
//
// Connections to backends, per worker. A PeerPool holds those of one peer (host, port, TLS profile): idle ones are lent
// most recently used first, new ones are made while the limit allows, and beyond it requests wait in a bounded
// queue. Pools outlive sites: a reload changes their limits, never their connections.
//
// With HTTP/2 one connection serves many: a stream begins on one that has room, another connection is made only when
// none has, and those who wait share the one that is being made.
//
// A pool keeps up with its name while it has connections: it asks again before each answer expires. Connections to addresses
// that the name no longer has are not lent again; they finish what they carry. Among several addresses the pool lends
// in turn, and makes connections where there are too few, beside the traffic.
//
// A connection that a backend closed while idle is noticed by its event and leaves the pool at once, and one whose
// event is still to come in this turn of the loop is not lent; no system call asks whether a reused connection is alive.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/arena.h"
#include "core/deadline.h"
#include "core/health_zone.h"
#include "core/list.h"
#include "core/resolver.h"
#include "core/tls.h"
#include "http/h1_response.h"
#include "http/peer_addresses.h"
#include "http/streams.h"

namespace goma::http {

class Dialer;
class H1Client;
class H2Client;
struct BackendTls;
class PeerMetrics;
struct Runtime;

// gateway.networking, as a pool needs it.
struct TransportLimits {
  size_t max_connections = 256;       // per endpoint, 0 = no limit
  size_t max_idle = 256;              // per endpoint
  size_t max_idle_total = 512;        // over all endpoints
  int64_t idle_ms = 90'000;
  int64_t connect_ms = 5'000;
  int64_t handshake_ms = 0;           // of TLS, 0 = connect_ms
  int64_t header_ms = 0;              // waiting for a response head, 0 = none
  int64_t body_ms = 60'000;           // between two pieces of a response
  size_t queue = 1024;                // waiting requests per endpoint
  int64_t queue_ms = 5'000;
  int max_fails = 2;                  // consecutive failures that eject an endpoint; 0 = never
  int64_t eject_ms = 10'000;
  ResponseLimits response;
};

// What a pool keeps in its lists and owns: a connection, or one that is being made.
class BackendConnection {
 public:
  virtual ~BackendConnection() = default;
  // Closes it; nothing is told to whom it serves.
  virtual void close() = 0;

  core::ListHook hook;     // the pool's list
  core::Address address;   // it goes to; none while that is not known
  bool resting = false;    // the pool counts it as idle
  bool outdated = false;   // the name no longer has the address: not lent again
};

enum class BackendProtocol : unsigned char {
  automatic,  // HTTP/2 where ALPN says so, else HTTP/1.1
  http1,
  h2c,        // HTTP/2 without TLS, known beforehand (RFC 9113 3.3)
};

using ConnectionList = core::List<BackendConnection, &BackendConnection::hook>;

// Why a connection is made.
enum class DialPurpose : unsigned char {
  waiters,  // somebody waits for one
  trial,    // to see whether a backend that was left out can be reached; nobody waits
  spread,   // an address has none to lend; nobody waits
};

// What tells pools apart.
struct Peer {
  std::string host;
  uint16_t port = 80;
  std::shared_ptr<const BackendTls> tls = nullptr;  // plain
  BackendProtocol protocol = BackendProtocol::automatic;

  std::string key() const;
};

class PeerPool {
 public:
  // Somebody who wants a connection. Destroying it leaves the queue.
  class Waiter {
   public:
    virtual ~Waiter() = default;
    virtual void on_lease(BackendStream& stream) = 0;
    virtual void on_lease_failed(const Failure& failure) = 0;
    core::ListHook hook;
    core::Deadline deadline;
    PeerPool* pool = nullptr;  // whose queue it is in
    void on_deadline();
  };

  // What pools of the same host and port count together.
  struct Endpoint;

  // endpoint may be null (no metrics); else it outlives the pool.
  PeerPool(Runtime& runtime, Peer peer, Endpoint* endpoint);
  PeerPool(const PeerPool&) = delete;
  PeerPool& operator=(const PeerPool&) = delete;
  ~PeerPool();

  // Lends a connection; may call the waiter back before it returns. fresh: not a reused one.
  void acquire(Waiter& waiter, bool fresh);
  void configure(const TransportLimits& limits) { limits_ = limits; }
  const TransportLimits& limits() const { return limits_; }
  const std::string& host() const { return peer_.host; }
  uint16_t port() const { return peer_.port; }
  const BackendTls* tls() const { return peer_.tls.get(); }
  BackendProtocol protocol() const { return peer_.protocol; }
  bool offers_http2() const;
  bool may_speak_http2() const { return offers_http2() || peer_.protocol == BackendProtocol::h2c; }
  core::TlsResumption& resumption() { return resumption_; }
  // Who keeps this keeps the pool. May be let go on any thread.
  std::shared_ptr<const void> hold() const { return holds_; }
  bool needed() const { return total_ != 0 || waiting_ != 0 || holds_.use_count() > 1; }
  Runtime& runtime() { return runtime_; }

  // For Dialer.
  void dialed(Dialer& dialer);
  void dial_failed(Dialer& dialer, const Failure& failure);
  PeerAddresses& addresses() { return addresses_; }
  // For connections.
  void released(H1Client& connection);       // may serve again
  void freed(H2Client& connection);          // may have room for more
  void leaves(H2Client& connection);         // takes no further streams
  void gone(BackendConnection& connection);  // closed; destroyed after the current callback
  // An exchange failed on a connection: counts it, and tells the log when the answer was none.
  void met(const Failure& failure);
  // Something about a response is odd, and passes: counts it.
  void met(Failure::Kind oddity);

  // Where a connection writes the head of a request, until it is flushed.
  core::Arena& written_head() { return written_head_; }

  size_t connections() const { return total_; }
  size_t idle() const { return idle_count_; }
  size_t waiting() const { return waiting_; }
  void close_idle();
  // Leaves the queue without an answer.
  void withdraw(Waiter& waiter);

  // Passive health (goma-config 8.4): consecutive failures, of all workers together, eject the endpoint for a while;
  // any response clears them.
  void failed(int64_t now_ms, Failure::Kind kind);
  void succeeded() {
    if (!health_->is_clean()) clear_health();
  }
  bool is_out() const { return health_->is_out(); }
  // For one that is out, while others serve: when its time is over a connection is made for nobody, and what put it out is
  // disproved. One that could not be reached is good once it can be. One that failed to answer has to answer one request
  // on trial: true, this one is it. A request that can be repeated elsewhere is taken at once, another one after a second.
  bool wants_trial(bool repeatable);
  void passed_trial();

 private:
  friend class PeerPools;
  void find_health(std::string_view key);
  bool may_open() const;
  size_t streams_expected() const;
  BackendConnection* idle_one(bool fresh, const core::Address* turn);
  BackendConnection* of_address(ConnectionList& list, const core::Address* turn);
  void keep_up();
  void on_addresses(const core::Result<core::Resolver::Addresses>& addresses);
  void tell_stale(bool stale, const std::string& why);
  void drop_outdated();
  void retire(H2Client& connection);
  void open_one(DialPurpose purpose, const core::Address* address = nullptr);
  void reached();
  void clear_health();
  void back(std::string_view how);
  void open_for_waiters();
  void lend_stream(H2Client& connection, Waiter& waiter);
  void begin_http2(Dialer& dialer);
  void settled(H2Client& connection);
  void tell(const Failure& failure);
  bool may_keep() const;
  void count_idle(BackendConnection& connection, bool resting);
  void discard(BackendConnection& connection);
  void bury();
  Waiter* next_waiter();
  void enqueue(Waiter& waiter, int64_t patience_ms);

  struct Lists;
  Runtime& runtime_;
  Peer peer_;
  TransportLimits limits_;
  Endpoint* endpoint_;
  core::TlsResumption resumption_;
  core::Arena written_head_;
  std::shared_ptr<const int> holds_ = std::make_shared<const int>(0);
  std::unique_ptr<Lists> lists_;
  core::Deferred burial_;
  PeerAddresses addresses_;
  core::Resolver::Lookup names_;
  core::Deadline look_again_;
  bool keeps_up_ = false;  // with the addresses of the name
  bool stale_ = false;     // the name could not be looked up when it was asked last
  size_t total_ = 0;
  size_t connecting_ = 0;  // for those who wait
  size_t settling_ = 0;    // HTTP/2 connections whose settings are awaited
  size_t idle_count_ = 0;
  size_t waiting_ = 0;
  bool multiplexed_;       // one connection serves many, as far as is known
  size_t streams_per_connection_ = 100;  // how many, with the same reservation
  core::Health own_health_;  // where the host's table has no room
  core::Health* health_ = &own_health_;
  int64_t on_trial_since_ms_ = 0;  // it was reached and has to answer a request; 0: no
  int64_t told_ms_ = -1000;  // when the log was last told of a failure
};

// All pools of a worker.
class PeerPools {
 public:
  explicit PeerPools(Runtime& runtime);
  ~PeerPools();
  // The pool of a peer, made when it is new.
  PeerPool& pool(const Peer& peer);
  // New limits for all.
  void configure(const TransportLimits& limits);
  const TransportLimits& limits() const { return limits_; }
  // Writes what every pool holds to the metrics, and lets go of pools that nobody needs any more.
  void look_after();
  // Closes idle connections (a draining worker needs none).
  void close_idle();
  size_t idle_total = 0;

 private:
  Runtime& runtime_;
  TransportLimits limits_;
  std::unordered_map<std::string, std::unique_ptr<PeerPool::Endpoint>> endpoints_;  // by host:port
  std::unordered_map<std::string, std::unique_ptr<PeerPool>> pools_;                // by Peer::key
};

}  // namespace goma::http
