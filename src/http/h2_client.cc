// SPDX-License-Identifier: Apache-2.0
//
// Between the socket and the engine. nghttp2 must not be asked to speak from within its own callbacks; so these only
// note, and whoever fed the engine does the rest.
#include "http/h2_client.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/check.h"
#include "http/runtime.h"

namespace goma::http {

namespace {

constexpr std::string_view rules_broken = "the backend broke the rules of HTTP/2";
// Of a stream whose client takes nothing yet; others get more with their request (H2ClientStream::open_window).
constexpr uint32_t first_window = 4 * 1024;
constexpr int32_t connection_window = 4 * 1024 * 1024;
constexpr size_t write_bytes = 64 * 1024;      // more than this is not gathered
constexpr size_t kept_bytes = 64 * 1024;       // an output buffer that stays between turns
constexpr size_t block_bytes = 4 << 20;        // of our own field blocks: what networking.maxHeaderBytes allows fits
constexpr uint32_t most_streams = 1000;
constexpr int32_t last_numbers = 0x7fff0000;
constexpr size_t least_continuations = 8;

// nghttp2 counts the frames of a field block where it can be told how many: a function that not every version has.
template <class Option>
void allow_long_heads(Option* options, size_t head_bytes) {
  constexpr size_t frame_bytes = 16 * 1024;
  if constexpr (requires { nghttp2_option_set_max_continuations(options, head_bytes); }) {
    nghttp2_option_set_max_continuations(options, head_bytes / frame_bytes + least_continuations);
  }
}

}  // namespace

// ---------------------------------------------------------------- the engine's callbacks

struct H2Client::Callbacks {
  static H2Client& self(void* user) { return *static_cast<H2Client*>(user); }

  static int begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (H2ClientStream* stream = self(user).stream_of(frame->hd.stream_id)) stream->begin_block();
    return 0;
  }

  static int header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                    void* user) {
    H2ClientStream* stream = self(user).stream_of(frame->hd.stream_id);
    if (stream == nullptr) return 0;
    const bool good = stream->field({reinterpret_cast<const char*>(name), name_size}, {reinterpret_cast<const char*>(value), value_size});
    return good ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
  }

  static int invalid_header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t*, size_t, const uint8_t*, size_t, uint8_t, void* user) {
    if (H2ClientStream* stream = self(user).stream_of(frame->hd.stream_id)) stream->malformed();
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }

  static int frame_received(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    H2Client& c = self(user);
    if (frame->hd.type == NGHTTP2_SETTINGS && (frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) c.greeted_ = c.room_ = true;
    if (frame->hd.type == NGHTTP2_GOAWAY) c.leave_ = true;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    H2ClientStream* stream = c.stream_of(frame->hd.stream_id);
    if (stream == nullptr) return 0;
    if (frame->hd.type == NGHTTP2_HEADERS) stream->block_ended();
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) stream->end_seen();
    return 0;
  }

  static int frame_refused(nghttp2_session*, const nghttp2_frame* frame, int, void* user) {
    if (H2ClientStream* stream = self(user).stream_of(frame->hd.stream_id)) stream->malformed();
    return 0;
  }

  static int data(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* bytes, size_t n, void* user) {
    if (H2ClientStream* stream = self(user).stream_of(id)) stream->content({reinterpret_cast<const char*>(bytes), n});
    else nghttp2_session_consume_connection(session, n);
    return 0;
  }

  static int stream_closed(nghttp2_session*, int32_t id, uint32_t code, void* user) {
    if (H2ClientStream* stream = self(user).stream_of(id)) stream->engine_closed(code);
    return 0;
  }

  static int send_data(nghttp2_session*, nghttp2_frame*, const uint8_t* frame_head, size_t n, nghttp2_data_source* source, void* user) {
    constexpr size_t frame_head_bytes = 9;
    H2Client& c = self(user);
    c.out_.append(reinterpret_cast<const char*>(frame_head), frame_head_bytes);
    static_cast<H2ClientStream*>(source->ptr)->take_out(c.out_, n);
    c.full_ = c.out_.size() >= write_bytes;
    return c.full_ ? NGHTTP2_ERR_PAUSE : 0;
  }

  // nghttp2 copies both objects.
  static nghttp2_session* make(H2Client* client) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_option* options = nullptr;
    nghttp2_session* session = nullptr;
    GOMA_CHECK(nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&options) == 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, frame_received);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, frame_refused);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, stream_closed);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, send_data);
    nghttp2_option_set_no_auto_window_update(options, 1);
    allow_long_heads(options, client->pool_.limits().response.head_bytes);
    nghttp2_option_set_max_send_header_block_length(options, block_bytes);
    GOMA_CHECK(nghttp2_session_client_new2(&session, callbacks, client, options) == 0);
    nghttp2_option_del(options);
    nghttp2_session_callbacks_del(callbacks);
    return session;
  }
};

H2ClientStream* H2Client::stream_of(int32_t id) { return static_cast<H2ClientStream*>(nghttp2_session_get_stream_user_data(session_, id)); }

// ---------------------------------------------------------------- the beginning

H2Client::H2Client(Runtime& runtime, PeerPool& pool, core::Stream& dialed)
    : runtime_(runtime), pool_(pool), stream_(runtime.buffers), session_(Callbacks::make(this)) {
  deadline_.bind<&H2Client::on_deadline>(runtime.wheel, this);
  after_.bind<&H2Client::after_callback>(this);
  turn_.bind<&H2Client::end_turn>(this);
  stream_.take(dialed);
}

H2Client::~H2Client() {
  while (H2ClientStream* stream = streams_.pop_front()) std::unique_ptr<H2ClientStream> last(stream);
  nghttp2_session_del(session_);
}

void H2Client::open() {
  const nghttp2_settings_entry entries[] = {
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, first_window},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(pool_.limits().response.head_bytes)},
  };
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, entries, std::size(entries));
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, connection_window);
  want_send();
  stream_.watch<&H2Client::on_ready>(runtime_.loop, this);
  unread_ = true;
  read_input();
  settle();
}

bool H2Client::has_room() const { return state_ == State::open && count_ < limit(); }

// A backend says its limit first of all. What is sent before it is known may be refused, so that is one stream.
size_t H2Client::limit() const {
  if (!greeted_) return 1;
  return std::min(nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS), most_streams);
}

H2ClientStream& H2Client::begin() {
  auto made = std::make_unique<H2ClientStream>(*this);
  H2ClientStream& stream = *made.release();  // owned by the list from here on
  streams_.push_back(stream);
  ++count_;
  if (nghttp2_session_get_next_stream_id(session_) > static_cast<uint32_t>(last_numbers)) leave_ = true;
  return stream;
}

// ---------------------------------------------------------------- reading

void H2Client::on_ready(unsigned ready) {
  stream_.note(ready);
  if ((ready & core::ready_write) && stream_.backlog() != 0) {
    const core::Stream::Io io = stream_.flush();
    if (io == core::Stream::Io::failed) broken_ = true;
    if (io == core::Stream::Io::ok) pump();
  }
  if (ready & (core::ready_read | core::ready_close)) unread_ = true;
  after_callback();
}

void H2Client::read_input() {
  const uint64_t share = stream_.received() + core::Loop::share_of_turn;
  while (unread_ && read_once()) {
    if (stream_.received() < share) continue;
    runtime_.loop.next_turn(after_);
    return;
  }
}

// One receive and what follows. True: try again.
bool H2Client::read_once() {
  if (state_ == State::closed) return false;
  core::BufferPool::Lease block(runtime_.buffers.blocks);
  const core::Stream::Read got = stream_.read(block.data(), block.size());
  if (got.state == core::Stream::Io::ok) {
    unread_ = got.more;
    receive(block.data(), got.n);
    return state_ != State::closed;
  }
  unread_ = false;
  if (got.state == core::Stream::Io::blocked) {
    if (broken_) lost(Failure::Kind::reset, "connection reset");
    return false;
  }
  const bool ended = got.state == core::Stream::Io::eof;
  lost(ended ? Failure::Kind::closed : Failure::Kind::reset, ended ? "connection closed" : "connection reset");
  return false;
}

void H2Client::receive(const char* data, size_t n) {
  receiving_ = true;
  const ssize_t used = nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(data), n);
  receiving_ = false;
  run_work();
  if (used < 0) {
    nghttp2_session_terminate_session(session_, used == NGHTTP2_ERR_FLOODED ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR);
    pump();
    write_out();
    lost(Failure::Kind::bad_http2, rules_broken);
    return;
  }
  if (nghttp2_session_want_write(session_) != 0) want_send();
}

void H2Client::schedule(H2ClientStream& stream) {
  if (!stream.work_hook.linked()) work_.push_back(stream);
  if (!receiving_ && !in_turn_) runtime_.loop.defer(after_);
}

// What is refused with a GOAWAY must not come back to this connection: that is settled before anything is told.
void H2Client::run_work() {
  if (leave_ && state_ == State::open) {
    state_ = State::leaving;
    pool_.leaves(*this);
  }
  while (H2ClientStream* stream = work_.pop_front()) {
    if (!stream->work()) end_stream(*stream);
  }
}

void H2Client::after_callback() {
  run_work();
  read_input();
  settle();
}

// ---------------------------------------------------------------- sending

void H2Client::want_send() {
  if (!in_turn_ && state_ != State::closed) runtime_.loop.at_turn_end(turn_);
}

void H2Client::pump() {
  want_send();
  if (receiving_ || broken_ || state_ == State::closed) return;
  while (stream_.backlog() == 0 && !broken_) {
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

// A backend may answer and close before it has read all: what it said is read before the connection is given up.
void H2Client::write_out() {
  if (out_.empty() || state_ == State::closed) return;
  if (stream_.write(out_) == core::Stream::Io::failed) {
    broken_ = true;
    unread_ = true;
    runtime_.loop.defer(after_);
  }
  out_.clear();
}

// All that this wake-up brought leaves at once.
void H2Client::end_turn() {
  if (state_ == State::closed) return;
  in_turn_ = true;
  do {
    run_work();
    pump();
  } while (!work_.empty() && stream_.backlog() == 0 && !broken_);
  write_out();
  in_turn_ = false;
  if (count_ == 0 || out_.capacity() > kept_bytes) out_ = std::string();
  if (!work_.empty()) runtime_.loop.defer(after_);
  settle();
}

// ---------------------------------------------------------------- the ends

// After anything: may more streams begin, or none any more, or is it over?
void H2Client::settle() {
  run_work();
  if (std::exchange(room_, false) && state_ == State::open) pool_.freed(*this);
  if (state_ == State::leaving && count_ == 0) close();
  if (state_ == State::closed || nghttp2_session_want_read(session_) != 0 || nghttp2_session_want_write(session_) != 0) return;
  lost(Failure::Kind::bad_http2, rules_broken);  // the engine has said so to the backend and is through with it
}

void H2Client::leave() {
  leave_ = true;
  runtime_.loop.defer(after_);
}

void H2Client::end_stream(H2ClientStream& stream) {
  const std::unique_ptr<H2ClientStream> last(&stream);
  stream.hook.unlink();
  --count_;
  if (state_ == State::closed) {
    if (count_ == 0) pool_.gone(*this);
    return;
  }
  room_ = true;
  runtime_.loop.defer(after_);
}

void H2Client::lost(Failure::Kind kind, std::string_view detail) {
  if (state_ == State::closed) return;
  if (state_ == State::open) pool_.leaves(*this);
  state_ = State::closed;
  deadline_.clear();
  turn_.cancel();
  stream_.close();
  if (count_ == 0) {
    pool_.gone(*this);
    return;
  }
  for (H2ClientStream* stream = streams_.front(); stream != nullptr; stream = streams_.next(*stream)) {
    stream->lost(kind, detail);
    schedule(*stream);
  }
}

void H2Client::close() {
  if (state_ == State::closed) return;
  nghttp2_session_terminate_session(session_, NGHTTP2_NO_ERROR);
  pump();
  write_out();
  lost(Failure::Kind::closed, "connection closed");
}

}  // namespace goma::http
