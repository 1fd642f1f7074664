// SPDX-License-Identifier: Apache-2.0
//
// The backend connection machine. Reading is edge-triggered: every wake reads until the kernel said "no more" or the
// receiver said "pause"; a paused connection reads again on resume().
#include "http/h1_client.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "http/h1_writer.h"
#include "http/runtime.h"

namespace goma::http {

namespace {

// Below this a copy through user space is cheaper than two splices.
constexpr uint64_t splice_from_bytes = 64 * 1024;
constexpr size_t least_read = 4096;
constexpr size_t least_for_shut = 1024;  // when the client takes nothing: a head, and little that must be kept
constexpr unsigned char max_informational = 16;
// See H1Server: when a tunnel looks for a reset that came right behind bytes.
constexpr int64_t look_again_ms = 200;

}  // namespace

H1Client::H1Client(Runtime& runtime, PeerPool& pool, core::Stream& dialed) : runtime_(runtime), pool_(pool), stream_(runtime.buffers) {
  deadline_.bind<&H1Client::on_deadline>(runtime.wheel, this);
  read_on_.bind<&H1Client::read_some>(this);
  stream_.take(dialed);
  stream_.watch<&H1Client::on_ready>(runtime.loop, this);
}

H1Client::~H1Client() = default;

void H1Client::rest(int64_t idle_ms) { arm(idle_ms); }

// ---------------------------------------------------------------- events

void H1Client::on_ready(unsigned ready) {
  stream_.note(ready);
  if ((ready & core::ready_write) && stream_.backlog() != 0) {
    const core::Stream::Io io = stream_.flush();
    if (io == core::Stream::Io::failed) on_broken_send();
    if (io == core::Stream::Io::ok && handler_ != nullptr) handler_->on_backend_writable();
  }
  if (ready & (core::ready_read | core::ready_close)) read_some();
}

void H1Client::on_deadline() {
  switch (state_) {
    case State::idle: close(); return;
    case State::head: fail(Failure::Kind::header_timeout, "no response head in time"); return;
    case State::body:
      if (paused_) {  // we, not the backend, make it wait
        arm(pool_.limits().body_ms);
        return;
      }
      fail(Failure::Kind::body_timeout, "the response body stalled");
      return;
    case State::tunnel: read_some(); return;
    case State::closed: return;
  }
}

// ---------------------------------------------------------------- the request

void H1Client::send(const BackendRequest& request) {
  method_ = request.method_id;
  upgrade_asked_ = request.upgrade;
  state_ = State::head;
  sent_before_ = stream_.sent();
  scanner_.reset();
  chunks_.reset();
  informational_ = 0;
  answered_ = paused_ = send_broken_ = false;
  // Flushed by whoever called, so it need not live as long as the exchange, which may wait for long.
  core::Arena& written = pool_.written_head();
  written.rewind();
  sender_.begin(write_request_head(written, request.method, request.target, *request.headers,
                                   request.body, true),
                request.body);
  if (request.body.framing == Framing::none) sender_.end(nullptr, handler_->backend_arena());
  arm(pool_.limits().header_ms);
}

void H1Client::send_body(std::string_view data) { sender_.body(stream_, data); }

void H1Client::finish_body(const Headers* trailers) {
  sender_.end(trailers, handler_->backend_arena());
  if (state_ != State::tunnel) return;
  flush();
  stream_.shutdown_write();
}

Flow H1Client::flush() {
  if (send_broken_) return Flow::pause;
  const core::Stream::Io io = sender_.flush(stream_);
  if (io == core::Stream::Io::failed) on_broken_send();
  return io == core::Stream::Io::ok ? Flow::go : Flow::pause;
}

// A backend may answer and close before it has read the request: look for the answer before giving up.
void H1Client::on_broken_send() {
  if (send_broken_) return;
  send_broken_ = true;
  runtime_.loop.defer(read_on_);
}

// ---------------------------------------------------------------- the response

void H1Client::read_some() {
  if (reading_) return;
  reading_ = true;
  const uint64_t share = stream_.received() + core::Loop::share_of_turn;
  while (read_once()) {
    if (stream_.received() < share) continue;
    runtime_.loop.next_turn(read_on_);
    break;
  }
  reading_ = false;
}

// One receive and what follows from it. True: read again.
bool H1Client::read_once() {
  if (state_ == State::closed) return false;
  const bool body = state_ == State::body || state_ == State::tunnel;
  if (body && !handler_->wants_backend_body()) {
    paused_ = true;
    return false;
  }
  if (state_ == State::body && pending_.empty() && framing_ == Framing::length && left_ >= splice_from_bytes &&
      stream_.tls() == nullptr && handler_->can_splice()) {
    return splice_once();
  }
  if (body && !pending_.empty()) return consume_pending();  // left over from before a pause: no receive needed
  const size_t base = pending_.size();
  std::string long_head;  // one that outgrows a block is gathered where it is, up to the limit of heads
  core::BufferPool::Lease block(runtime_.buffers.blocks);
  char* data = block.data();
  size_t room = block.size() - base;
  if (base > core::BufferPool::block_size / 2) {
    long_head = std::exchange(pending_, std::string());
    room = core::BufferPool::block_size;
    long_head.resize(base + room);
    data = long_head.data();
  } else if (base != 0) {
    std::memcpy(data, pending_.data(), base);
    pending_.clear();
  }
  // A client that takes little at a time is read for in little pieces, heads in any case.
  const size_t wanted = handler_ != nullptr ? handler_->backend_room() : SIZE_MAX;
  const core::Stream::Read got = stream_.read(data + base, std::min(room, std::max(wanted, wanted == 0 ? least_for_shut : least_read)));
  switch (got.state) {
    case core::Stream::Io::blocked:
      pending_.assign(data, base);
      if (send_broken_) peer_ended(true);
      return false;
    case core::Stream::Io::eof: peer_ended(false); return false;
    case core::Stream::Io::failed: peer_ended(true); return false;
    case core::Stream::Io::ok: break;
  }
  const size_t n = base + got.n;
  if (state_ == State::idle) {  // nobody asked
    if (got.n != 0) close();
    return got.n == 0;
  }
  const uint64_t serving = served_;
  const size_t used = consume(data, n);
  if (state_ == State::closed) return false;
  if (used < n) keep(std::move(long_head), {data, n}, used);
  if (state_ == State::tunnel && !got.more && !send_broken_) {
    arm(look_again_ms);
    return false;
  }
  // A short read means that the kernel has no more, unless a reset came with the bytes: libevent reports that as
  // readiness only, and there will be no other event. So an unfinished response is read until the kernel says so.
  return (got.more || send_broken_ || served_ == serving) && !paused_;
}

// What was received and not understood yet; a long head stays where it is.
void H1Client::keep(std::string long_head, std::string_view received, size_t used) {
  if (used != 0 || long_head.empty()) {
    pending_.assign(received.substr(used));
    return;
  }
  long_head.resize(received.size());
  pending_ = std::move(long_head);
}

bool H1Client::consume_pending() {
  const std::string data = std::exchange(pending_, std::string());
  const size_t used = consume(data.data(), data.size());
  if (used < data.size() && state_ != State::closed) pending_.assign(data, used);
  return state_ != State::closed && state_ != State::idle && !paused_;
}

bool H1Client::splice_once() {
  const core::Stream::Read got = handler_->splice(stream_, left_);
  if (state_ == State::closed) return false;
  switch (got.state) {
    case core::Stream::Io::blocked:
      paused_ = !handler_->wants_backend_body();
      return false;
    case core::Stream::Io::eof: peer_ended(false); return false;
    case core::Stream::Io::failed: peer_ended(true); return false;
    case core::Stream::Io::ok: break;
  }
  left_ -= got.n;
  arm(pool_.limits().body_ms);
  if (left_ == 0) {
    response_complete(nullptr);
    return false;
  }
  return true;
}

// Understands what it can of the bytes; returns how many are used up.
size_t H1Client::consume(const char* data, size_t n) {
  const uint64_t serving = served_;
  size_t used = 0;
  while (state_ == State::head && used < n) {
    const size_t head = consume_head(data + used, n - used);
    if (served_ != serving) return n;  // complete, and perhaps already lent to the next
    if (head == 0) return used;
    used += head;
  }
  if (state_ == State::closed) return n;
  if (used < n && !handler_->wants_backend_body()) {
    paused_ = true;
    return used;
  }
  used += consume_body(data + used, n - used);
  if (served_ != serving || state_ == State::closed) return n;
  if (handler_->on_backend_flush() == Flow::pause) paused_ = true;
  return used;
}

size_t H1Client::consume_head(const char* data, size_t n) {
  answered_ = true;
  switch (scanner_.feed(data, n, pool_.limits().response)) {
    case ResponseScanner::State::more: return 0;
    case ResponseScanner::State::bad: fail(scanner_.fault().kind, scanner_.fault().text); return 0;
    case ResponseScanner::State::complete: break;
  }
  const size_t length = scanner_.length();
  const bool untidy = scanner_.untidy();
  scanner_.reset();
  take_head(handler_->backend_arena().copy({data, length}), untidy, n - length);
  return length;
}

void H1Client::take_head(std::string_view text, bool untidy, size_t behind) {
  core::Arena& arena = handler_->backend_arena();
  auto* head = arena.make<ResponseHead>(arena);
  Oddities oddities;
  ResponseFault fault;
  if (!read_response(text, untidy, arena, pool_.limits().response, method_, *head, oddities, fault)) {
    fail(fault.kind, fault.text);
    return;
  }
  if (!oddities.empty()) oddities.each([this](Failure::Kind kind) { pool_.met(kind); });
  const bool switching = head->status == 101;
  if (head->status < 200 && !switching) {
    if (++informational_ > max_informational) {
      fail(Failure::Kind::informational_flood, "too many informational responses");
    } else if (head->status != 100) {  // the client got its 100 from us
      handler_->on_backend_informational(*head);
    }
    return;
  }
  if (switching && !upgrade_asked_) {
    fail(Failure::Kind::unasked_switch, "101 without a request to upgrade");
    return;
  }
  framing_ = switching ? Framing::until_close : head->body.framing;
  left_ = head->body.length;
  keep_alive_ = head->keep_alive;
  state_ = switching ? State::tunnel : State::body;
  if (switching) {
    sender_.raw();
    deadline_.clear();
  } else {
    arm(pool_.limits().body_ms);
  }
  handler_->on_backend_head(*head);
  const bool empty = framing_ == Framing::none || (framing_ == Framing::length && left_ == 0);
  if (state_ != State::body || !empty) return;
  if (behind != 0) keep_alive_ = false;  // bytes beyond the response: the connection is not to be trusted
  response_complete(nullptr);
}

size_t H1Client::consume_body(const char* data, size_t n) {
  if (n == 0 || (state_ != State::body && state_ != State::tunnel)) return 0;
  if (state_ == State::body) arm(pool_.limits().body_ms);
  if (framing_ == Framing::chunked) return consume_chunks(data, n);
  if (framing_ == Framing::until_close) {
    handler_->on_backend_body({data, n});
    return n;
  }
  const size_t piece = static_cast<size_t>(std::min<uint64_t>(n, left_));
  left_ -= piece;
  handler_->on_backend_body({data, piece});
  if (left_ == 0 && state_ == State::body) {
    if (piece < n) keep_alive_ = false;  // as above
    response_complete(nullptr);
  }
  return piece;
}

size_t H1Client::consume_chunks(const char* data, size_t n) {
  const char* at = data;
  const char* const end = data + n;
  while (state_ == State::body) {
    std::string_view piece;
    switch (chunks_.decode(at, end, piece, handler_->backend_arena())) {
      case ChunkDecoder::Status::data: handler_->on_backend_body(piece); break;
      case ChunkDecoder::Status::need_more: return static_cast<size_t>(at - data);
      case ChunkDecoder::Status::bad: fail(Failure::Kind::bad_chunk, "malformed chunk"); return n;
      case ChunkDecoder::Status::end:
        if (at < end) keep_alive_ = false;
        response_complete(chunks_.trailers());
        return static_cast<size_t>(at - data);
    }
  }
  return n;
}

// The whole response is here. The handler lets go; the connection is pooled or closed.
void H1Client::response_complete(const Headers* trailers) {
  BackendHandler* handler = handler_;
  const bool clean = keep_alive_ && sender_.ended() && stream_.backlog() == 0 && !stream_.peer_closed() && !send_broken_;
  handler_ = nullptr;
  deadline_.clear();
  ++served_;
  handler->on_backend_end(trailers);
  if (!clean) {
    close();
    return;
  }
  state_ = State::idle;
  pending_.clear();
  pool_.released(*this);
}

void H1Client::peer_ended(bool broken) {
  switch (state_) {
    case State::closed: return;
    case State::idle: close(); return;
    case State::head:
      if (broken && served_ == 0 && !answered_ && stream_.tls() != nullptr && !stream_.tls()->error().empty()) {
        fail(Failure::Kind::tls, handler_->backend_arena().copy(stream_.tls()->error()));  // an alert in place of an answer
        return;
      }
      fail(broken ? Failure::Kind::reset : Failure::Kind::closed, broken ? "connection reset" : "connection closed");
      return;
    case State::body:
      if (framing_ == Framing::until_close && !broken) {
        keep_alive_ = false;
        response_complete(nullptr);
        return;
      }
      fail(Failure::Kind::truncated, "the response ended early");
      return;
    case State::tunnel:
      keep_alive_ = false;
      response_complete(nullptr);
      return;
  }
}

void H1Client::fail(Failure::Kind kind, std::string_view detail) {
  BackendHandler* handler = handler_;
  handler_ = nullptr;
  const Failure failure{.kind = kind, .reused = served_ > 0, .written = stream_.sent() != sent_before_, .answered = answered_, .detail = detail};
  pool_.met(failure);
  close();
  if (handler != nullptr) handler->on_backend_failure(failure);
}

void H1Client::resume() {
  if (!paused_) return;
  paused_ = false;
  if (state_ == State::body) arm(pool_.limits().body_ms);
  read_some();
}

void H1Client::abandon() {
  handler_ = nullptr;
  close();
}

void H1Client::close() {
  if (state_ == State::closed) return;
  state_ = State::closed;
  pool_.gone(*this);
  handler_ = nullptr;
  deadline_.clear();
  read_on_.cancel();
  stream_.close();
}

}  // namespace goma::http
