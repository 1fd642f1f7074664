// SPDX-License-Identifier: Apache-2.0
//
// Reading, the engine's callbacks, sending, and the ways a connection ends. Streams are destroyed in run_work and
// drop_streams only, where neither the engine nor an exchange is on the stack.
#include "http/h2_server.h"

#include <algorithm>
#include <utility>

#include "core/check.h"
#include "core/log.h"
#include "http/route_metrics.h"
#include "http/site.h"

// Later than the nghttp2 that is asked for, but patched into older ones: there when the library has it.
extern "C" __attribute__((weak)) void nghttp2_option_set_stream_reset_rate_limit(nghttp2_option* option, uint64_t burst, uint64_t rate);

namespace goma::http {

namespace {

constexpr int64_t check_ms = 5'000;
constexpr int64_t linger_ms = 2'000;
constexpr size_t linger_bytes = 1024 * 1024;
constexpr int64_t drain_notice_ms = 1'000;    // longer than a round trip
constexpr size_t write_bytes = 64 * 1024;     // sent without waiting for the end of the turn
constexpr size_t kept_bytes = 16 * 1024;      // of out_ while streams are open
// The engine is fed in slices: who makes us answer much with little is told, and counted, before the next one.
constexpr size_t slice_bytes = 2 * 1024;
constexpr size_t slice_answers = 32;
constexpr size_t queue_frames = 256;          // the engine may have to say while the client does not read
constexpr size_t block_bytes = 64 << 20;       // of a response head: what networking.backendMaxHeaderBytes allows fits
constexpr int32_t no_old_priorities = 9;      // SETTINGS_NO_RFC7540_PRIORITIES, not named by older versions

H2Guard::Limits guard_limits(const Runtime& runtime) {
  const auto head_bytes = static_cast<uint32_t>(runtime.site->head_limits().head_bytes);
  H2Guard::Limits limits;
  limits.block_bytes = std::max(limits.block_bytes, 2 * head_bytes);
  limits.streams = static_cast<uint32_t>(runtime.site->config().gateway.networking.http2.max_concurrent_streams);
  return limits;
}

}  // namespace

// ---------------------------------------------------------------- what the engine calls

struct H2Server::Callbacks {
  static H2Server& self(void* user) { return *static_cast<H2Server*>(user); }

  // What the engine lets pass and RFC 9113 does not: a stream that was closed before (5.1.1), PRIORITY of none (6.3).
  static int begin_frame(nghttp2_session* session, const nghttp2_frame_hd* hd, void* user) {
    H2Server& c = self(user);
    if (hd->type == NGHTTP2_DATA) ++c.data_begun_;
    if (hd->type == NGHTTP2_HEADERS) c.block_wire_ = static_cast<uint32_t>(hd->length);
    const bool wrong = hd->type == NGHTTP2_PRIORITY ? hd->stream_id == 0 : hd->type == NGHTTP2_HEADERS && c.is_stale(hd->stream_id);
    if (wrong) nghttp2_session_terminate_session(session, NGHTTP2_PROTOCOL_ERROR);
    return 0;
  }

  static int begin_headers(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    H2Server& c = self(user);
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    c.reading_ = c.stream_of(frame->hd.stream_id);
    c.block_since_ms_ = c.runtime_.loop.now_ms();
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    if (!c.may_begin(frame->hd.stream_id)) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    ++c.open_;
    auto made = std::make_unique<H2Stream>(c, frame->hd.stream_id);
    c.reading_ = made.get();
    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, made.get());
    c.streams_.push_back(*made.release());  // the list owns it
    if (c.stream_count_++ == 0) c.rearm();
    c.update_phase();
    return 0;
  }

  static int header(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name, size_t name_length, const uint8_t* value,
                    size_t value_length, uint8_t, void* user) {
    H2Server& c = self(user);
    if (c.reading_ == nullptr) return 0;
    H2Stream& stream = *c.reading_;
    c.block_decoded_ += name_length + value_length;
    const auto size = stream.take_field({reinterpret_cast<const char*>(name), name_length}, {reinterpret_cast<const char*>(value), value_length});
    const bool grew = stream.grew();
    if (grew) stream.recount();
    const bool fits = !grew || c.share_.fits(c.stream_count_);
    if (fits && size != H2Request::Size::absurd) return 0;
    if (size == H2Request::Size::absurd) {
      c.guard_.head_refused();
      c.block_decoded_ = 0;  // that is one fault, not two
    }
    if (!fits) c.refuse_stream(frame->hd.stream_id, "memory");
    return refuse(session, c, frame->hd.stream_id, NGHTTP2_ENHANCE_YOUR_CALM);
  }

  // The engine would leave such a field out and go on.
  static int invalid_header(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t*, size_t, const uint8_t*, size_t, uint8_t, void* user) {
    return refuse(session, self(user), frame->hd.stream_id, NGHTTP2_PROTOCOL_ERROR);
  }

  // What has come of the head is of no use to anybody. The engine takes the first reset only.
  static int refuse(nghttp2_session* session, H2Server& c, int32_t id, uint32_t code) {
    H2Stream* stream = c.stream_of(id);
    c.block_ended();
    nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, code);
    if (stream != nullptr && !stream->head_complete()) {
      --c.open_;
      c.end_stream(*stream);
    }
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }

  static int frame_received(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    H2Server& c = self(user);
    const bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
        if (c.reading_ != nullptr) c.reading_->take_block(end);
        c.block_ended();
        return 0;
      case NGHTTP2_DATA:
        if (H2Stream* stream = end ? c.stream_of(frame->hd.stream_id) : nullptr) stream->take_end();
        return 0;
      case NGHTTP2_SETTINGS:
        if (!c.greeted_) {
          c.greeted_ = true;
          c.rearm();
        }
        return 0;
      default: return 0;
    }
  }

  static int frame_refused(nghttp2_session*, const nghttp2_frame* frame, int, void* user) {
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    self(user).block_ended();
    self(user).note_reset(frame->hd.stream_id);
    return 0;
  }

  static int data(nghttp2_session*, uint8_t, int32_t id, const uint8_t* bytes, size_t n, void* user) {
    if (H2Stream* stream = self(user).stream_of(id)) stream->take_content({reinterpret_cast<const char*>(bytes), n});
    return 0;
  }

  static int stream_closed(nghttp2_session*, int32_t id, uint32_t code, void* user) {
    H2Server& c = self(user);
    H2Stream* stream = c.stream_of(id);
    if (stream == nullptr) return 0;
    --c.open_;
    if (stream == c.reading_) c.block_ended();
    if (stream->begun()) stream->engine_closed(code);
    else c.end_stream(*stream);  // taken back before it was a request
    return 0;
  }

  static int frame_sent(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    H2Server& c = self(user);
    if (frame->hd.type == NGHTTP2_RST_STREAM) c.note_reset(frame->hd.stream_id);
    if (frame->hd.type == NGHTTP2_RST_STREAM) c.guard_.reset_sent(frame->rst_stream.error_code);
    const bool block = frame->hd.type == NGHTTP2_HEADERS;
    const bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 && (block || frame->hd.type == NGHTTP2_DATA);
    H2Stream* stream = block || end ? c.stream_of(frame->hd.stream_id) : nullptr;
    if (stream != nullptr && block) stream->block_sent();
    if (stream != nullptr && end) stream->end_sent();
    return 0;
  }

  // A head or trailers that the engine cannot pack: the client must not wait for them.
  static int frame_not_sent(nghttp2_session* session, const nghttp2_frame* frame, int, void*) {
    if (frame->hd.type == NGHTTP2_HEADERS) nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_INTERNAL_ERROR);
    return 0;
  }

  static int send_data(nghttp2_session*, nghttp2_frame* frame, const uint8_t* frame_head, size_t n, nghttp2_data_source* source, void* user) {
    constexpr size_t frame_head_bytes = 9;
    H2Server& c = self(user);
    c.out_.append(reinterpret_cast<const char*>(frame_head), frame_head_bytes);
    const bool all = static_cast<H2Stream*>(source->ptr)->take_out(c.out_, n);
    const uint32_t frame_limit = 16 * 1024;
    if (frame->hd.length != 0) c.guard_.data_sent(n, !all && n < frame_limit);
    c.full_ = c.out_.size() >= write_bytes;
    return c.full_ ? NGHTTP2_ERR_PAUSE : 0;
  }

  // nghttp2 copies both objects.
  static nghttp2_session* make(H2Server* server) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_option* options = nullptr;
    nghttp2_session* session = nullptr;
    GOMA_CHECK(nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&options) == 0);
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, frame_received);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, frame_refused);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, stream_closed);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, frame_sent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, frame_not_sent);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, send_data);
    nghttp2_option_set_no_auto_window_update(options, 1);
    nghttp2_option_set_no_closed_streams(options, 1);
    // The guard counts resets, and lets those have many who finish many.
    constexpr uint64_t no_limit = 1 << 30;
    if (nghttp2_option_set_stream_reset_rate_limit != nullptr) nghttp2_option_set_stream_reset_rate_limit(options, no_limit, no_limit);
    nghttp2_option_set_max_send_header_block_length(options, block_bytes);
    GOMA_CHECK(nghttp2_session_server_new2(&session, callbacks, server, options) == 0);
    nghttp2_option_del(options);
    nghttp2_session_callbacks_del(callbacks);
    return session;
  }
};

ssize_t H2Server::on_data_wanted(nghttp2_session*, int32_t, uint8_t*, size_t length, uint32_t* flags, nghttp2_data_source* source, void*) {
  return static_cast<H2Stream*>(source->ptr)->offer(length, *flags);
}

void H2Server::block_ended() {
  const uint32_t inflated = guard_.head_decoded(std::exchange(block_decoded_, 0), block_wire_);
  if (reading_ != nullptr) reading_->inflated += inflated;
  reading_ = nullptr;
  block_since_ms_ = 0;
}

H2Stream* H2Server::stream_of(int32_t id) { return static_cast<H2Stream*>(nghttp2_session_get_stream_user_data(session_, id)); }

void H2Server::note_reset(int32_t id) { resets_[reset_count_++ % std::size(resets_)] = id; }

// Whether HEADERS on this stream come too late.
bool H2Server::is_stale(int32_t id) {
  if (id <= newest_) return is_closed(id);
  newest_ = id;
  return false;
}

// Whether the client knows that the stream is closed. Of those that we have reset it may not have heard, nor of those
// above our GOAWAY, and frames may be under way (RFC 9113 5.1, 6.8); after many resets it is no longer known which, and
// every stream may be one of them.
bool H2Server::is_closed(int32_t id) {
  if (id > newest_ || draining_ || reset_count_ > std::size(resets_) || nghttp2_session_find_stream(session_, id) != nullptr) return false;
  return std::find(std::begin(resets_), std::end(resets_), id) == std::end(resets_);
}

// The engine passes over DATA of streams that it does not know; the client must hear of it where it was no straggler
// (RFC 9113 6.1).
void H2Server::answer_stray_data() {
  if (guard_.data_frames() == data_begun_) return;
  data_begun_ = guard_.data_frames();
  for (const int32_t id : guard_.data_streams()) {
    if (is_closed(id)) nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_STREAM_CLOSED);
  }
}

// ---------------------------------------------------------------- the beginning

H2Server::H2Server(Runtime& runtime, ConnectionOwner& owner, Arrival arrival)
    : runtime_(runtime),
      owner_(owner),
      stream_(runtime.buffers),
      arrival_(std::move(arrival)),
      session_(Callbacks::make(this)),
      guard_(guard_limits(runtime), runtime.loop.now_ms()),
      share_(runtime.h2_budget, guard_limits(runtime).streams, runtime.site->head_limits().head_bytes,
             static_cast<size_t>(runtime.site->config().gateway.networking.http2.connection_window)) {
  deadline_.bind<&H2Server::on_deadline>(runtime.wheel, this);
  after_.bind<&H2Server::after_callback>(this);
  turn_.bind<&H2Server::end_turn>(this);
  peer_ip_ = {ip_, arrival_.peer.ip_text(ip_)};
}

H2Server::~H2Server() {
  drop_streams(Ending::gateway_stop);
  nghttp2_session_del(session_);
}

void H2Server::open(core::Stream& greeted) {
  stream_.take(greeted);
  idle_since_ms_ = sent_ms_ = runtime_.loop.now_ms();
  say_settings();
  update_phase();
  rearm();
  if (runtime_.draining) drain(false);
  stream_.watch<&H2Server::on_ready>(runtime_.loop, this);
  unread_ = true;
  read_input();
  if (state_ == State::open) settle();
}

// The engine would end a connection that has one stream too many; we want to refuse the stream. So it is told of no
// limit, and what it says to the client is said by us.
void H2Server::say_settings() {
  const Http2Conf& conf = runtime_.site->config().gateway.networking.http2;
  most_open_ = static_cast<uint32_t>(conf.max_concurrent_streams);
  nghttp2_settings_entry entries[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, static_cast<uint32_t>(conf.max_concurrent_streams)},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, static_cast<uint32_t>(conf.stream_window)},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(runtime_.site->head_limits().head_bytes)},
      {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
      {no_old_priorities, 1},
  };
  std::string& frame = out_;
  frame.assign("\0\0\0\4\0\0\0\0\0", 9);
  frame[2] = static_cast<char>(std::size(entries) * 6);
  uint8_t payload[std::size(entries) * 6];
  GOMA_CHECK(nghttp2_pack_settings_payload(payload, sizeof payload, entries, std::size(entries)) == sizeof payload);
  frame.append(reinterpret_cast<const char*>(payload), sizeof payload);
  entries[0].value = NGHTTP2_INITIAL_MAX_CONCURRENT_STREAMS;
  const uint8_t* unsaid = nullptr;
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, entries, std::size(entries));
  GOMA_CHECK(nghttp2_session_mem_send(session_, &unsaid) == static_cast<ssize_t>(frame.size()));
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, std::max(conf.connection_window, conf.stream_window));
  want_send();
}

// ---------------------------------------------------------------- what a client may have open

bool H2Server::may_begin(int32_t id) {
  const bool many = open_ >= most_open_;
  if (!many && share_.admits()) return true;
  refuse_stream(id, many ? "limit" : "memory");
  return false;
}

void H2Server::refuse_stream(int32_t id, std::string_view reason) {
  if (runtime_.metrics != nullptr) runtime_.metrics->stream_refused(reason);
  const H2Stream* stream = stream_of(id);
  const bool begun = stream != nullptr && stream->head_complete();  // then it is no secret that we know it
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, begun ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_REFUSED_STREAM);
}

// Responses and bodies lie here that the client or its backends do not take: the largest go until the rest has room.
void H2Server::shed_streams() {
  while (share_.exceeded(stream_count_)) {
    H2Stream* largest = nullptr;
    for (H2Stream* stream = streams_.front(); stream != nullptr; stream = streams_.next(*stream)) {
      if (!stream->is_reset() && (largest == nullptr || stream->held() >= largest->held())) largest = stream;
    }
    if (largest == nullptr) return;
    if (runtime_.metrics != nullptr) runtime_.metrics->stream_refused("memory");
    largest->cut(Ending::overload);
    run_work();
  }
}

// ---------------------------------------------------------------- reading

void H2Server::on_ready(unsigned ready) {
  stream_.note(ready);
  if ((ready & core::ready_write) && blocked()) {
    const core::Stream::Io io = stream_.flush();
    if (io == core::Stream::Io::failed) broken_ = true;
    if (io == core::Stream::Io::ok) resume_streams();
  }
  if (ready & (core::ready_read | core::ready_close)) unread_ = true;
  after_callback();
}

void H2Server::read_input() {
  const uint64_t share = stream_.received() + core::Loop::share_of_turn;
  while (unread_ && read_once()) {
    if (stream_.received() < share) continue;
    runtime_.loop.next_turn(after_);
    return;
  }
}

// One receive and what follows. True: try again.
bool H2Server::read_once() {
  if (state_ == State::closed || broken_) return false;
  if (blocked() && nghttp2_session_get_outbound_queue_size(session_) > queue_frames) return false;  // it does not read
  core::BufferPool::Lease block(runtime_.buffers.blocks);
  const core::Stream::Read got = stream_.read(block.data(), block.size());
  if (got.state != core::Stream::Io::ok) {
    unread_ = false;
    if (got.state == core::Stream::Io::blocked) return false;
    if (state_ == State::lingering) close();
    else broken_ = true;
    return false;
  }
  unread_ = got.more;
  if (state_ == State::open) receive(block.data(), got.n);
  else if ((dropped_ += got.n) > linger_bytes) close();
  return state_ != State::closed;
}

void H2Server::receive(const char* data, size_t n) {
  if (!guard_.feed(data, n, runtime_.loop.now_ms()).empty()) return;  // settle() cuts it
  while (n > 0 && guard_.abuse().empty()) {
    const size_t slice = std::min(n, slice_bytes);
    receiving_ = true;
    const ssize_t used = nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(data), slice);
    receiving_ = false;
    if (used < 0) {
      nghttp2_session_terminate_session(session_, used == NGHTTP2_ERR_FLOODED ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR);
      break;
    }
    data += slice;
    n -= slice;
    if (nghttp2_session_get_outbound_queue_size(session_) > slice_answers) {
      run_work();
      pump();
    }
  }
  answer_stray_data();
  run_work();
  if (nghttp2_session_want_write(session_) != 0) want_send();
}

void H2Server::schedule(H2Stream& stream) {
  if (!stream.work_hook.linked()) work_.push_back(stream);
  if (!receiving_ && !in_turn_) runtime_.loop.defer(after_);
}

void H2Server::run_work() {
  while (H2Stream* stream = work_.pop_front()) {
    if (!stream->work()) end_stream(*stream);
  }
}

void H2Server::after_callback() {
  if (state_ == State::closed) return;
  run_work();
  read_input();
  settle();
}

// ---------------------------------------------------------------- sending

void H2Server::want_send() {
  if (!in_turn_ && state_ == State::open) runtime_.loop.at_turn_end(turn_);
}

void H2Server::pump() {
  want_send();
  if (receiving_ || broken_) return;
  while (!blocked()) {
    full_ = false;
    const uint8_t* data = nullptr;
    const ssize_t n = nghttp2_session_mem_send(session_, &data);
    if (n < 0) {
      broken_ = true;
      return;
    }
    if (n > 0) out_.append(reinterpret_cast<const char*>(data), static_cast<size_t>(n));
    if (out_.size() >= write_bytes) write_out();
    if (n == 0 && !full_) return;
  }
}

void H2Server::write_out() {
  if (out_.empty() || broken_) return;
  const core::Stream::Io io = stream_.write(out_);
  out_.clear();
  if (io == core::Stream::Io::failed) broken_ = true;
  if (io != core::Stream::Io::ok) update_phase();
}

// All that this wake-up brought leaves at once.
void H2Server::end_turn() {
  if (state_ != State::open) return;
  in_turn_ = true;
  do {
    run_work();
    pump();
  } while (!work_.empty() && !blocked() && !broken_);
  write_out();
  in_turn_ = false;
  if (stream_count_ == 0 || out_.capacity() > kept_bytes) out_ = std::string();
  if (!work_.empty()) runtime_.loop.defer(after_);
  settle();
}

// The socket is free again: streams go on one after the other until it is full. The next time begins behind them. Streams
// that end meanwhile make the list shorter, never the walk: whoever was not asked would wait for ever.
void H2Server::resume_streams() {
  update_phase();
  pump();
  for (size_t left = stream_count_; left != 0 && !streams_.empty() && !blocked() && !broken_; --left) {
    H2Stream* stream = streams_.pop_front();
    streams_.push_back(*stream);
    schedule(*stream);
    run_work();
  }
}

// ---------------------------------------------------------------- the ends

// After anything: has the connection come to an end?
void H2Server::settle() {
  if (state_ != State::open) return;
  if (broken_) {
    lost(Ending::client_abort);
    return;
  }
  if (!guard_.abuse().empty() && !cut_) cut_for(guard_.abuse());
  if (share_.exceeded(stream_count_)) shed_streams();
  if (nghttp2_session_want_read(session_) != 0 || nghttp2_session_want_write(session_) != 0) return;
  if (!out_.empty() || blocked()) return;
  drop_streams(Ending::client_abort);
  linger();
}

void H2Server::cut_for(std::string_view abuse) {
  cut_ = true;
  if (runtime_.metrics != nullptr) runtime_.metrics->abuse(abuse);
  core::log::info("an HTTP/2 connection was ended for its behaviour", {{"client", std::string(peer_ip_)}, {"kind", std::string(abuse)}});
  nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM);  // before: it asks dropped streams for nothing
  drop_streams(Ending::client_abort);
  pump();
  write_out();
  if (blocked() || broken_) close();  // it does not even read this
}

void H2Server::say_goaway() {
  draining_ = true;
  goaway_due_ms_ = 0;
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR, nullptr, 0);
  want_send();
}

void H2Server::drain(bool abruptly) {
  if (state_ != State::open) return;
  if (!draining_) {
    draining_ = true;
    nghttp2_submit_shutdown_notice(session_);
    goaway_due_ms_ = runtime_.loop.now_ms() + drain_notice_ms;
    want_send();
    rearm();
  }
  if (!abruptly || stream_count_ != 0) return;
  say_goaway();
  pump();
  write_out();
  close();
}

void H2Server::say_goodbye() {
  if (state_ != State::open) return shed();
  for (H2Stream* stream = streams_.front(); stream != nullptr; stream = streams_.next(*stream)) {
    if (!stream->say_goodbye()) stream->cut(Ending::gateway_stop);
  }
  say_goaway();  // the connection ends when the last of these words is out
}

void H2Server::shed() {
  const Ending ending = runtime_.draining ? Ending::gateway_stop : Ending::overload;
  if (state_ == State::open) {
    nghttp2_session_terminate_session(session_, NGHTTP2_NO_ERROR);  // before: it asks dropped streams for nothing
    drop_streams(ending);
    pump();
    write_out();
  }
  close();
}

void H2Server::end_stream(H2Stream& stream) {
  if (stream.complete()) guard_.request_done(stream.inflated);
  if (&stream == reading_) block_ended();
  nghttp2_session_set_stream_user_data(session_, stream.id(), nullptr);
  const std::unique_ptr<H2Stream> last(&stream);
  stream.hook.unlink();
  if (--stream_count_ == 0 && state_ == State::open) {
    idle_since_ms_ = runtime_.loop.now_ms();
    rearm();
  }
  count_bytes();
  update_phase();
}

void H2Server::drop_streams(Ending ending) {
  while (H2Stream* stream = streams_.front()) {
    stream->give_up(ending);
    end_stream(*stream);
  }
}

void H2Server::lost(Ending ending) {
  drop_streams(ending);
  close();
}

// As HTTP/1 does: our direction ends, what still comes is dropped, so that nothing resets the last words away.
void H2Server::linger() {
  out_ = std::string();
  if (stream_.peer_closed() || !stream_.shutdown_write()) {
    close();
    return;
  }
  state_ = State::lingering;
  update_phase();
  deadline_.in(linger_ms);
  unread_ = true;
  read_input();
}

void H2Server::close() {
  if (state_ == State::closed) return;
  state_ = State::closed;
  deadline_.clear();
  after_.cancel();
  turn_.cancel();
  stream_.close();
  count_bytes();
  owner_.on_connection_closed(*this);
}

void H2Server::count_bytes() {
  if (runtime_.metrics == nullptr) return;
  runtime_.metrics->received(stream_.received() - counted_in_);
  runtime_.metrics->sent(stream_.sent() - counted_out_);
  counted_in_ = stream_.received();
  counted_out_ = stream_.sent();
}

// ---------------------------------------------------------------- phases and time

ClientConnection::Phase H2Server::phase() const {
  if (state_ == State::closed) return Phase::closed;
  if (state_ == State::lingering) return Phase::busy;
  if (blocked() || (waits_ != 0 && waits_ == stream_count_)) return Phase::waiting;
  return stream_count_ == 0 ? Phase::idle : Phase::busy;
}

void H2Server::wait_begun() {
  ++waits_;
  update_phase();
}

void H2Server::wait_ended() {
  --waits_;
  update_phase();
}

void H2Server::update_phase() {
  const Phase now = phase();
  if (now == told_ || now == Phase::closed) return;
  told_ = now;
  if (now == Phase::waiting) {
    waiting_since_ms_ = runtime_.loop.now_ms();
    progress_mark_ = stream_.received() + stream_.sent();
  }
  owner_.on_connection_phase(*this);
}

// Idle: until the client has been so for too long. Else: a look at everything that waits, now and then.
void H2Server::rearm() {
  const ConnectionLimits& limits = runtime_.limits;
  const int64_t now = runtime_.loop.now_ms();
  int64_t due = 0;
  if (stream_count_ != 0 || blocked()) {
    due = check_ms;
    for (const int64_t limit : {limits.header_ms, limits.body_ms, limits.write_ms}) {
      if (limit > 0) due = std::min(due, limit);
    }
    due += now;
  } else if (const int64_t limit = greeted_ ? limits.idle_ms : limits.header_ms; limit > 0) {
    due = idle_since_ms_ + limit;
  }
  if (goaway_due_ms_ != 0) due = due == 0 ? goaway_due_ms_ : std::min(due, goaway_due_ms_);
  deadline_.set(due);
}

void H2Server::on_deadline() {
  if (state_ == State::lingering) close();
  if (state_ == State::closed) return;
  const int64_t now = runtime_.loop.now_ms();
  const int64_t limit = greeted_ ? runtime_.limits.idle_ms : runtime_.limits.header_ms;
  if (goaway_due_ms_ != 0 && now >= goaway_due_ms_) say_goaway();
  if (stream_count_ != 0 || blocked()) {
    check_streams(now);
  } else if (limit > 0 && now - idle_since_ms_ >= limit) {
    if (greeted_) say_goaway();
    else nghttp2_session_terminate_session(session_, NGHTTP2_SETTINGS_TIMEOUT);
    pump();
    write_out();
  }
  settle();
  if (state_ == State::open) rearm();
}

void H2Server::check_streams(int64_t now) {
  const ConnectionLimits& limits = runtime_.limits;
  if (!blocked() || stream_.sent() != check_mark_) sent_ms_ = now;
  check_mark_ = stream_.sent();
  if (limits.write_ms > 0 && now - sent_ms_ >= limits.write_ms) {
    lost(Ending::client_timeout);
    return;
  }
  if (block_since_ms_ != 0 && limits.header_ms > 0 && now - block_since_ms_ >= limits.header_ms) {
    nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM);
    want_send();
    return;
  }
  for (H2Stream* stream = streams_.front(); stream != nullptr; stream = streams_.next(*stream)) {
    if (stream->overdue(now)) stream->time_out();
  }
}

}  // namespace goma::http
