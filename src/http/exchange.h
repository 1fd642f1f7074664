// SPDX-License-Identifier: Apache-2.0
//
// One request and its response. An exchange is born in its connection's arena when a request head is complete and
// walks: route, chain of middlewares, content (a backend or a fixed answer), back through the chain's response side,
// out to the client. It holds the site it began with; an exchange never sees two configurations.
//
//   deciding    the chain runs, or waits for an operation
//   forwarding  a backend has the request
//   responding  the final head has gone to the client
//   tunnelling  101: bytes both ways, no configuration held
//   over        the response is complete or given up; the connection ends it from the loop
//
// The exchange is never destroyed on the stack of its own module: the connection defers that to the loop.
#pragma once

#include <cstdint>
#include <string_view>
#include <type_traits>

#include "core/arena.h"
#include "core/deadline.h"
#include "http/await.h"
#include "http/ending.h"
#include "http/headers.h"
#include "http/message.h"
#include "http/module.h"
#include "http/route.h"
#include "http/router.h"
#include "http/streams.h"
#include "http/uri.h"

namespace goma::http {

class Forward;
class GrpcCall;
class Site;
class Tunnel;
struct Runtime;
struct TlsFacts;

// The other end of an exchange, as trusted proxies and the socket tell it.
struct ClientInfo {
  std::string_view socket_ip;  // the peer of the connection
  std::string_view ip;         // the client, through trusted proxies (goma-config 3.7)
  std::string_view scheme;     // "http" or "https"
  const TlsFacts* tls;         // of the connection; null: plain
};

// A body that lies somewhere else in pieces, which stay where they are as long as the exchange lives.
class PlacedBody {
 public:
  virtual ~PlacedBody() = default;
  virtual uint64_t size() const = 0;
  virtual size_t pieces() const = 0;
  virtual std::string_view piece(size_t index) const = 0;
};

class Exchange {
 public:
  enum class State : unsigned char { deciding, forwarding, responding, tunnelling, over };

  Exchange(Runtime& runtime, ClientStream& client, core::Arena& arena, RequestHead& head, std::string_view socket_ip,
           const TlsFacts* tls);
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;
  ~Exchange();

  // ------------------------------------------------------------------ for middlewares

  core::Arena& arena() { return arena_; }
  RequestHead& request() { return request_; }
  const RequestHead& request() const { return request_; }
  // The canonical path as it is now. set_path takes an encoded path and canonicalises it; false (nothing changed) when it
  // is not acceptable.
  const CanonicalPath& path() const { return path_; }
  bool set_path(std::string_view encoded);
  // The path that a backend would get as things stand: with the route's rewrite.
  const CanonicalPath& forwarded_path() { return route_->has_rewrite ? rewritten_path() : path_; }
  // Whether the set holds for the path as the client sent it, as it is, or as it will be forwarded: either way in is shut.
  bool matches(const PathSet& paths);
  std::string_view query() const { return query_; }
  void set_query(std::string_view query) { query_ = query; has_query_ = !query.empty(); }
  const ClientInfo& client() const { return client_info_; }
  // What authenticating middlewares have told the backend about who the client is, as text that differs where that
  // differs; empty: nothing. Caches keep answers apart by it.
  std::string_view identity() const { return identity_; }
  void add_identity(std::string_view name, std::string_view value) { identity_ = arena_.join(identity_, name, "\t", value, "\n"); }
  const Route* route() const { return route_; }
  // The request id: X-Request-ID of the client, else 32 hex digits.
  std::string_view id();
  int64_t now_ms() const;
  Runtime& runtime() { return runtime_; }
  // The response head, editable. Requires: called from on_response, filter_body or on_finish.
  ResponseHead& response() { return response_; }
  const ResponseHead& response() const { return response_; }

  // Answers. The message is formatted as the client asked (goma-config 15).
  Verdict reply(int status, std::string_view message);
  // Answers with exactly this body. Texts must live as long as the exchange or longer.
  Verdict reply_with(int status, std::string_view content_type, std::string_view body);
  // Answers with a body that is sent from where it lies, as fast as the client takes it. It lives in the arena.
  Verdict reply_with(int status, const PlacedBody& body);
  // 301/302/... to a location, with Goma's body (goma-config 10.28).
  Verdict redirect(int status, std::string_view location);
  // A header of the answer being prepared. Requires: after one of the above, before returning its verdict.
  void reply_header(HeaderId id, std::string_view value) { answer_headers_.add(id, value); }
  void reply_header(std::string_view name, std::string_view value) { answer_headers_.add(name, value); }

  // All of them. Requires: the same.
  Headers& reply_headers() { return answer_headers_; }
  // Whether the response comes from the gateway: a middleware's answer or an error of its own; else from a backend.
  bool has_answer() const { return has_answer_; }

  // What the backend answers may be given to others, so it is told nothing that is not in a cache's key.
  void share_answer() { shares_answer_ = true; }
  bool shares_answer() const { return shares_answer_; }

  // What a middleware knows of this exchange from one call to the next; in the arena. Null: nothing was kept.
  void keep(const void* owner, void* what) { kept_ = arena_.make<Kept>(Kept{owner, what, kept_}); }
  void* kept(const void* owner) const;

  // A header the client gets whatever answer this exchange ends in (unless a middleware removes it from the response).
  void add_response_header(std::string_view name, std::string_view value) { extra_headers_.add(name, value); }
  Headers& response_headers_to_add() { return extra_headers_; }
  const Headers& added_response_headers() const { return extra_headers_; }
  // A field of the access-log line, in the order of calls.
  void add_log_field(std::string_view key, std::string_view value);

  // Starts an operation; when it is complete, (module->*then)(exchange, result) decides how to go on. An operation that
  // completes at once costs no suspension. The operation lives in the arena: should the client leave, it is destroyed,
  // and that cancels it. Use: return x.await<Fetch>(this, &ForwardAuth::judge, arguments of Fetch...).
  template <class Op, class M, class... Args>
  Verdict await(const M* module, Verdict (M::*then)(Exchange&, const typename Op::Result&) const, Args&&... args) {
    auto* wait = arena_.make<Wait<Op, M>>(*this, module, then, std::forward<Args>(args)...);
    return begin_wait(*wait);
  }

  // ------------------------------------------------------------------ for the connection (h1_server)

  // The head is complete. The exchange may call back into the client stream before this returns.
  void begin();
  // Begins, for nobody, behind the step that another exchange is at: the same site and route, the same path. This one
  // is neither logged nor counted. Requires: an exchange just made, whose texts live as long as its arena.
  void begin_behind(Exchange& other);
  // Answers a request whose head could not be understood; no route, no chain. The reason is a word for the counter and the
  // log, static; empty: there is none.
  void refuse(int status, std::string_view message, Ending ending, std::string_view reason = {});
  // Whether request body may be pushed now.
  bool wants_request_body() const;
  void request_body(std::string_view data);
  void request_end(const Headers* trailers);
  // The pieces pushed so far will not stay valid any longer; whether more is welcome.
  Flow flush_request();
  // The client's backlog is empty: response body may go on.
  void client_writable();
  // The client is gone, or too slow (ending says which). Pending work is cancelled.
  void client_gone(Ending ending);
  // A WebSocket is told that this is the end (RFC 6455 7.4.1), and ends within a second. False: not a WebSocket, or
  // there is no tunnel; nothing was done.
  bool close_tunnel(uint16_t code, Ending ending);
  // A gRPC call whose answer has begun ends with 14 UNAVAILABLE in its trailers. False: there is none; nothing was done.
  bool close_call(Ending ending);
  // A tunnel ends now, without a word. Requires: there is one.
  void cut_tunnel(Ending ending);
  bool over() const { return state_ == State::over; }
  // Whether an operation of a middleware is under way.
  bool waiting() const { return wait_ != nullptr; }
  State state() const { return state_; }
  bool started_response() const { return started_response_; }
  uint64_t request_bytes = 0;   // body bytes received from the client
  uint64_t response_bytes = 0;  // body bytes accepted for the client

  // ------------------------------------------------------------------ for the content (forward, endpoints)

  ClientStream& client_stream() { return client_; }
  // A response head from content; response() has been filled. Runs the response side of the chain.
  void respond();
  void respond_informational(const ResponseHead& head) { client_.send_informational(head); }
  bool wants_response_body() const;
  size_t response_room() const { return client_.room(); }
  void response_body(std::string_view data);
  void response_end(const Headers* trailers);
  Flow flush_response();
  bool can_splice_response() const;
  core::Stream::Read splice_response(core::Stream& source, size_t max);
  // The content failed before a head: a gateway error. After a head: the response is cut.
  void fail(int status, std::string_view message, Ending ending);
  // The content wants request body (again).
  void resume_request() { client_.resume_request(); }

  // For the log and metrics.
  struct Trace {
    std::string_view backend;        // endpoint that answered or was tried last
    int backend_status = 0;
    int64_t backend_start_us = 0;
    int64_t backend_us = 0;
    int retries = 0;
    std::string_view failure;        // failure_name of the last attempt, with the reason when it was TLS
  };
  Trace trace;
  Ending ending() const { return ending_; }
  // What the client got (499: it left before a head, 408: it was too slow). Valid in the log and on_finish.
  int final_status() const { return final_status_; }
  std::string_view route_name() const;
  int64_t started_us() const { return started_us_; }
  std::string_view query_text() const { return has_query_ ? query_ : std::string_view(); }
  bool has_query() const { return has_query_; }
  struct LogField {
    std::string_view key, value;
    LogField* next;
  };
  const LogField* log_fields() const { return log_fields_; }
  Site* site() { return site_; }
  // What the exchange waits for ("middleware forwardAuth", "backend http://..."), for status pages.
  std::string_view waiting_for() const;

 private:
  friend class WaitBase;

  Verdict begin_wait(WaitBase& wait);
  void wait_complete(WaitBase& wait);
  void wait_expired();
  void resume_after(Verdict verdict);
  void prepare();
  bool settle_path();
  const CanonicalPath& rewritten_path();
  bool is_ambiguous(const Route& route) const;
  bool satisfies(const core::TlsClientRule& rule) const;
  void reply_unrouted(const Router::Match& match);
  void prepare_answer();
  bool applies(const Step& step);
  void run_chain(size_t from);
  void run_content();
  void deliver_answer();
  void push_answer();
  void run_response_steps();
  void add_own_fields();
  void send_head();
  void build_filters();
  void open_tunnel();
  void pass_to_client(std::string_view data);
  void pass_to_backend(std::string_view data);
  void finish_response();
  void finish_middlewares();
  void release_site();
  void account();
  void drop_content();
  void replace_content();

  Runtime& runtime_;
  ClientStream& client_;
  core::Arena& arena_;
  RequestHead& request_;
  ResponseHead response_;
  Headers answer_headers_;
  Headers extra_headers_;
  CanonicalPath path_;
  const CanonicalPath* received_ = nullptr;   // as the client sent it; null: path_ still is
  const CanonicalPath* forwarded_ = nullptr;  // rewritten; null until asked for
  std::string_view query_;
  ClientInfo client_info_;
  std::string_view id_;
  std::string_view identity_;
  Site* site_ = nullptr;
  const Route* route_ = nullptr;
  RouteMetrics* route_metrics_ = nullptr;  // of the worker, outlives the site
  Forward* forward_ = nullptr;
  WaitBase* wait_ = nullptr;
  core::Deadline wait_deadline_;
  BodyFilter* filters_ = nullptr;
  Tunnel* tunnel_ = nullptr;   // once there is one
  GrpcCall* grpc_ = nullptr;   // when it is one
  LogField* log_fields_ = nullptr;
  LogField** log_tail_ = &log_fields_;
  struct Kept {
    const void* owner;
    void* what;
    Kept* next;
  };
  Kept* kept_ = nullptr;
  std::string_view answer_body_;
  const PlacedBody* placed_body_ = nullptr;  // instead of answer_body_
  size_t next_piece_ = 0;
  std::string_view route_name_;  // copied when a tunnel lets its site go
  int answer_status_ = 0;
  int final_status_ = 0;
  int64_t started_us_ = 0;
  uint64_t applied_ = 0;       // bit per step whose on_request was called
  size_t cursor_ = 0;          // the step the request side is at
  size_t response_cursor_ = 0; // steps above it have seen the response
  size_t first_step_ = 0;      // steps below it have no part in this
  Flow flow_ = Flow::go;       // what the client said last
  State state_ = State::deciding;
  Ending ending_ = Ending::complete;
  bool has_query_ = false;
  bool started_response_ = false;
  bool head_sent_ = false;
  bool has_answer_ = false;    // a middleware or the gateway answered; content is not asked
  bool finished_middlewares_ = false;
  bool accounted_ = false;
  bool tunnel_counted_ = false;
  bool logged_ = true;         // built-in endpoints are not
  bool shares_answer_ = false;
  bool for_nobody_ = false;    // begun by begin_behind()
};

}  // namespace goma::http
