// SPDX-License-Identifier: Apache-2.0
//
// Fields, content and ends, between a handler and the engine.
#include "http/h2_client_stream.h"

#include <algorithm>
#include <utility>

#include "core/text.h"
#include "http/h2_client.h"
#include "http/h2_fields.h"
#include "http/runtime.h"

namespace goma::http {

namespace {

constexpr unsigned char max_informational = 16;
constexpr size_t field_overhead = 32;  // RFC 9113 6.5.2
constexpr int32_t full_window = 256 * 1024;

std::string_view refused_code(uint32_t code) {
  switch (code) {
    case NGHTTP2_NO_ERROR: return "the backend reset the stream";
    case NGHTTP2_INTERNAL_ERROR: return "the backend reset the stream: INTERNAL_ERROR";
    case NGHTTP2_CANCEL: return "the backend reset the stream: CANCEL";
    case NGHTTP2_ENHANCE_YOUR_CALM: return "the backend reset the stream: ENHANCE_YOUR_CALM";
    case NGHTTP2_HTTP_1_1_REQUIRED: return "the backend wants HTTP/1.1 for this";
    default: return "the backend reset the stream with an error";
  }
}

std::string_view detail_of(Failure::Kind fault) {
  switch (fault) {
    case Failure::Kind::header_too_large: return "the response head is longer than networking.backendMaxHeaderBytes";
    case Failure::Kind::too_many_headers: return "the response has more fields than networking.backendMaxHeaders";
    case Failure::Kind::informational_flood: return "too many informational responses";
    default: return "a response that RFC 9113 forbids";
  }
}

ssize_t on_data_wanted(nghttp2_session*, int32_t, uint8_t*, size_t length, uint32_t* flags, nghttp2_data_source* source, void*) {
  return static_cast<H2ClientStream*>(source->ptr)->offer(length, *flags);
}

}  // namespace

H2ClientStream::H2ClientStream(H2Client& connection) : connection_(connection) {
  deadline_.bind<&H2ClientStream::on_deadline>(connection.runtime().wheel, this);
}

H2ClientStream::~H2ClientStream() = default;

// ---------------------------------------------------------------- the request

void H2ClientStream::send(const BackendRequest& request) {
  request_ = request;
  ended_ = request.body.framing == Framing::none;
  deadline_.in(connection_.pool().limits().header_ms);
}

// The fields are looked at when the engine compresses them, which is before the exchange can end: if it leaves earlier,
// the engine drops them unseen.
void H2ClientStream::submit() {
  core::Arena& arena = handler_->backend_arena();
  const Headers& headers = *request_.headers;
  H2Fields fields(arena, headers.size() + 6);
  fields.add(":method", request_.method);
  fields.add(":scheme", connection_.secure() ? "https" : "http");
  fields.add(":authority", headers.get(HeaderId::host));
  fields.add(":path", request_.target);
  if (request_.body.framing == Framing::length) fields.add("content-length", decimal(arena, request_.body.length));
  const bool grpc = core::istarts_with(headers.get(HeaderId::content_type), "application/grpc");
  if (request_.accepts_trailers || grpc) fields.add("te", "trailers");
  fields.add(headers);
  nghttp2_data_provider provider{};
  provider.source.ptr = this;
  provider.read_callback = on_data_wanted;
  const bool empty = ended_ && left() == 0 && (own_trailers_ == nullptr || own_trailers_->size() == 0);
  end_sent_ = empty;
  received_mark_ = connection_.received();
  accepted_mark_ = connection_.accepted();
  id_ = nghttp2_submit_request(connection_.session(), nullptr, fields.data(), fields.size(), empty ? nullptr : &provider, this);
  if (id_ > 0) return;
  code_ = NGHTTP2_REFUSED_STREAM;  // no numbers left
  closed_ = true;
  connection_.schedule(*this);
}

void H2ClientStream::send_body(std::string_view data) {
  if (data.empty() || closed_) return;
  if (count_ == max_pieces) keep_rest();
  pieces_[count_++] = {const_cast<char*>(data.data()), data.size()};
  gathered_ += data.size();
}

void H2ClientStream::finish_body(const Headers* trailers) {
  ended_ = true;
  own_trailers_ = trailers;
}

Flow H2ClientStream::flush() {
  if (closed_ || handler_ == nullptr) {
    count_ = 0;
    gathered_ = 0;
    return Flow::pause;
  }
  if (id_ == 0) submit();
  else if (left() != 0 || ended_) nghttp2_session_resume_data(connection_.session(), id_);
  connection_.pump();
  if (!window_open_) open_window();
  keep_rest();
  full_ = left() != 0;
  return full_ ? Flow::pause : Flow::go;
}

// What a backend may send ahead would have to be kept for a client whose own window is shut.
void H2ClientStream::open_window() {
  if (closed_ || handler_ == nullptr || id_ <= 0 || handler_->backend_room() == 0) return;
  nghttp2_session* session = connection_.session();
  window_open_ = nghttp2_session_get_stream_local_window_size(session, id_) >= 0;  // else its request has not left
  if (!window_open_) return;
  nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, id_, full_window);
  connection_.want_send();
}

// Pieces are valid until the end of a flush; what has not left by then is copied.
void H2ClientStream::keep_rest() {
  for (int i = 0; i < count_; ++i) rest_.append(static_cast<const char*>(pieces_[i].iov_base), pieces_[i].iov_len);
  count_ = 0;
  gathered_ = 0;
}

ssize_t H2ClientStream::offer(size_t length, uint32_t& flags) {
  const size_t there = left();
  if (there == 0 && !ended_) return NGHTTP2_ERR_DEFERRED;
  const size_t n = std::min(length, there);
  flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (ended_ && n == there) end_of_offer(flags);
  return static_cast<ssize_t>(n);
}

void H2ClientStream::end_of_offer(uint32_t& flags) {
  flags |= NGHTTP2_DATA_FLAG_EOF;
  end_sent_ = true;
  if (own_trailers_ == nullptr || own_trailers_->size() == 0 || handler_ == nullptr) return;
  H2Fields fields(handler_->backend_arena(), own_trailers_->size());
  fields.add(*own_trailers_);
  if (nghttp2_submit_trailer(connection_.session(), id_, fields.data(), fields.size()) == 0) flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
}

void H2ClientStream::take_out(std::string& out, size_t n) {
  const size_t kept = std::min(n, rest_.size() - rest_sent_);
  out.append(rest_, rest_sent_, kept);
  rest_sent_ += kept;
  n -= kept;
  if (rest_sent_ == rest_.size()) {
    rest_.clear();
    rest_sent_ = 0;
  }
  for (int i = 0; i < count_ && n != 0; ++i) {
    const size_t piece = std::min(n, pieces_[i].iov_len);
    out.append(static_cast<const char*>(pieces_[i].iov_base), piece);
    pieces_[i] = {static_cast<char*>(pieces_[i].iov_base) + piece, pieces_[i].iov_len - piece};
    gathered_ -= piece;
    n -= piece;
  }
  if (full_ && left() == 0) connection_.schedule(*this);
}

// ---------------------------------------------------------------- the response

void H2ClientStream::begin_block() {
  block_fields_ = block_bytes_ = 0;
  if (handler_ == nullptr) return;
  core::Arena& arena = handler_->backend_arena();
  if (head_seen_) {
    trailers_ = arena.make<Headers>(arena);
  } else {
    head_ = arena.make<ResponseHead>(arena);
    has_length_ = false;
  }
}

bool H2ClientStream::field(std::string_view name, std::string_view value) {
  const ResponseLimits& limits = connection_.pool().limits().response;
  constexpr size_t far = 4;
  ++block_fields_;
  block_bytes_ += name.size() + value.size() + field_overhead;
  if (block_bytes_ > limits.head_bytes) fault(Failure::Kind::header_too_large);
  if (block_fields_ > limits.headers) fault(Failure::Kind::too_many_headers);
  if (block_bytes_ > far * limits.head_bytes || block_fields_ > far * limits.headers) return false;
  if (is_faulty()) return true;
  if (handler_ == nullptr || (head_ == nullptr && trailers_ == nullptr)) return true;
  core::Arena& arena = handler_->backend_arena();
  if (name == ":status") {
    head_->status = static_cast<int>(core::parse_u64(value).value_or(0));
    return true;
  }
  const HeaderId id = header_id(name);
  if (id == HeaderId::content_length && !head_seen_) {
    const std::optional<uint64_t> length = core::parse_u64(value);
    has_length_ = length.has_value();
    length_ = length.value_or(0);
  }
  Headers& into = head_seen_ ? *trailers_ : head_->headers;
  if (head_seen_ && !allowed_in_trailers(id)) return true;
  into.add(id, id == HeaderId::other ? arena.copy(name) : header_name(id), arena.copy(value));
  return true;
}

// A complete block; whether the stream ends with it is told by end_seen, which comes next.
void H2ClientStream::block_ended() {
  answered_ = true;
  if (handler_ == nullptr) return;
  if (is_faulty()) {
    reset(NGHTTP2_PROTOCOL_ERROR);
    return;
  }
  if (head_seen_) return;
  if (head_->status >= 200) {
    head_seen_ = true;
    connection_.schedule(*this);  // the head is passed on when it is known whether content follows
    return;
  }
  if (++informational_ > max_informational) {
    fault(Failure::Kind::informational_flood);
    reset(NGHTTP2_PROTOCOL_ERROR);
    return;
  }
  if (head_->status != 100) handler_->on_backend_informational(*head_);  // the client got its 100 from us
  head_ = nullptr;
}

Body H2ClientStream::framing_of(const ResponseHead& head) const {
  if (request_.method_id == Method::head || head.status == 204 || head.status == 304) return {};
  if (has_length_) return {Framing::length, length_};
  if (end_seen_ && held_.empty() && trailers_ == nullptr) return {Framing::length, 0};
  return {Framing::chunked, 0};
}

void H2ClientStream::take_head() {
  ResponseHead& head = *std::exchange(head_, nullptr);
  head.reason = reason_phrase(head.status);
  head.body = framing_of(head);
  deadline_.in(connection_.pool().limits().body_ms);
  handler_->on_backend_head(head);
  flush_due_ = true;  // a body that is long in coming does not hold it back
}

void H2ClientStream::content(std::string_view data) {
  nghttp2_session_consume_connection(connection_.session(), data.size());
  if (handler_ == nullptr) return;
  if (head_ != nullptr && head_seen_) take_head();
  if (handler_ == nullptr) return;
  deadline_.in(connection_.pool().limits().body_ms);
  if (paused_ || !held_.empty() || !handler_->wants_backend_body()) {
    paused_ = true;
    held_.append(data);
    return;
  }
  handler_->on_backend_body(data);
  taken_ += data.size();
  flush_due_ = true;
  connection_.schedule(*this);
}

void H2ClientStream::end_seen() {
  if (is_faulty() || !head_seen_) return;
  end_seen_ = true;
  connection_.schedule(*this);
}

// The window opens for what was taken; nghttp2 says so when it is worth a frame.
void H2ClientStream::taken(size_t n) {
  if (n == 0 || closed_) return;
  if (!window_open_ && !end_seen_) open_window();
  nghttp2_session_consume_stream(connection_.session(), id_, n);
  connection_.want_send();
}

void H2ClientStream::resume() {
  if (!paused_) return;
  paused_ = false;
  deadline_.in(connection_.pool().limits().body_ms);
  connection_.schedule(*this);
}

void H2ClientStream::pass_held() {
  const std::string held = std::exchange(held_, std::string());
  handler_->on_backend_body(held);
  if (handler_ != nullptr && handler_->on_backend_flush() == Flow::pause) paused_ = true;
  taken(held.size());
}

// ---------------------------------------------------------------- ends

bool H2ClientStream::work() {
  if (handler_ != nullptr && head_ != nullptr && head_seen_) take_head();
  if (handler_ != nullptr && flush_due_ && !(end_seen_ && held_.empty())) {
    if (handler_->on_backend_flush() == Flow::pause) paused_ = true;
  }
  flush_due_ = false;
  taken(std::exchange(taken_, 0));
  if (handler_ != nullptr && !held_.empty() && !paused_) {
    if (handler_->wants_backend_body()) pass_held();
    else paused_ = true;
  }
  if (handler_ != nullptr && end_seen_ && held_.empty()) complete();
  if (handler_ != nullptr && closed_ && !end_seen_) fail_by_code();
  if (handler_ != nullptr && full_ && left() == 0) {
    full_ = false;
    handler_->on_backend_writable();
  }
  return handler_ != nullptr || !(closed_ || id_ <= 0);
}

void H2ClientStream::complete() {
  BackendHandler* handler = std::exchange(handler_, nullptr);
  deadline_.clear();
  handler->on_backend_end(trailers_);
  // An early answer: the rest of the request is of no use (RFC 9113 8.1).
  if (!closed_ && !(end_sent_ && left() == 0)) reset(NGHTTP2_CANCEL);
}

void H2ClientStream::engine_closed(uint32_t code) {
  closed_ = true;
  code_ = code;
  connection_.schedule(*this);
}

void H2ClientStream::lost(Failure::Kind kind, std::string_view detail) {
  if (closed_) return;
  closed_ = true;
  lost_ = {.kind = kind, .reused = received_mark_ > 0, .written = written(), .detail = detail};
}

void H2ClientStream::fail_by_code() {
  Failure failure = lost_;
  if (is_faulty()) {
    failure = {.kind = fault_, .written = true, .detail = detail_of(fault_)};
  } else if (code_ == NGHTTP2_REFUSED_STREAM) {
    failure = {.kind = Failure::Kind::closed, .reused = received_mark_ > 0, .written = written(), .refused = true, .detail = "the backend refused the stream"};
  } else if (head_seen_) {
    failure = {.kind = Failure::Kind::truncated, .written = true, .detail = "the response ended early"};
  } else if (failure.kind == Failure::Kind::none) {
    failure = {.kind = Failure::Kind::reset, .written = true, .detail = refused_code(code_)};
  }
  failure.answered = answered_;
  fail(failure);
}

bool H2ClientStream::written() const { return id_ > 0 && connection_.sent() > accepted_mark_; }

void H2ClientStream::fail(Failure failure) {
  BackendHandler* handler = std::exchange(handler_, nullptr);
  deadline_.clear();
  held_ = std::string();
  connection_.schedule(*this);
  connection_.pool().met(failure);
  handler->on_backend_failure(failure);
}

void H2ClientStream::abandon() {
  handler_ = nullptr;
  deadline_.clear();
  held_ = std::string();
  count_ = 0;
  gathered_ = 0;
  if (!closed_ && id_ > 0) reset(NGHTTP2_CANCEL);
  connection_.schedule(*this);
}

void H2ClientStream::reset(uint32_t code) {
  nghttp2_submit_rst_stream(connection_.session(), NGHTTP2_FLAG_NONE, id_, code);
  connection_.want_send();
}

void H2ClientStream::on_deadline() {
  if (handler_ == nullptr || closed_) return;
  if (head_seen_ && paused_) {  // we, not the backend, make it wait
    deadline_.in(connection_.pool().limits().body_ms);
    return;
  }
  if (connection_.received() == received_mark_) connection_.leave();  // it may be dead
  if (id_ > 0) reset(NGHTTP2_CANCEL);
  const bool head = !head_seen_;
  fail({.kind = head ? Failure::Kind::header_timeout : Failure::Kind::body_timeout,
        .written = written(),
        .answered = answered_,
        .detail = head ? "no response head in time" : "the response body stalled"});
}

}  // namespace goma::http
