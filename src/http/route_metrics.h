// SPDX-License-Identifier: Apache-2.0
//
// What is counted while serving: a RouteMetrics per route (Goma's names, goma-config 14.1), a PeerMetrics per backend
// endpoint, and one ServerMetrics per worker. They outlive sites: a reload finds its series again.
//
// The one idea: a series is found by name once and is a number from then on. A route's series for one method lie side
// by side and are made when the first such request ends.
//
// A ServerMetrics comes first: it describes all families, once per process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "http/message.h"
#include "http/streams.h"

namespace goma::core {
class Metrics;
}

namespace goma::http {

// Goma's series of one route. Loop thread only.
class RouteMetrics {
 public:
  RouteMetrics(core::Metrics& metrics, std::string_view route_name);
  RouteMetrics(const RouteMetrics&) = delete;
  RouteMetrics& operator=(const RouteMetrics&) = delete;
  ~RouteMetrics();

  // One finished exchange. Times in microseconds; upstream_us below 0 means no backend was asked. request_bytes is
  // the Content-Length (0 when there was none).
  void record(Method method, int status, int64_t duration_us, int64_t upstream_us, uint64_t request_bytes, uint64_t response_bytes);

 private:
  struct Series;
  std::unique_ptr<Series> series_;
};

// Series of one backend endpoint ("http://127.0.0.1:9000"). Loop thread only.
class PeerMetrics {
 public:
  PeerMetrics(core::Metrics& metrics, std::string_view endpoint);
  PeerMetrics(const PeerMetrics&) = delete;
  PeerMetrics& operator=(const PeerMetrics&) = delete;
  ~PeerMetrics();

  void opened();                     // a connection was established
  void failed(Failure::Kind kind);   // an attempt or a connection failed
  void odd(Failure::Kind kind);      // an oddity of a response, which passed
  void ejected();                    // taken out for a while
  // What the pool holds now; stale: its name could not be looked up.
  void levels(size_t connections, size_t idle, size_t waiting, size_t stale);

 private:
  struct Series;
  std::unique_ptr<Series> series_;
};

// Why a client connection was not served.
enum class Refusal : unsigned char { connection_limit, address_limit, descriptors, memory };

// Series of this worker. Loop thread only.
class ServerMetrics {
 public:
  explicit ServerMetrics(core::Metrics& metrics);
  ServerMetrics(const ServerMetrics&) = delete;
  ServerMetrics& operator=(const ServerMetrics&) = delete;
  ~ServerMetrics();

  void accepted();                           // a client connection; it is active until closed()
  void closed();
  void refused(Refusal reason);
  void shed();                               // cut to make room for others
  void exchange(size_t ending);              // one exchange ended; the value of its Ending
  void parse_error(std::string_view code);   // a head that was refused; ParseError::code
  void fields_dropped(size_t n);             // of a request, because its sender may not claim that
  void handshake(std::string_view version, bool resumed);  // a TLS handshake with a client was completed
  void handshake_failed(std::string_view reason);          // or not, or a PROXY header was refused
  void abuse(std::string_view kind);         // an HTTP/2 connection was ended for its behaviour
  void stream_refused(std::string_view reason);  // of HTTP/2, with REFUSED_STREAM or a reset: "limit" or "memory"
  void limited_apart();                       // a decision on a shared limit that Redis had no part in
  void limited(std::string_view outcome);    // a request that a rate limit turned away: "refused" or "banned"
  void cached(std::string_view outcome);     // a request that met a response cache: "hit", "miss", ...
  void response_stored(uint64_t bytes);      // by a response cache
  void response_not_stored();                // for lack of room
  void retry();                              // a further attempt at a backend
  void judges_alone(size_t backends);        // whose failures other workers do not hear of
  void tunnel_opened();
  void tunnel_closed();
  void received(uint64_t bytes);             // body bytes from clients
  void sent(uint64_t bytes);                 // body bytes to clients

  core::Metrics& registry();

 private:
  struct Series;
  std::unique_ptr<Series> series_;
};

}  // namespace goma::http
