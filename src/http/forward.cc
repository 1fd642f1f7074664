// SPDX-License-Identifier: Apache-2.0
//
// Attempts, the request as backends see it, and what failures mean to clients.
#include "http/forward.h"

#include "core/text.h"
#include "http/claims.h"
#include "http/client_address.h"
#include "http/arrival.h"
#include "http/retry.h"
#include "http/route_metrics.h"
#include "http/runtime.h"
#include "http/site.h"

namespace goma::http {

namespace {

// No further backend is begun when an exchange has looked for one this long.
constexpr int64_t search_us = 30'000'000;

struct Mapping {
  int status;
  Ending ending;
  std::string_view message;
};

// goma-config 7.6; a failed TLS handshake is a bad gateway like any other. The trailing blank is Goma's.
Mapping mapping(Failure::Kind kind) {
  switch (kind) {
    case Failure::Kind::connect_timeout:
    case Failure::Kind::header_timeout:
    case Failure::Kind::body_timeout:
    case Failure::Kind::queue_timeout: return {504, Ending::backend_timeout, "504 Gateway Timeout "};
    case Failure::Kind::exhausted:
    case Failure::Kind::queue_full: return {503, Ending::overload, "503 Service Unavailable"};
    case Failure::Kind::resolve:
    case Failure::Kind::connect:
    case Failure::Kind::tls: return {502, Ending::backend_connect, "502 Bad Gateway "};
    case Failure::Kind::bad_chunk:
    case Failure::Kind::truncated: return {502, Ending::backend_truncated, "502 Bad Gateway "};
    default: return {502, Ending::backend_fault, "502 Bad Gateway "};
  }
}

}  // namespace

Forward::Forward(Exchange& x) : x_(x) {}

Forward::~Forward() { cancel(); }

void Forward::cancel() {
  if (Waiter::hook.linked()) Waiter::pool->withdraw(*this);
  if (stream_ == nullptr) return;
  BackendStream* stream = stream_;
  stream_ = nullptr;
  stream->abandon();
}

void Forward::start() {
  const RequestHead& request = x_.request();
  const bool empty = request.body.framing == Framing::none || (request.body.framing == Framing::length && request.body.length == 0);
  request_ended_ = empty && !request.upgrade;
  x_.trace.backend_start_us = x_.runtime().loop.now_us();
  attempt(false);
}

void Forward::attempt(bool fresh) {
  const bool may_retry = request_ended_ && x_.trace.retries < x_.site()->retries();
  const Upstream::Choice choice = x_.route()->upstream->choose({x_.request(), tried_, backend_, may_retry});
  backend_ = choice.backend;
  trial_ = choice.trial;
  if (backend_ == nullptr) {
    x_.fail(503, "503 service unavailable", Ending::backend_connect);
    return;
  }
  x_.trace.backend = backend_->endpoint;
  connect(fresh);
}

void Forward::connect(bool fresh) { backend_->pool_for(*x_.runtime().peers, x_.request().upgrade).acquire(*this, fresh); }

void Forward::on_lease(BackendStream& stream) {
  stream_ = &stream;
  stream.attach(*this);
  build_request();
  full_ = false;
  if (request_ended_) {  // nothing of it had left: an empty body, perhaps once more
    stream.finish_body(nullptr);
  } else {
    x_.resume_request();
  }
  flush_request();
}

void Forward::build_request() {
  const RequestHead& request = x_.request();
  auto* headers = x_.arena().make<Headers>(x_.arena());
  headers->reserve(request.headers.size() + 8);
  const std::string_view host = x_.route()->forward_host && !request.host.empty() ? request.host : std::string_view(backend_->authority);
  headers->add(HeaderId::host, host);
  for (const Header& h : request.headers) {
    if (h.id != HeaderId::host && h.id != HeaderId::expect) headers->add(h.id, h.name, h.value);
  }
  if (x_.shares_answer()) drop_addresses(*headers, x_.arena());
  add_forwarded_headers(*headers);
  BackendRequest out;
  out.method = request.method_text;
  out.method_id = request.method;
  out.target = build_target(*backend_);
  out.headers = headers;
  out.body = request.body;
  out.upgrade = request.upgrade;
  out.accepts_trailers = request.accepts_trailers;
  stream_->send(out);
}

void Forward::add_forwarded_headers(Headers& headers) {
  const ClientInfo& client = x_.client();
  if (x_.request().host.empty()) headers.remove(HeaderId::x_forwarded_host);
  else headers.set(HeaderId::x_forwarded_host, x_.request().host);
  set_client_address(headers, client.ip, client.socket_ip, x_.arena());
  headers.set(HeaderId::x_forwarded_proto, client.scheme);
  if (client.tls == nullptr || client.tls->client == nullptr) return;
  for (const Header& h : headers) {
    if (core::istarts_with(h.name, "X-Client-Cert-")) headers.remove(h);
  }
  const ClientCertificate& certificate = *client.tls->client;
  headers.add("X-Client-Cert-Subject", certificate.subject);
  headers.add("X-Client-Cert-Issuer", certificate.issuer);
  headers.add("X-Client-Cert-Serial", certificate.serial);
  headers.add("X-Client-Cert-Fingerprint", certificate.fingerprint);
}

std::string_view Forward::build_target(const Backend& backend) {
  const RequestHead& request = x_.request();
  if (request.form == RequestHead::Form::asterisk) return "*";
  std::string_view path = x_.forwarded_path().encoded;
  if (!backend.base_path.empty()) path = join_paths(backend.base_path, path, x_.arena());
  const bool both = !backend.base_query.empty() && x_.has_query() && !x_.query().empty();
  if (backend.base_query.empty() && !x_.has_query()) return path;
  return x_.arena().join(path, "?", backend.base_query, both ? "&" : "", x_.query());
}

// ---------------------------------------------------------------- request body

bool Forward::wants_request_body() const { return stream_ != nullptr && !full_; }

void Forward::request_body(std::string_view data) {
  if (stream_ == nullptr) return;  // the backend is gone; the rest is of no use
  body_taken_ = true;
  stream_->send_body(data);
}

void Forward::request_end(const Headers* trailers) {
  if (request_ended_) return;
  request_ended_ = true;
  if (trailers != nullptr) body_taken_ = true;
  if (stream_ != nullptr) stream_->finish_body(trailers);
}

Flow Forward::flush_request() {
  if (stream_ == nullptr) return Flow::go;
  const Flow flow = stream_->flush();
  full_ = flow == Flow::pause;
  return flow;
}

void Forward::on_backend_writable() {
  full_ = false;
  x_.resume_request();
}

// ---------------------------------------------------------------- response

void Forward::on_backend_informational(const ResponseHead& head) { x_.respond_informational(head); }

void Forward::on_backend_head(ResponseHead& head) {
  head_seen_ = true;
  if (trial_) backend_->pool->passed_trial();
  else backend_->pool->succeeded();
  x_.trace.backend_status = head.status;
  x_.trace.backend_us = x_.runtime().loop.now_us() - x_.trace.backend_start_us;
  ResponseHead& response = x_.response();
  response.status = head.status;
  response.reason = head.reason;
  response.body = head.body;
  response.headers.take(head.headers);
  x_.respond();
}

void Forward::on_backend_end(const Headers* trailers) {
  stream_ = nullptr;
  x_.trace.backend_us = x_.runtime().loop.now_us() - x_.trace.backend_start_us;
  if (!alone_) x_.response_end(trailers);
}

void Forward::resume_response() {
  if (stream_ != nullptr) stream_->resume();
}

// ---------------------------------------------------------------- failures

void Forward::on_lease_failed(const Failure& failure) { on_backend_failure(failure); }

void Forward::on_backend_failure(const Failure& failure) {
  stream_ = nullptr;
  if (alone_) return;
  x_.trace.failure = failure.kind == Failure::Kind::tls ? x_.arena().join("tls: ", failure.detail) : failure_name(failure.kind);
  const bool kept_one_went = failure.reused && lost_connection(failure.kind);
  const bool queue = failure.kind == Failure::Kind::queue_full || failure.kind == Failure::Kind::queue_timeout;
  if (backend_ != nullptr && !queue && !kept_one_went) backend_->pool->failed(x_.now_ms(), failure.kind);
  if (!go_on(failure)) give_up(failure);
}

// False: there is no further attempt.
bool Forward::go_on(const Failure& failure) {
  if (backend_ == nullptr || head_seen_ || x_.over()) return false;
  const RequestHead& request = x_.request();
  const NextStep step = next_step({failure, request.method, request.upgrade, body_taken_, x_.site()->retries(), x_.trace.retries, replaced_});
  if (step == NextStep::give_up) return false;
  if (step == NextStep::other_connection) {
    ++replaced_;
    connect(true);
    return true;
  }
  const Upstream& upstream = *x_.route()->upstream;
  upstream.note_tried(tried_, *backend_, x_.arena());
  if (step == NextStep::next_backend) {
    const bool too_late = x_.runtime().loop.now_us() - x_.trace.backend_start_us > search_us;
    if (too_late || upstream.all_tried(tried_)) return false;
  } else {
    ++x_.trace.retries;
    if (x_.runtime().metrics != nullptr) x_.runtime().metrics->retry();
  }
  attempt(failure.reused);
  return true;
}

void Forward::give_up(const Failure& failure) {
  const Mapping answer = mapping(failure.kind);
  x_.trace.backend_us = x_.runtime().loop.now_us() - x_.trace.backend_start_us;
  x_.fail(answer.status, answer.message, answer.ending);
}

std::string_view Forward::waiting_for() const { return backend_ != nullptr ? std::string_view(backend_->endpoint) : std::string_view("a backend"); }

}  // namespace goma::http
