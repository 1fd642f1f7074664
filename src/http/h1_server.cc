// SPDX-License-Identifier: Apache-2.0
//
// The client connection machine. Everything that may end an exchange or the connection only notes it; after_callback
// runs from the loop and does it, so nothing is destroyed on its own stack.
#include "http/h1_server.h"

#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "http/h1_writer.h"
#include "http/route_metrics.h"
#include "http/runtime.h"
#include "http/site.h"
#include "http/stray_greeting.h"
#include "http/websocket.h"

namespace goma::http {

namespace {

constexpr int64_t progress_check_ms = 5'000;
constexpr int64_t linger_ms = 2'000;
constexpr int64_t drain_idle_ms = 1'000;
// A tunnel's short read is taken for the end of what is there; a reset behind it, which libevent reports as readiness
// only, is found this much later instead of with one more receive per message.
constexpr int64_t look_again_ms = 200;
constexpr int64_t lazy_watch_ms = 100;
constexpr uint64_t drain_bytes = 256 * 1024;  // unread request body worth reading to keep the connection

}  // namespace

// Lives in the arena of the connection while an exchange does.
struct H1Server::Ongoing {
  explicit Ongoing(core::Arena& arena) : head(arena) {}
  RequestHead head;
  H1Sender sender;
  ChunkDecoder chunks;
  uint64_t left = 0;  // of a request body with a length
  Exchange* exchange = nullptr;
  bool understood = false;  // the head is one we can answer in kind
  char ip[48];
};

H1Server::H1Server(Runtime& runtime, ConnectionOwner& owner, Arrival arrival)
    : runtime_(runtime), owner_(owner), stream_(runtime.buffers), arrival_(std::move(arrival)), arena_(runtime.chunks) {
  deadline_.bind<&H1Server::on_deadline>(runtime.wheel, this);
  after_.bind<&H1Server::after_callback>(this);
}

H1Server::~H1Server() = default;

void H1Server::open(int fd) {
  stream_.adopt(fd);
  begin();
}

void H1Server::open(core::Stream& greeted) {
  stream_.take(greeted);
  begin();
  if (ongoing_ == nullptr && stream_.holds()) stream_.flush();  // nothing to send it with
}

void H1Server::begin() {
  deadline_.in(runtime_.limits.header_ms);  // the first head may not take longer than any other
  owner_.on_connection_phase(*this);
  unread_ = true;
  read_input();
  // A connection that asked for one answer and has none yet is registered only if that takes long.
  if (state_ == State::closed) return;
  if (state_ == State::exchange && close_after_ && body_ != BodyState::arriving && stream_.backlog() == 0) {
    deadline_.in(lazy_watch_ms);
    return;
  }
  watch();
}

void H1Server::watch() {
  if (stream_.is_open()) stream_.watch<&H1Server::on_ready>(runtime_.loop, this);
}

// ---------------------------------------------------------------- events

void H1Server::on_ready(unsigned ready) {
  stream_.note(ready);
  if ((ready & core::ready_write) && stream_.backlog() != 0) {
    const core::Stream::Io io = stream_.flush();
    if (io == core::Stream::Io::failed) {
      client_left(Ending::client_abort);
      return;
    }
    if (io == core::Stream::Io::ok) {
      end_wait();
      if (ongoing_ != nullptr && !ongoing_->exchange->over()) ongoing_->exchange->client_writable();
      runtime_.loop.defer(after_);
    }
  }
  if ((ready & (core::ready_read | core::ready_close)) && state_ != State::closed) {
    unread_ = true;
    read_input();
  }
}

void H1Server::read_input() {
  const uint64_t share = stream_.received() + core::Loop::share_of_turn;
  while (unread_ && read_once()) {
    if (stream_.received() < share) continue;
    runtime_.loop.next_turn(after_);
    return;
  }
}

// One receive and what follows. True: try again.
bool H1Server::read_once() {
  const bool wants = state_ == State::idle || state_ == State::head || state_ == State::lingering ||
                     (ongoing_ != nullptr && body_ == BodyState::arriving && ongoing_->exchange->wants_request_body()) ||
                     (state_ == State::exchange && body_ == BodyState::abandoned);
  if (!wants) {
    // Nobody wants bytes now; but a client that closed is a client that left (RFC 9112 9.6).
    if (stream_.peer_closed() && !close_after_ && input_.empty() && body_ != BodyState::arriving) client_left(Ending::client_abort);
    else if (stream_.is_broken()) client_left(Ending::client_abort);
    return false;
  }
  core::BufferPool::Lease block(runtime_.buffers.blocks);
  const size_t base = input_.size();
  if (base != 0) {
    std::memcpy(block.data(), input_.data(), base);
    input_.clear();
  }
  const core::Stream::Read got = stream_.read(block.data() + base, block.size() - base);
  if (got.state == core::Stream::Io::ok) {
    unread_ = got.more;
    process(block.data(), base + got.n);
    // As in H1Client: an unfinished message is read until the kernel says that there is no more.
    if (state_ == State::tunnel) {
      if (!unread_ && !waits_for_client()) deadline_.in(look_again_ms);
      return unread_ && state_ != State::closed;
    }
    if (state_ == State::head || body_ == BodyState::arriving || body_ == BodyState::abandoned) unread_ = true;
    return state_ != State::closed;
  }
  input_.assign(block.data(), base);
  unread_ = false;
  if (got.state == core::Stream::Io::blocked) return false;
  if (state_ == State::tunnel && got.state == core::Stream::Io::eof) {
    half_close();
    return false;
  }
  eof_ = true;
  client_left(Ending::client_abort);
  return false;
}

// Understands bytes: heads of requests and bodies, as far as they are wanted. The rest is kept.
void H1Server::process(const char* data, size_t n) {
  processing_ = true;
  size_t used = 0;
  while (used < n && state_ != State::closed) {
    size_t step = 0;
    if (state_ == State::idle || state_ == State::head) {
      step = take_head(data + used, n - used);
    } else if (state_ == State::lingering) {
      step = n - used;
    } else if (body_ == BodyState::arriving || body_ == BodyState::abandoned) {
      step = push_body(data + used, n - used);
    }
    if (step == 0) break;
    used += step;
  }
  processing_ = false;
  if (ongoing_ != nullptr && state_ != State::closed && ongoing_->exchange->flush_request() == Flow::pause) unread_ = true;
  if (used < n && state_ != State::closed) input_.assign(data + used, n - used);
  if (state_ == State::exchange && body_ == BodyState::arriving && !waits_for_client() && ongoing_->exchange->wants_request_body()) await_body();
}

// ---------------------------------------------------------------- request heads

size_t H1Server::take_head(const char* data, size_t n) {
  arena_.reset();
  HeadScanner scanner;
  const Limits& limits = runtime_.site->head_limits();
  switch (scanner.feed(data, n, limits)) {
    case HeadScanner::State::more:
      if (!line_judged_ && scanner.lines() != 0 && refuse_line({data, scanner.whole_lines()})) return n;
      if (state_ == State::idle) {
        set_state(State::head);
        deadline_.in(runtime_.limits.header_ms);
        begin_wait();
      }
      return 0;
    case HeadScanner::State::bad: {
      const ParseError* stray = stray_greeting({data, n});
      refuse_head(stray != nullptr ? *stray : ParseError{scanner.status(), scanner.code(), scanner.reason()});
      return n;
    }
    case HeadScanner::State::complete: break;
  }
  line_judged_ = false;
  end_wait();
  set_state(State::exchange);
  deadline_.clear();
  start_exchange(arena_.copy({data, scanner.length()}));
  return scanner.length();
}

void H1Server::start_exchange(std::string_view head_text) {
  ongoing_ = arena_.make<Ongoing>(arena_);
  RequestHead& head = ongoing_->head;
  ParseError error;
  const std::string_view ip(ongoing_->ip, arrival_.peer.ip_text(ongoing_->ip));
  const bool understood = parse_request(head_text, arena_, runtime_.site->head_limits(), head, error);
  ongoing_->exchange = arena_.make<Exchange>(runtime_, *this, arena_, head, ip, arrival_.tls.get());
  response_over_ = false;
  ongoing_->understood = understood;
  if (!understood) {
    close_after_ = true;
    body_ = BodyState::none;
    if (const ParseError* stray = stray_greeting(head_text)) error = *stray;
    ongoing_->exchange->refuse(error.status, error.text, Ending::bad_request, error.code);
    return;
  }
  head.upgrade = head.upgrade && may_upgrade(head);
  close_after_ = !head.keep_alive || draining_ || runtime_.draining;
  ongoing_->left = head.body.length;
  body_ = head.body.framing == Framing::none && !head.upgrade ? BodyState::none : BodyState::arriving;
  if (head.body.framing == Framing::length && head.body.length == 0) body_ = BodyState::complete;
  waiting_continue_ = head.expect_continue && body_ == BodyState::arriving && head.minor_version > 0;
  ongoing_->exchange->begin();
  if (body_ == BodyState::complete) ongoing_->exchange->request_end(nullptr);
}

// The request line is there and the rest of the head is not: what is wrong with it is told without waiting.
bool H1Server::refuse_line(std::string_view lines) {
  RequestHead head(arena_);
  ParseError error;
  line_judged_ = parse_request_line(lines, head, error);
  if (line_judged_) return false;
  end_wait();
  set_state(State::exchange);
  deadline_.clear();
  start_exchange(arena_.copy(lines));
  return true;
}

// A head that cannot be understood: answered, counted, logged; the connection ends.
void H1Server::refuse_head(const ParseError& error) {
  end_wait();
  set_state(State::exchange);
  ongoing_ = arena_.make<Ongoing>(arena_);
  const std::string_view ip(ongoing_->ip, arrival_.peer.ip_text(ongoing_->ip));
  ongoing_->exchange = arena_.make<Exchange>(runtime_, *this, arena_, ongoing_->head, ip, arrival_.tls.get());
  close_after_ = true;
  body_ = BodyState::none;
  response_over_ = false;
  ongoing_->exchange->refuse(error.status, error.text, Ending::bad_request, error.code);
}

// ---------------------------------------------------------------- request bodies

size_t H1Server::push_body(const char* data, size_t n) {
  Exchange& x = *ongoing_->exchange;
  const bool dropped = body_ == BodyState::abandoned;
  if (!dropped && !x.wants_request_body()) return 0;
  if (state_ == State::tunnel) {
    x.request_body({data, n});
    return n;
  }
  if (ongoing_->head.upgrade) return 0;  // nothing belongs to this request before the backend has switched
  if (ongoing_->head.body.framing == Framing::chunked) return push_chunks(data, n);
  const size_t piece = static_cast<size_t>(std::min<uint64_t>(n, ongoing_->left));
  ongoing_->left -= piece;
  x.request_bytes += piece;
  if (!dropped) x.request_body({data, piece});
  if (ongoing_->left == 0) {
    body_complete(nullptr);
  } else {
    await_body();
  }
  return piece;
}

// More of the body is to come: the client is on the clock.
void H1Server::await_body() {
  deadline_.in(runtime_.limits.body_ms > 0 ? std::min(runtime_.limits.body_ms, progress_check_ms) : progress_check_ms);
  begin_wait();
}

size_t H1Server::push_chunks(const char* data, size_t n) {
  Exchange& x = *ongoing_->exchange;
  const char* at = data;
  while (true) {
    std::string_view piece;
    switch (ongoing_->chunks.decode(at, data + n, piece, arena_)) {
      case ChunkDecoder::Status::data:
        x.request_bytes += piece.size();
        if (body_ != BodyState::abandoned) x.request_body(piece);
        break;
      case ChunkDecoder::Status::need_more: await_body(); return static_cast<size_t>(at - data);
      case ChunkDecoder::Status::end: body_complete(ongoing_->chunks.trailers()); return static_cast<size_t>(at - data);
      case ChunkDecoder::Status::bad:
        close_after_ = true;
        body_ = BodyState::none;
        end_wait();
        x.fail(400, "400 Bad Request", Ending::bad_request);
        return n;
    }
  }
}

void H1Server::body_complete(const Headers* trailers) {
  end_wait();
  deadline_.clear();
  const bool dropped = body_ == BodyState::abandoned;
  body_ = BodyState::complete;
  if (!dropped) ongoing_->exchange->request_end(trailers);
  if (response_over_) runtime_.loop.defer(after_);
}

void H1Server::resume_request() {
  if (state_ == State::closed || ongoing_ == nullptr || body_ != BodyState::arriving) return;
  if (waiting_continue_) {  // RFC 9110 10.1.1: only now is the body wanted
    waiting_continue_ = false;
    stream_.write("HTTP/1.1 100 Continue\r\n\r\n");
  }
  if (state_ == State::exchange && !processing_) await_body();
  if (!processing_) runtime_.loop.defer(after_);
}

// ---------------------------------------------------------------- responses

void H1Server::send_informational(const ResponseHead& head) {
  if (state_ != State::exchange || ongoing_->head.minor_version == 0) return;
  stream_.write(write_response_head(arena_, 1, head.status, head.reason, head.headers, Body{Framing::none, 0}, HeadOptions{.informational = true}));
}

bool H1Server::keep_alive_after() const {
  if (close_after_ || draining_ || runtime_.draining) return false;
  return body_ != BodyState::arriving || ongoing_->exchange->wants_request_body() ||
         (ongoing_->head.body.framing == Framing::length && ongoing_->left <= drain_bytes);
}

void H1Server::send_head(const ResponseHead& head) {
  Body body = head.body;
  RequestHead& request = ongoing_->head;
  const bool tunnel = head.status == 101;
  if (tunnel) {
    sender().begin(write_response_head(arena_, 1, 101, head.reason, head.headers, Body{Framing::none, 0}, HeadOptions{.upgrade = true}),
                   Body{Framing::until_close, 0});
    set_state(State::tunnel);
    close_after_ = true;
    body_ = BodyState::arriving;
    deadline_.clear();
    end_wait();
    return;
  }
  if (request.upgrade) {  // the backend did not switch: the connection stays what it was
    request.upgrade = false;
    body_ = BodyState::none;
  }
  const bool bodiless = request.method == Method::head || head.status == 204 || head.status == 304;
  if (!bodiless && (body.framing == Framing::until_close || body.framing == Framing::chunked)) {
    body.framing = request.minor_version > 0 ? Framing::chunked : Framing::until_close;
  }
  if (!keep_alive_after()) close_after_ = true;
  if (!bodiless && body.framing == Framing::until_close) close_after_ = true;
  const HeadOptions options{.keep_alive = !close_after_, .http10 = request.minor_version == 0, .bodiless = bodiless};
  const std::string_view text = write_response_head(arena_, 1, head.status, head.reason, head.headers, body, options);
  sender().begin(text, bodiless ? Body{Framing::none, 0} : body);
}

H1Sender& H1Server::sender() { return ongoing_->sender; }

void H1Server::send_body(std::string_view data) { sender().body(stream_, data); }

void H1Server::finish(const Headers* trailers) {
  const bool short_of = sender().owed() != 0;
  sender().end(trailers, arena_);
  if (short_of) {  // less than announced: only cutting the connection tells the truth
    abort();
    return;
  }
  response_over_ = true;
  runtime_.loop.defer(after_);
}

Flow H1Server::flush() {
  if (state_ == State::closed || ongoing_ == nullptr) return Flow::go;
  switch (sender().flush(stream_)) {
    case core::Stream::Io::ok: return Flow::go;
    case core::Stream::Io::blocked:
      watch();
      begin_wait();
      if (deadline_.due_ms() == 0) deadline_.in(progress_check_ms);
      return Flow::pause;
    default:
      eof_ = true;
      runtime_.loop.defer(after_);
      return Flow::pause;
  }
}

// What is there still goes out, so that the client sees how far it came; the end does not.
void H1Server::abort() {
  sender().flush(stream_);
  response_over_ = true;
  close_after_ = true;
  eof_ = true;  // cut, do not linger
  runtime_.loop.defer(after_);
}

bool H1Server::can_splice() const {
  return stream_.tls() == nullptr && state_ == State::exchange && !ongoing_->sender.chunked() && ongoing_->sender.owed() != 0 && ongoing_->sender.idle();
}

core::Stream::Read H1Server::splice(core::Stream& source, size_t max) {
  const core::Stream::Read moved = stream_.splice_from(source, std::min<uint64_t>(max, sender().owed()));
  if (moved.state == core::Stream::Io::ok) sender().skip(moved.n);
  if (stream_.backlog() != 0) {
    watch();
    begin_wait();
    if (deadline_.due_ms() == 0) deadline_.in(progress_check_ms);
  }
  return moved;
}

// ---------------------------------------------------------------- the end of an exchange, and what comes after

bool H1Server::exchange_done() const {
  if (eof_) return true;
  if (!response_over_ || stream_.backlog() != 0) return false;
  return body_ != BodyState::arriving && body_ != BodyState::abandoned;
}

void H1Server::after_callback() {
  if (state_ == State::closed) return;
  if (ongoing_ != nullptr && eof_ && !ongoing_->exchange->over()) ongoing_->exchange->client_gone(Ending::client_abort);
  if (ongoing_ != nullptr && response_over_ && stream_.backlog() == 0 && (body_ == BodyState::arriving || body_ == BodyState::abandoned)) {
    // The answer is out before the request was in. A little more is worth reading, to keep the connection.
    const bool little = !close_after_ && ongoing_->head.body.framing == Framing::length && ongoing_->left <= drain_bytes;
    body_ = little ? BodyState::abandoned : BodyState::none;
    if (!little) close_after_ = true;
  }
  if (ongoing_ != nullptr && exchange_done()) {
    end_exchange();
    return;
  }
  if (!input_.empty() && ongoing_ != nullptr && (body_ == BodyState::arriving || body_ == BodyState::abandoned)) {
    std::string input = std::move(input_);
    input_ = std::string();
    process(input.data(), input.size());
  }
  read_input();
}

void H1Server::end_exchange() {
  end_wait();
  deadline_.clear();
  count_bytes();
  const bool cut = eof_;
  const bool graceful = close_after_;
  // A client that announced its last request sends nothing more: no need to wait for its end.
  const bool whole = ongoing_->head.body.framing == Framing::none || body_ == BodyState::complete;
  const bool last = ongoing_->understood && whole && !ongoing_->head.keep_alive && input_.empty() && !unread_;
  ongoing_ = nullptr;
  arena_.reset();  // destroys the exchange
  body_ = BodyState::none;
  if (cut) {
    if (response_over_ && !stream_.peer_closed()) stream_.reset();
    close();
    return;
  }
  if (graceful && last) {
    close();
  } else if (graceful) {
    linger();
  } else {
    next_request();
  }
}

void H1Server::count_bytes() {
  if (runtime_.metrics == nullptr) return;
  runtime_.metrics->received(stream_.received() - counted_in_);
  runtime_.metrics->sent(stream_.sent() - counted_out_);
  counted_in_ = stream_.received();
  counted_out_ = stream_.sent();
}

void H1Server::next_request() {
  set_state(State::idle);
  watch();
  if (draining_) close_after_ = true;
  deadline_.in(draining_ ? drain_idle_ms : runtime_.limits.idle_ms);
  if (!input_.empty()) {
    std::string input = std::move(input_);
    input_ = std::string();
    process(input.data(), input.size());
  }
  if (stream_.peer_closed()) unread_ = true;
  if (unread_ && state_ != State::closed) read_input();
}

// RFC 9112 9.6: end our direction, read on for a while, then close.
void H1Server::linger() {
  input_ = std::string();
  if (stream_.peer_closed() || !stream_.shutdown_write()) {
    close();
    return;
  }
  set_state(State::lingering);
  watch();
  deadline_.in(linger_ms);
  unread_ = true;
  read_input();
}

void H1Server::client_left(Ending ending) {
  if (ongoing_ == nullptr) {
    close();
    return;
  }
  eof_ = true;
  response_over_ = false;
  if (!ongoing_->exchange->over()) ongoing_->exchange->client_gone(ending);
  runtime_.loop.defer(after_);
}

// The client of a tunnel has said all it wanted to say; what the backend answers still reaches it. One that has left
// altogether looks the same until something is sent to it, so the silence after this has an end of its own.
void H1Server::half_close() {
  body_ = BodyState::complete;
  ongoing_->exchange->request_end(nullptr);
  check_mark_ = stream_.received() + stream_.sent();
  if (!waits_for_client()) deadline_.in(runtime_.limits.idle_ms);
}

void H1Server::check_tunnel() {
  if (waits_for_client()) {
    check_progress();
  } else if (body_ == BodyState::complete) {
    const uint64_t moved = stream_.received() + stream_.sent();
    if (moved == check_mark_) return client_left(Ending::client_abort);
    check_mark_ = moved;
    deadline_.in(runtime_.limits.idle_ms);
  } else {
    unread_ = true;
    read_input();
  }
}

void H1Server::close() {
  if (state_ == State::closed) return;
  set_state(State::closed);
  end_wait();
  deadline_.clear();
  after_.cancel();
  stream_.close();
  input_ = std::string();
  owner_.on_connection_closed(*this);
}

void H1Server::drain(bool abruptly) {
  draining_ = true;
  close_after_ = true;
  // A client that is using its connection will ask again within this time and be told; an idle one is closed.
  if (state_ == State::idle) deadline_.in(drain_idle_ms);
  if (abruptly && (state_ == State::idle || state_ == State::head || state_ == State::lingering)) close();
}

void H1Server::say_goodbye() {
  if (state_ == State::tunnel && ongoing_->exchange->close_tunnel(close_service_restart, Ending::gateway_stop)) return;
  shed();
}

void H1Server::shed() {
  const Ending ending = runtime_.draining ? Ending::gateway_stop : Ending::overload;
  if (ongoing_ != nullptr && !ongoing_->exchange->over()) ongoing_->exchange->client_gone(ending);
  eof_ = true;
  if (ongoing_ == nullptr) {
    close();
  } else {
    end_exchange();
  }
}

ClientConnection::Phase H1Server::phase() const {
  if (state_ == State::closed) return Phase::closed;
  if (waits_for_client()) return Phase::waiting;
  return state_ == State::idle ? Phase::idle : Phase::busy;
}

// ---------------------------------------------------------------- time

void H1Server::begin_wait() {
  if (waiting_since_ms_ != 0) return;
  waiting_since_ms_ = runtime_.loop.now_ms();
  progress_mark_ = stream_.received() + stream_.sent();
  check_mark_ = progress_mark_;
  owner_.on_connection_phase(*this);
}

void H1Server::end_wait() {
  if (waiting_since_ms_ == 0) return;
  waiting_since_ms_ = 0;
  owner_.on_connection_phase(*this);
}

void H1Server::set_state(State state) {
  if (state_ == state) return;
  const bool idle_changed = (state_ == State::idle) != (state == State::idle);
  state_ = state;
  if (idle_changed) owner_.on_connection_phase(*this);
}

void H1Server::on_deadline() {
  switch (state_) {
    case State::idle:
    case State::lingering: close(); return;
    case State::head: refuse_head({408, "head-timeout", "408 Request Timeout"}); return;
    case State::exchange: check_progress(); return;
    case State::tunnel: check_tunnel(); return;
    case State::closed: return;
  }
}

// While the gateway waits for the client, the client must move: something within the inactivity limit, and on average
// the least rate.
void H1Server::check_progress() {
  if (!stream_.is_watched()) {
    watch();
    return;
  }
  if (!waits_for_client()) return;
  const int64_t now = runtime_.loop.now_ms();
  const uint64_t moved = stream_.received() + stream_.sent();
  const bool writing = stream_.backlog() != 0;
  const int64_t limit = writing ? runtime_.limits.write_ms : runtime_.limits.body_ms;
  const int64_t waited = now - waiting_since_ms_;
  const bool still = moved == check_mark_;
  const bool crawling = runtime_.limits.min_rate != 0 && waited >= 2 * progress_check_ms &&
                        (moved - progress_mark_) * 1000 / static_cast<uint64_t>(waited) < runtime_.limits.min_rate;
  if (!still) last_progress_ms_ = now;
  const int64_t quiet = now - std::max(last_progress_ms_, waiting_since_ms_);
  check_mark_ = moved;
  if (!crawling && (limit == 0 || quiet < limit)) {
    deadline_.in(limit > 0 ? std::min(progress_check_ms, std::max<int64_t>(limit - quiet, 100)) : progress_check_ms);
    return;
  }
  close_after_ = true;
  if (!writing && !ongoing_->exchange->started_response()) {
    body_ = BodyState::none;
    end_wait();
    ongoing_->exchange->fail(408, "408 Request Timeout", Ending::client_timeout);
    return;
  }
  client_left(Ending::client_timeout);
}

}  // namespace goma::http
