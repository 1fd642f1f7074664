// SPDX-License-Identifier: Apache-2.0
//
// One request to another service on behalf of an exchange: the operation behind forwardAuth. It borrows a
// connection from the worker's pools like any forwarded request and gives it back only when both messages are
// complete.
//
// The invariant: it ends once, with a complete answer or with the reason why there is none. A redirect is an answer
// like any other: nothing is ever followed. Destroying it cancels it and closes the connection.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "http/await.h"
#include "http/exchange.h"
#include "http/peer_pool.h"
#include "http/streams.h"

namespace goma::http {

// Where a fetch goes; made once, when the site is built.
struct FetchUrl {
  bool tls = false;
  Peer peer;              // to connect to; with tls its profile must be added (BackendTlsMaker::of_service)
  std::string authority;  // for the Host field
  std::string target;     // path and query
};
// Nothing unless the text is an http or https URL without user information and with a target that can be sent.
std::optional<FetchUrl> parse_fetch_url(std::string_view url);

struct FetchRequest {
  const FetchUrl* url = nullptr;       // outlives the exchange
  std::string_view method = "GET";
  Method method_id = Method::get;
  Headers* headers = nullptr;          // in the exchange's arena; a Host is added when there is none
  int64_t timeout_ms = 5000;
  size_t max_body = 64 * 1024;
};

struct FetchResult {
  enum class Outcome : unsigned char {
    answer,       // complete: status, headers and body
    unreachable,  // no connection, or it broke
    overload,     // too many requests wait for a connection
    timeout,
    malformed,    // not HTTP, or cut short
    too_large,    // the body is longer than max_body
  };
  Outcome outcome = Outcome::answer;
  int status = 0;
  const Headers* headers = nullptr;  // valid as long as the exchange; null unless answer
  std::string_view body;             // the same
  std::string_view detail;           // what went wrong; valid as long as the exchange
};

class Fetch final : public Operation<FetchResult>, private BackendHandler, private PeerPool::Waiter {
 public:
  Fetch(Exchange& x, const FetchRequest& request) : x_(x), request_(request) {}
  ~Fetch() override { cancel(); }

  void start();
  void expire();
  int64_t limit_ms() const { return request_.timeout_ms; }
  std::string_view what() const { return request_.url->authority; }

 private:
  core::Arena& backend_arena() override { return x_.arena(); }
  void on_backend_informational(const ResponseHead&) override {}
  void on_backend_head(ResponseHead& head) override;
  bool wants_backend_body() const override { return true; }
  void on_backend_body(std::string_view data) override;
  Flow on_backend_flush() override { return Flow::go; }
  void on_backend_end(const Headers* trailers) override;
  void on_backend_failure(const Failure& failure) override;
  void on_backend_writable() override {}
  bool can_splice() const override { return false; }
  core::Stream::Read splice(core::Stream&, size_t) override { return {core::Stream::Io::blocked, 0, false}; }
  void on_lease(BackendStream& stream) override;
  void on_lease_failed(const Failure& failure) override;

  void acquire(bool fresh);
  void cancel();
  void end_with(FetchResult::Outcome outcome, std::string_view detail);

  Exchange& x_;
  FetchRequest request_;
  BackendStream* stream_ = nullptr;
  const ResponseHead* head_ = nullptr;
  std::string body_;
  int retries_ = 0;
  int replaced_ = 0;
};

}  // namespace goma::http
