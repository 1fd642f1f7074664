// SPDX-License-Identifier: Apache-2.0
//
// The walk of an exchange. Request side: prepare, route, chain, content. Response side: gateway headers, the steps
// backwards, filters, the client. Each stops and goes on at exactly one place when a middleware waits.
#include "http/exchange.h"

#include <algorithm>

#include "core/text.h"
#include "http/access_log.h"
#include "http/claims.h"
#include "http/client_address.h"
#include "http/forward.h"
#include "http/grpc.h"
#include "http/request_id.h"
#include "http/route_metrics.h"
#include "http/runtime.h"
#include "http/site.h"
#include "http/tunnel.h"
#include "http/visitors.h"

namespace goma::http {

namespace {

constexpr std::string_view gateway_name = "Goma Gateway";

// The last stage of a response body: the client.
struct ToClient final : BodyFilter {
  ToClient(ClientStream& to, uint64_t& count) : client(to), bytes(count) {}
  void write(std::string_view data, bool) override {
    bytes += data.size();
    client.send_body(data);
  }
  ClientStream& client;
  uint64_t& bytes;
};

constexpr HeaderSet hop_by_hop{HeaderId::connection,       HeaderId::keep_alive,       HeaderId::proxy_connection, HeaderId::proxy_authenticate,
                                   HeaderId::proxy_authorization, HeaderId::te,            HeaderId::trailer,
                                   HeaderId::transfer_encoding, HeaderId::http2_settings,  HeaderId::proxy};

// RFC 9110 7.6.1: what Connection names goes no further, except fields no client may make us drop; through a proxy that
// passes Connection on, it would take away what the proxy says.
void drop_named(Headers& headers, std::string_view list) {
  while (!list.empty()) {
    const size_t comma = list.find(',');
    const std::string_view name = core::trim(list.substr(0, comma));
    list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
    const HeaderId id = header_id(name);
    const bool keep = id == HeaderId::host || id == HeaderId::content_length || id == HeaderId::upgrade || id == HeaderId::cookie ||
                      id == HeaderId::authorization || id == HeaderId::connection || claim_of(id, name) != Claim::none;
    if (!keep && !name.empty()) headers.remove(name);
  }
}

void drop_hop_by_hop(Headers& headers, bool upgrade) {
  if (headers.find(HeaderId::connection) != nullptr) {
    for (const Header& h : headers) {
      if (h.id == HeaderId::connection) drop_named(headers, h.value);
    }
  }
  headers.remove(hop_by_hop);
  if (!upgrade) headers.remove(HeaderId::upgrade);
}

}  // namespace

Exchange::Exchange(Runtime& runtime, ClientStream& client, core::Arena& arena, RequestHead& head, std::string_view socket_ip, const TlsFacts* tls)
    : runtime_(runtime),
      client_(client),
      arena_(arena),
      request_(head),
      response_(arena),
      answer_headers_(arena),
      extra_headers_(arena),
      site_(runtime.site),
      started_us_(runtime.loop.now_us()) {
  site_->hold();
  client_info_ = {socket_ip, socket_ip, tls != nullptr ? "https" : "http", tls};
  wait_deadline_.bind<&Exchange::wait_expired>(runtime.wheel, this);
}

// What it made in the arena is gone already, newest first; a destroyed Forward has let its connection go.
Exchange::~Exchange() {
  account();
  release_site();
}

int64_t Exchange::now_ms() const { return runtime_.loop.now_ms(); }

// ---------------------------------------------------------------- request side

void Exchange::begin() {
  if (runtime_.processes != nullptr) runtime_.processes->set_status(request_.path);  // a query may hold a secret
  prepare();
  if (!settle_path()) return;
  // A handshake under one host's rule for client certificates opens no other host (RFC 9110 7.4, 15.5.20).
  if (client_info_.tls != nullptr && site_->certificates().client_rule(request_.host) != client_info_.tls->client_rule) {
    refuse(421, "421 Misdirected Request", Ending::bad_request);
    return;
  }
  const Router::Match match = site_->router().find(request_.host, path_.decoded, request_.method_text);
  if (match.route == nullptr) {
    ending_ = Ending::no_route;
    reply_unrouted(match);
    return;
  }
  if (!path_.others.empty() && is_ambiguous(*match.route)) {
    refuse(400, "400 Bad Request", Ending::bad_request, "ambiguous-path");
    return;
  }
  route_ = match.route;
  if (!route_->bound && runtime_.binder != nullptr) runtime_.binder->bind(*route_);
  route_metrics_ = route_->metrics;
  if (route_->client_rule != nullptr && !satisfies(*route_->client_rule)) {
    refuse(421, "421 Misdirected Request", Ending::refused);
    return;
  }
  logged_ = route_->listed;
  for (const OwnField& field : route_->own_fields) {
    if (field.identity) remove_alike(request_.headers, field.name);
  }
  run_chain(0);
}

// A route may be reached by a host whose handshake had another rule, or by plain HTTP.
bool Exchange::satisfies(const core::TlsClientRule& rule) const {
  return client_info_.tls != nullptr ? client_info_.tls->client_rule == rule.id() : !rule.required();
}

// Client certificates stay behind: nobody shows one here.
void Exchange::begin_behind(Exchange& other) {
  for_nobody_ = true;
  logged_ = false;
  other.site_->hold();
  site_->release();
  site_ = other.site_;
  route_ = other.route_;
  path_ = copy_path(other.path_, arena_);
  if (other.received_ != nullptr) received_ = arena_.make<CanonicalPath>(copy_path(*other.received_, arena_));
  query_ = arena_.copy(other.query_);
  identity_ = arena_.copy(other.identity_);
  has_query_ = other.has_query_;
  client_info_ = {arena_.copy(other.client_info_.socket_ip), arena_.copy(other.client_info_.ip), other.client_info_.scheme == "https" ? "https" : "http", nullptr};
  first_step_ = cursor_ = other.cursor_;
  applied_ = uint64_t{1} << cursor_;
  run_chain(cursor_ + 1);
}

// What must be true before any rule looks: hop-by-hop fields gone, client address known, untrusted claims removed.
void Exchange::prepare() {
  Headers& headers = request_.headers;
  query_ = request_.has_strays ? encode_strays(request_.query, arena_) : request_.query;
  has_query_ = request_.has_query;
  request_.accepts_trailers = core::iequals(headers.get(HeaderId::te), "trailers");
  drop_hop_by_hop(headers, request_.upgrade);
  const ClientAddress address = site_->trusted_proxies().resolve(client_info_.socket_ip, headers, arena_);
  client_info_.ip = address.ip;
  if (!address.scheme.empty()) client_info_.scheme = address.scheme;
  const size_t told = headers.size() + request_.dropped;
  drop_claims(headers, address.trusted);
  if (headers.size() != told && runtime_.metrics != nullptr) runtime_.metrics->fields_dropped(told - headers.size());
  if (is_grpc(request_)) grpc_ = arena_.make<GrpcCall>(*this);
}

std::string_view Exchange::id() {
  if (!id_.empty()) return id_;
  const std::string_view given = request_.headers.get(HeaderId::x_request_id);
  id_ = given.empty() || given.size() > 128 ? runtime_.ids->make(arena_) : given;
  return id_;
}

void Exchange::refuse(int status, std::string_view message, Ending ending, std::string_view reason) {
  ending_ = ending;
  if (!reason.empty()) {
    add_log_field("reason", reason);
    if (runtime_.metrics != nullptr) runtime_.metrics->parse_error(reason);
  }
  static_cast<void>(reply(status, message));
  deliver_answer();
}

// goma-config 6.7: plain text, whatever the client accepts.
void Exchange::reply_unrouted(const Router::Match& match) {
  if (!match.redirect.empty()) {
    const std::string_view path = encode_strays(match.redirect, arena_);
    static_cast<void>(redirect(301, has_query_ ? arena_.join(path, "?", query_) : path));
  } else if (match.method_mismatch) {
    static_cast<void>(reply_with(405, "text/plain; charset=utf-8", "Method Not Allowed\n"));
    reply_header(HeaderId::allow, match.allow);
  } else {
    static_cast<void>(reply_with(404, "text/plain; charset=utf-8", "404 page not found\n"));
    reply_header(HeaderId::x_content_type_options, "nosniff");
  }
  deliver_answer();
}

void Exchange::run_chain(size_t from) {
  const std::vector<Step>& steps = route_->steps;
  for (cursor_ = from; cursor_ < steps.size(); ++cursor_) {
    const Step& step = steps[cursor_];
    if (!applies(step)) continue;
    applied_ |= uint64_t{1} << cursor_;
    const Verdict verdict = step.middleware->on_request(*this);
    if (verdict.kind() == Verdict::Kind::next) continue;
    if (verdict.kind() == Verdict::Kind::done) deliver_answer();
    return;
  }
  run_content();
}

void Exchange::run_content() {
  if (route_->endpoint) {
    const Verdict verdict = route_->endpoint->serve(*this);
    if (verdict.kind() == Verdict::Kind::done) deliver_answer();
    return;
  }
  if (!route_->methods.empty() && std::find(route_->methods.begin(), route_->methods.end(), request_.method_text) == route_->methods.end()) {
    ending_ = Ending::refused;
    static_cast<void>(reply(405, arena_.join("405 ", request_.method_text, " method not allowed")));
    deliver_answer();
    return;
  }
  state_ = State::forwarding;
  forward_ = arena_.make<Forward>(*this);
  forward_->start();
}

// ---------------------------------------------------------------- waiting

void WaitBase::tell(Exchange& x, WaitBase& wait) { x.wait_complete(wait); }

Verdict Exchange::begin_wait(WaitBase& wait) {
  GOMA_CHECK(wait_ == nullptr);
  wait.starting_ = true;
  wait.start();
  wait.starting_ = false;
  if (wait.complete_) return wait.go_on(*this);
  GOMA_CHECK(wait.limit_ms() > 0);
  wait_ = &wait;
  wait_deadline_.in(wait.limit_ms());
  return Verdict(Verdict::Kind::suspended);
}

void Exchange::wait_complete(WaitBase& wait) {
  GOMA_CHECK(wait_ == &wait);
  wait_ = nullptr;
  wait_deadline_.clear();
  if (state_ == State::over) return;
  resume_after(wait.go_on(*this));
}

void Exchange::wait_expired() {
  if (wait_ != nullptr) wait_->expire();
}

void Exchange::resume_after(Verdict verdict) {
  if (verdict.kind() == Verdict::Kind::suspended) return;
  if (started_response_) {
    if (verdict.kind() == Verdict::Kind::done) prepare_answer();
    run_response_steps();
    return;
  }
  if (verdict.kind() == Verdict::Kind::done) {
    deliver_answer();
  } else {
    run_chain(cursor_ + 1);
  }
}

// ---------------------------------------------------------------- response side

void Exchange::respond() {
  GOMA_CHECK(!started_response_);
  started_response_ = true;
  // RFC 9110 15.5.22: 426 says what to upgrade to, where the client's connection can be upgraded.
  const bool says_upgrade = response_.status == 101 || (response_.status == 426 && request_.minor_version > 0);
  if (!has_answer_) drop_hop_by_hop(response_.headers, says_upgrade);
  if (route_ != nullptr && !has_answer_ && response_.status != 101) response_.headers.remove(HeaderId::server);
  add_own_fields();  // before the steps, so that a policy may change them
  response_cursor_ = route_ != nullptr ? route_->steps.size() : 0;
  run_response_steps();
}

void Exchange::add_own_fields() {
  if (route_ != nullptr && route_->listed) {
    response_.headers.set(HeaderId::x_goma_request_id, id());
    response_.headers.set(HeaderId::proxied_by, gateway_name);
  }
  for (const Header& h : extra_headers_) response_.headers.add(h.id, h.name, h.value);
}

void Exchange::run_response_steps() {
  while (response_cursor_ > first_step_) {
    --response_cursor_;
    const bool seen = (applied_ >> response_cursor_) & 1;
    const Step& step = route_->steps[response_cursor_];
    if (!seen && (response_cursor_ >= route_->wraps || !applies(step))) continue;
    const Verdict verdict = step.middleware->on_response(*this);
    if (verdict.kind() == Verdict::Kind::suspended) return;
    if (verdict.kind() == Verdict::Kind::done) {
      replace_content();
      prepare_answer();
      add_own_fields();
    }
  }
  send_head();
}

void Exchange::send_head() {
  head_sent_ = true;
  state_ = State::responding;
  if (response_.headers.get(HeaderId::date).empty()) response_.headers.add(HeaderId::date, runtime_.ids->date(runtime_.loop.wall().tv_sec));
  build_filters();
  if (grpc_ != nullptr) grpc_->note_status(&response_.headers);
  client_.send_head(response_);
  if (response_.status == 101) {
    open_tunnel();
    return;
  }
  if (has_answer_) {
    push_answer();
    return;
  }
  if (forward_ != nullptr) forward_->resume_response();
}

void Exchange::build_filters() {
  if (route_ == nullptr || applied_ == 0 || response_.status == 101) return;
  BodyFilter* last = nullptr;
  bool changes = false;
  for (size_t i = 0; i < route_->steps.size(); ++i) {
    if (((applied_ >> i) & 1) == 0) continue;
    BodyFilter* filter = route_->steps[i].middleware->filter_body(*this);
    if (filter == nullptr) continue;
    if (last == nullptr) last = arena_.make<ToClient>(client_, response_bytes);
    filter->next_ = last;
    last = filter;
    changes |= !filter->only_watches();
  }
  filters_ = last;
  if (changes && response_.body.framing == Framing::length) response_.body.framing = Framing::chunked;
}

bool Exchange::wants_response_body() const { return head_sent_ && flow_ == Flow::go && state_ != State::over; }

void Exchange::response_body(std::string_view data) {
  if (filters_ != nullptr) {
    filters_->write(data, false);
    return;
  }
  if (tunnel_ != nullptr) return pass_to_client(data);
  response_bytes += data.size();
  client_.send_body(data);
}

Flow Exchange::flush_response() {
  if (state_ == State::over) return Flow::go;
  flow_ = client_.flush();
  return flow_;
}

void Exchange::response_end(const Headers* trailers) {
  if (state_ == State::over) return;
  if (!head_sent_) {  // a middleware still holds the head; it will be sent with an empty body
    response_.body = {Framing::length, 0};
    has_answer_ = true;
    answer_body_ = {};
    return;
  }
  if (filters_ != nullptr) filters_->write({}, true);
  if (grpc_ != nullptr) grpc_->note_status(trailers);
  client_.finish(trailers);
  client_.flush();
  finish_response();
}

bool Exchange::can_splice_response() const { return filters_ == nullptr && flow_ == Flow::go && client_.can_splice(); }

core::Stream::Read Exchange::splice_response(core::Stream& source, size_t max) {
  const core::Stream::Read moved = client_.splice(source, max);
  if (moved.state == core::Stream::Io::ok) response_bytes += moved.n;
  flow_ = client_.flush();
  return moved;
}

void Exchange::client_writable() {
  flow_ = Flow::go;
  if (state_ == State::over) return;
  if (placed_body_ != nullptr && head_sent_) push_answer();
  else if (forward_ != nullptr) forward_->resume_response();
}

void Exchange::fail(int status, std::string_view message, Ending ending) {
  if (state_ == State::over) return;
  ending_ = ending;
  drop_content();
  if (head_sent_) {
    if (grpc_ == nullptr || response_.body.framing == Framing::length) {
      client_.abort();
    } else {
      client_.finish(grpc_->trailers(status, message));
      client_.flush();
    }
    finish_response();
    return;
  }
  started_response_ = false;
  static_cast<void>(reply(status, message));
  prepare_answer();
  respond();
}

bool Exchange::close_call(Ending ending) {
  if (grpc_ == nullptr || !head_sent_ || state_ == State::over || response_.body.framing == Framing::length) return false;
  fail(503, "the gateway is stopping", ending);
  return true;
}

// ---------------------------------------------------------------- request body

bool Exchange::wants_request_body() const {
  return (state_ == State::forwarding || state_ == State::responding || state_ == State::tunnelling) && forward_ != nullptr && forward_->wants_request_body();
}

void Exchange::request_body(std::string_view data) {
  if (tunnel_ != nullptr) return pass_to_backend(data);
  forward_->request_body(data);
}

void Exchange::request_end(const Headers* trailers) {
  if (tunnel_ != nullptr) tunnel_->ended(Tunnel::Way::to_backend);
  if (forward_ == nullptr) return;
  if (trailers != nullptr) trailers = tunnel_ != nullptr ? nullptr : without_claims(*trailers, route_->own_fields, arena_);
  forward_->request_end(trailers);
}

Flow Exchange::flush_request() { return forward_ != nullptr ? forward_->flush_request() : Flow::go; }

// ---------------------------------------------------------------- the end

void Exchange::client_gone(Ending ending) {
  if (state_ == State::over) return;
  if (tunnel_ == nullptr || !tunnel_->closing()) ending_ = ending;
  drop_content();
  finish_response();
}

void Exchange::finish_response() {
  state_ = State::over;
  wait_deadline_.clear();
}

void Exchange::drop_content() {
  if (forward_ == nullptr) return;
  Forward* forward = forward_;
  forward_ = nullptr;
  forward->cancel();
}

// Another answer takes the content's place. Content that ends with its head may do so: its connection is good then.
void Exchange::replace_content() {
  const bool ends_here = response_.body.framing == Framing::none || (response_.body.framing == Framing::length && response_.body.length == 0);
  if (forward_ == nullptr || !ends_here) return drop_content();
  forward_->finish_alone();
  forward_ = nullptr;
}

void Exchange::finish_middlewares() {
  if (finished_middlewares_) return;
  finished_middlewares_ = true;
  if (route_ == nullptr) return;
  for (size_t i = 0; i < route_->steps.size(); ++i) {
    if ((applied_ >> i) & 1) route_->steps[i].middleware->on_finish(*this);
  }
}

// Log line and counters, exactly once, whatever happened.
void Exchange::account() {
  if (accounted_) return;
  accounted_ = true;
  const bool in_other_words = grpc_ != nullptr && has_answer_ && answer_status_ >= 400;
  const int status = in_other_words ? answer_status_ : head_sent_ ? response_.status : ending_ == Ending::client_timeout ? 408 : 499;
  final_status_ = status;
  finish_middlewares();
  if (for_nobody_) return;
  if (tunnel_counted_ && runtime_.metrics != nullptr) runtime_.metrics->tunnel_closed();
  if (runtime_.metrics != nullptr) runtime_.metrics->exchange(static_cast<size_t>(ending_));
  if (route_metrics_ != nullptr) {
    const int64_t now_us = runtime_.loop.now_us();
    const uint64_t announced = request_.body.framing == Framing::length ? request_.body.length : 0;
    route_metrics_->record(request_.method, status, now_us - started_us_, trace.backend.empty() ? -1 : trace.backend_us, announced, response_bytes);
    if (runtime_.visitors != nullptr) runtime_.visitors->note(client_info_.ip, request_.headers.get(HeaderId::user_agent), now_us / 1'000'000);
  }
  if (runtime_.access_log != nullptr && logged_) runtime_.access_log->record(*this);
}

void Exchange::release_site() {
  if (site_ == nullptr) return;
  Site* site = site_;
  site_ = nullptr;
  site->release();
}

void Exchange::add_log_field(std::string_view key, std::string_view value) {
  auto* field = arena_.make<LogField>(LogField{arena_.copy(key), arena_.copy(value), nullptr});
  *log_tail_ = field;
  log_tail_ = &field->next;
}

std::string_view Exchange::route_name() const { return route_ != nullptr ? std::string_view(route_->name) : route_name_; }

std::string_view Exchange::waiting_for() const {
  if (wait_ != nullptr) return wait_->what();
  return forward_ != nullptr ? forward_->waiting_for() : std::string_view();
}

}  // namespace goma::http
