// SPDX-License-Identifier: Apache-2.0
//
// Requests in, responses out, for one stream. Whatever ends it, the engine closes it last: then nothing of ours is
// referred to any longer.
#include "http/h2_stream.h"

#include <algorithm>
#include <utility>

#include "core/text.h"
#include "http/h2_server.h"
#include "http/route_metrics.h"
#include "http/runtime.h"
#include "http/site.h"
#include "http/websocket.h"

namespace goma::http {

namespace {

constexpr size_t max_trailers = 32;
constexpr uint32_t max_trailer_bytes = 8192;
constexpr int64_t rate_from_ms = 10'000;
// Of this object, of the engine's stream, and of the connection to a backend.
constexpr size_t fixed_bytes = sizeof(H2Stream) + 1536;

std::string_view status_text(core::Arena& arena, int status) { return status == 200 ? "200" : decimal(arena, static_cast<uint64_t>(status)); }

bool is_grpc(const Headers& headers) { return headers.get(HeaderId::content_type).starts_with("application/grpc"); }

}  // namespace

H2Stream::H2Stream(H2Server& connection, int32_t id)
    : connection_(connection),
      arena_(connection.runtime().chunks),
      request_(arena_, connection.runtime().site->head_limits()),
      id_(id) {
  recount();
}

H2Stream::~H2Stream() {
  if (wait_ != Wait::nothing) connection_.wait_ended();
  const size_t unread = kept_.size() + unflushed_;
  if (unread != 0) nghttp2_session_consume_connection(connection_.session(), unread);
  arena_.reset();  // destroys the exchange while the rest is still there
  connection_.share().change(held_, 0);
}

void H2Stream::recount() {
  counted_arena_ = arena_.used();
  const size_t now = fixed_bytes + counted_arena_ + request_.still_to_join() + kept_.capacity() + unflushed_ + backlog_.capacity();
  if (now == held_) return;
  connection_.share().change(held_, now);
  held_ = now;
}

// ---------------------------------------------------------------- while the engine receives

H2Request::Size H2Stream::take_field(std::string_view name, std::string_view value) {
  if (!head_complete_) return request_.field(name, value);
  trailer_bytes_ += static_cast<uint32_t>(name.size() + value.size());
  if (trailers_in_ == nullptr) trailers_in_ = arena_.make<Headers>(arena_);
  if (trailer_bytes_ > max_trailer_bytes || trailers_in_->size() == max_trailers) return H2Request::Size::absurd;
  const HeaderId id = header_id(name);
  if (!passes_in_trailers(id, name) || name.find('_') != std::string_view::npos) return H2Request::Size::fits;
  trailers_in_->add(id, id == HeaderId::other ? arena_.copy(name) : header_name(id), arena_.copy(value));
  return H2Request::Size::fits;
}

void H2Stream::take_block(bool end_stream) {
  if (!head_complete_) head_only_ = end_stream;
  head_complete_ = true;
  if (end_stream) end_received_ = true;
  connection_.schedule(*this);
}

// What the exchange wants it gets from where it lies; the flush comes before the block of the receive is given back.
void H2Stream::take_content(std::string_view data) {
  moved(data.size());
  connection_.schedule(*this);
  if (kept_.empty() && may_push()) {
    hand_over(data);
  } else if (begun_ && exchange_ == nullptr) {  // nobody will want it
    nghttp2_session_consume_connection(connection_.session(), data.size());
  } else {
    kept_.append(data);
  }
}

void H2Stream::take_end() {
  end_received_ = true;
  connection_.schedule(*this);
}

void H2Stream::engine_closed(uint32_t) {
  closed_ = true;
  connection_.schedule(*this);
}

// ---------------------------------------------------------------- request

bool H2Stream::work() {
  if (closed_) {
    give_up(Ending::client_abort);
    return false;
  }
  if (head_complete_ && !begun_) start();
  if (exchange_ != nullptr) push_content();
  if (end_sent_ && !end_received_ && !reset_) reset(NGHTTP2_NO_ERROR);  // RFC 9113 8.1: the rest is not needed
  if (paused_ && pending() == 0 && !connection_.blocked()) {
    paused_ = false;
    if (exchange_ != nullptr) exchange_->client_writable();
  }
  if (is_said()) release();
  note_wait();
  recount();
  return true;
}

// Whether nothing but the backlog is needed any more.
bool H2Stream::is_said() const {
  return exchange_ != nullptr && exchange_->over() && blocks_ == 0 && gathered_ == 0 && head_ == nullptr && (trailers_out_ == nullptr || reset_);
}

void H2Stream::release() {
  const size_t unread = kept_.size() + unflushed_;
  if (unread != 0) nghttp2_session_consume_connection(connection_.session(), unread);
  unflushed_ = 0;
  kept_ = std::string();
  if (reset_) {
    backlog_ = std::string();
    backlog_sent_ = 0;
  }
  exchange_ = nullptr;
  trailers_in_ = nullptr;
  trailers_out_ = nullptr;
  arena_.reset();
}

void H2Stream::start() {
  begun_ = true;
  Runtime& runtime = connection_.runtime();
  ParseError error;
  understood_ = request_.complete(head_only_, error);
  RequestHead& head = request_.head();
  exchange_ = arena_.make<Exchange>(runtime, *this, arena_, head, connection_.peer_ip(), connection_.tls());
  if (!understood_) {
    if (error.status == 431) connection_.guard().head_refused();
    exchange_->refuse(error.status, error.text, Ending::bad_request, error.code);
    return;
  }
  patient_ = is_grpc(head.headers);
  waiting_continue_ = head.expect_continue;
  end_told_ = head.body.framing == Framing::none && !head.upgrade;
  exchange_->begin();
}

// Nothing belongs to a request for a tunnel before the backend has switched.
bool H2Stream::may_push() const {
  return exchange_ != nullptr && understood_ && (tunnel_ || !request_.head().upgrade) && exchange_->wants_request_body();
}

void H2Stream::hand_over(std::string_view data) {
  exchange_->request_bytes += data.size();
  unflushed_ += data.size();
  exchange_->request_body(data);
}

void H2Stream::push_content() {
  flush_request();
  if (!kept_.empty() && may_push()) {
    const std::string data = std::move(kept_);
    kept_ = std::string();
    hand_over(data);
    flush_request();
  }
  if (!end_received_ || end_told_ || !kept_.empty() || !understood_ || (request_.head().upgrade && !tunnel_)) return;
  end_told_ = true;
  exchange_->request_end(trailers_in_);
  exchange_->flush_request();
}

// A backend that takes no more leaves the window shut; resume_request() tells when it goes on.
void H2Stream::flush_request() {
  if (unflushed_ == 0 || exchange_->flush_request() == Flow::pause) return;
  const size_t n = std::exchange(unflushed_, 0);
  nghttp2_session_consume(connection_.session(), id_, n);
  connection_.want_send();
}

void H2Stream::resume_request() {
  if (closed_) return;
  if (waiting_continue_) {  // RFC 9110 10.1.1: only now is the body wanted
    waiting_continue_ = false;
    if (!end_received_ && kept_.empty()) {
      H2Fields fields(arena_, 1);
      fields.add(":status", "100");
      submit_block(fields, nullptr);
      connection_.want_send();
    }
  }
  connection_.schedule(*this);
}

// ---------------------------------------------------------------- response

// Informational without content, final with it.
void H2Stream::submit_block(const H2Fields& fields, const nghttp2_data_provider* content) {
  nghttp2_session* session = connection_.session();
  const bool final = head_sent_;
  const int result = final ? nghttp2_submit_response(session, id_, fields.data(), fields.size(), content)
                           : nghttp2_submit_headers(session, NGHTTP2_FLAG_NONE, id_, nullptr, fields.data(), fields.size(), nullptr);
  if (result == 0) ++blocks_;
}

// Texts of the head live in the arena, as those of the final one.
void H2Stream::send_informational(const ResponseHead& head) {
  if (closed_ || reset_ || head_ != nullptr) return;
  H2Fields fields(arena_, head.headers.size() + 1);
  fields.add(":status", decimal(arena_, static_cast<uint64_t>(head.status)));
  fields.add(head.headers);
  submit_block(fields, nullptr);
  connection_.want_send();
}

void H2Stream::send_head(const ResponseHead& head) {
  waiting_continue_ = false;
  head_ = &head;
  tunnel_ = head.status == 101;
  bodiless_ = request_.head().method == Method::head || head.status == 204 || head.status == 304;
  announced_ = head.body.framing == Framing::length && !bodiless_;
  owed_ = announced_ ? head.body.length : 0;
  if (tunnel_) connection_.schedule(*this);
}

// The engine compresses at once unless the socket is full. A tunnel lets its configuration go before that may happen,
// so what it says is copied.
void H2Stream::submit_head() {
  const ResponseHead& head = *head_;
  head_ = nullptr;
  H2Fields fields(arena_, head.headers.size() + 2);
  // A backend that answers an upgrade with success has not switched; to this client 2xx would say that it has.
  const bool refused = request_.head().upgrade && !tunnel_ && head.status / 100 == 2;
  fields.add(":status", tunnel_ ? "200" : refused ? "502" : status_text(arena_, head.status));
  if (tunnel_) {
    Headers copied(arena_);
    for (const Header& h : head.headers) {
      if (!core::iequals(h.name, "sec-websocket-accept")) copied.add(h.id, arena_.copy(h.name), arena_.copy(h.value));
    }
    fields.add(copied);
  } else {
    fields.add(head.headers);
    if (head.body.framing == Framing::length) {
      fields.add("content-length", decimal(arena_, head.body.length));
    } else if (bodiless_ && head.body.framing == Framing::none && head.status != 204) {  // RFC 9110 8.6: what GET would have
      const std::string_view length = head.headers.get(HeaderId::content_length);
      if (!length.empty()) fields.add("content-length", length);
    }
  }
  nghttp2_data_provider source{};
  source.source.ptr = this;
  source.read_callback = &H2Server::on_data_wanted;
  const bool empty = ended_ && pending() == 0 && trailers_out_ == nullptr;
  head_sent_ = true;
  submit_block(fields, empty ? nullptr : &source);
}

void H2Stream::send_body(std::string_view data) {
  if (bodiless_ || closed_ || reset_) return;
  if (announced_) {
    data = data.substr(0, std::min<uint64_t>(data.size(), owed_));
    owed_ -= data.size();
  }
  if (data.empty()) return;
  if (count_ == max_pieces) gather();
  pieces_[count_++] = data;
  gathered_ += data.size();
}

void H2Stream::finish(const Headers* trailers) {
  if (owed_ != 0) {  // less than announced: only a reset tells the truth
    abort();
    return;
  }
  ended_ = true;
  if (trailers == nullptr || trailers->size() == 0) return;
  auto* fields = arena_.make<H2Fields>(arena_, trailers->size());
  fields->add(*trailers);
  trailers_out_ = fields;
}

// The pieces die now: what the engine could not take of them is copied.
void H2Stream::gather() {
  if (backlog_sent_ == backlog_.size()) {
    backlog_.clear();
    backlog_sent_ = 0;
  }
  for (int i = first_; i < count_; ++i) backlog_.append(pieces_[i]);
  first_ = count_ = 0;
  gathered_ = 0;
}

Flow H2Stream::flush() {
  if (closed_ || reset_) {
    first_ = count_ = 0;
    gathered_ = 0;
    return Flow::go;
  }
  if (head_ != nullptr && (!bodiless_ || ended_)) submit_head();
  if (deferred_ && (pending() != 0 || ended_)) {
    deferred_ = false;
    nghttp2_session_resume_data(connection_.session(), id_);
  }
  connection_.pump();
  if (gathered_ != 0) gather();
  paused_ = !closed_ && (pending() != 0 || connection_.blocked());
  if (ended_ && paused_) connection_.schedule(*this);  // the exchange can go
  note_wait();
  recount();
  return paused_ ? Flow::pause : Flow::go;
}

size_t H2Stream::room() const {
  if (closed_ || reset_ || connection_.blocked()) return 0;
  nghttp2_session* session = connection_.session();
  return static_cast<size_t>(std::max(0, std::min(nghttp2_session_get_stream_remote_window_size(session, id_), nghttp2_session_get_remote_window_size(session))));
}

// What is there still goes out, so that the client sees how far it came; the end does not.
void H2Stream::abort() {
  flush();
  reset(NGHTTP2_INTERNAL_ERROR);
}

void H2Stream::reset(uint32_t code) {
  if (reset_ || closed_) return;
  reset_ = true;
  nghttp2_submit_rst_stream(connection_.session(), NGHTTP2_FLAG_NONE, id_, code);
  connection_.want_send();
}

// ---------------------------------------------------------------- while the engine sends

ssize_t H2Stream::offer(size_t most, uint32_t& flags) {
  const size_t have = pending();
  if (have == 0 && !ended_) {
    deferred_ = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  const size_t n = std::min(most, have);
  if (!ended_ || n != have) return static_cast<ssize_t>(n);
  flags |= NGHTTP2_DATA_FLAG_EOF;
  if (trailers_out_ != nullptr) {
    flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    if (nghttp2_submit_trailer(connection_.session(), id_, trailers_out_->data(), trailers_out_->size()) == 0) ++blocks_;
  }
  return static_cast<ssize_t>(n);
}

bool H2Stream::take_out(std::string& out, size_t n) {
  moved(n);
  const size_t old = std::min(n, backlog_.size() - backlog_sent_);
  if (old != 0) {
    out.append(backlog_, backlog_sent_, old);
    backlog_sent_ += old;
    if (backlog_sent_ == backlog_.size()) {
      backlog_ = std::string();
      backlog_sent_ = 0;
    }
  }
  for (size_t left = n - old; left != 0;) {
    std::string_view& piece = pieces_[first_];
    const size_t part = std::min(left, piece.size());
    out.append(piece.substr(0, part));
    piece.remove_prefix(part);
    left -= part;
    gathered_ -= part;
    if (piece.empty()) ++first_;
  }
  if (pending() != 0) return false;
  first_ = count_ = 0;
  if (paused_) connection_.schedule(*this);
  return true;
}

void H2Stream::block_sent() {
  if (--blocks_ == 0 && ended_ && paused_) connection_.schedule(*this);  // nothing in the arena is needed any more
}

void H2Stream::end_sent() {
  end_sent_ = true;
  if (!end_received_) connection_.schedule(*this);
}

// ---------------------------------------------------------------- the end, and time

void H2Stream::give_up(Ending ending) {
  if (exchange_ != nullptr && !exchange_->over()) exchange_->client_gone(ending);
}

void H2Stream::moved(size_t n) {
  if (wait_ == Wait::nothing) return;
  moved_ms_ = connection_.runtime().loop.now_ms();
  waited_bytes_ += n;
}

void H2Stream::note_wait() {
  Wait wait = Wait::nothing;
  if (closed_ || reset_ || !begun_) {
    wait = Wait::nothing;
  } else if (paused_ || pending() != 0) {
    wait = Wait::room;
  } else if (exchange_ != nullptr && !end_received_ && !patient_ && !tunnel_ && kept_.empty() && !exchange_->started_response() && may_push()) {
    wait = Wait::content;
  }
  if (wait == wait_) return;
  if (wait_ == Wait::nothing) connection_.wait_begun();
  if (wait == Wait::nothing) connection_.wait_ended();
  wait_ = wait;
  since_ms_ = moved_ms_ = connection_.runtime().loop.now_ms();
  waited_bytes_ = 0;
}

bool H2Stream::overdue(int64_t now_ms) const {
  if (wait_ == Wait::nothing) return false;
  const ConnectionLimits& limits = connection_.runtime().limits;
  const int64_t limit = wait_ == Wait::room ? limits.write_ms : limits.body_ms;
  if (limit > 0 && now_ms - moved_ms_ >= limit) return true;
  const int64_t waited = now_ms - since_ms_;
  return limits.min_rate != 0 && waited >= rate_from_ms && waited_bytes_ * 1000 / static_cast<uint64_t>(waited) < limits.min_rate;
}

void H2Stream::time_out() {
  if (wait_ == Wait::content && !exchange_->started_response()) {
    exchange_->fail(408, "408 Request Timeout", Ending::client_timeout);
    note_wait();
    return;
  }
  cut(Ending::client_timeout);
}

void H2Stream::cut(Ending ending) {
  give_up(ending);
  reset(ending == Ending::overload ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_CANCEL);
  connection_.schedule(*this);
  note_wait();
}

bool H2Stream::say_goodbye() {
  if (closed_ || reset_ || exchange_ == nullptr) return false;
  return tunnel_ ? exchange_->close_tunnel(close_service_restart, Ending::gateway_stop) : exchange_->close_call(Ending::gateway_stop);
}

}  // namespace goma::http
