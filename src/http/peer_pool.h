// SPDX-License-Identifier: Apache-2.0
//
// Connections to backends, per worker. A PeerPool holds those of one endpoint (host and port): idle ones are lent
// most recently used first, new ones are made while the limit allows, and beyond it requests wait in a bounded
// queue. Pools outlive sites: a reload changes their limits, never their connections.
//
// A connection that a backend closed while idle is noticed by its event and leaves the pool at once; no system call
// asks whether a reused connection is alive.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/deadline.h"
#include "core/list.h"
#include "http/streams.h"

namespace goma::http {

class Dialer;
class H1Client;
class PeerMetrics;
struct Runtime;

// gateway.networking, as a pool needs it.
struct TransportLimits {
  size_t max_connections = 256;       // per endpoint, 0 = no limit
  size_t max_idle = 256;              // per endpoint
  size_t max_idle_total = 512;        // over all endpoints
  int64_t idle_ms = 90'000;
  int64_t connect_ms = 5'000;
  int64_t header_ms = 0;              // waiting for a response head, 0 = none
  int64_t body_ms = 60'000;           // between two pieces of a response
  size_t queue = 1024;                // waiting requests per endpoint
  int64_t queue_ms = 5'000;
  int max_fails = 2;                  // consecutive failures that eject an endpoint; 0 = never
  int64_t eject_ms = 10'000;
};

// What a pool keeps in its lists and owns: a connection, or one that is being made.
class BackendConnection {
 public:
  virtual ~BackendConnection() = default;
  // Closes it; nothing is told to whom it serves.
  virtual void close() = 0;

  core::ListHook hook;   // the pool's list
  bool resting = false;  // the pool counts it as idle
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

  PeerPool(Runtime& runtime, std::string host, uint16_t port);
  PeerPool(const PeerPool&) = delete;
  PeerPool& operator=(const PeerPool&) = delete;
  ~PeerPool();

  // Lends a connection; may call the waiter back before it returns. fresh: not a reused one.
  void acquire(Waiter& waiter, bool fresh);
  void configure(const TransportLimits& limits) { limits_ = limits; }
  const TransportLimits& limits() const { return limits_; }
  const std::string& host() const { return host_; }
  uint16_t port() const { return port_; }
  Runtime& runtime() { return runtime_; }

  // For Dialer.
  void dialed(Dialer& dialer);
  void dial_failed(Dialer& dialer, const Failure& failure);
  // For connections.
  void released(H1Client& connection);       // may serve again
  void gone(BackendConnection& connection);  // closed; destroyed after the current callback

  size_t connections() const { return total_; }
  size_t idle() const { return idle_count_; }
  size_t waiting() const { return waiting_; }
  void close_idle();
  // Leaves the queue without an answer.
  void withdraw(Waiter& waiter);

  // Passive health (goma-config 8.4): consecutive failures eject the endpoint for a while; any response clears them.
  void failed(int64_t now_ms);
  void succeeded() { failures_ = 0; }
  bool ejected(int64_t now_ms) const { return now_ms < ejected_until_ms_; }

 private:
  friend class PeerPools;
  bool may_open() const;
  void open_one();
  void rest(BackendConnection& connection);
  void rouse(BackendConnection& connection);
  void discard(BackendConnection& connection);
  void bury();
  Waiter* next_waiter();
  void enqueue(Waiter& waiter, int64_t patience_ms);

  struct Lists;
  Runtime& runtime_;
  std::string host_;
  uint16_t port_;
  TransportLimits limits_;
  std::unique_ptr<PeerMetrics> metrics_;
  std::unique_ptr<Lists> lists_;
  core::Deferred burial_;
  size_t total_ = 0;
  size_t connecting_ = 0;
  size_t idle_count_ = 0;
  size_t waiting_ = 0;
  int failures_ = 0;
  int64_t ejected_until_ms_ = 0;
};

// All pools of a worker, found by "host:port".
class PeerPools {
 public:
  explicit PeerPools(Runtime& runtime) : runtime_(runtime) {}
  // The pool of an endpoint, made when it is new.
  PeerPool& pool(std::string_view host, uint16_t port);
  // New limits for all.
  void configure(const TransportLimits& limits);
  const TransportLimits& limits() const { return limits_; }
  // Writes what every pool holds to the metrics.
  void publish_levels();
  // Closes idle connections (a draining worker needs none).
  void close_idle();
  size_t idle_total = 0;

 private:
  Runtime& runtime_;
  TransportLimits limits_;
  std::unordered_map<std::string, std::unique_ptr<PeerPool>> pools_;
};

}  // namespace goma::http
