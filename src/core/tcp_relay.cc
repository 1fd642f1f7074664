// SPDX-License-Identifier: Apache-2.0
//
// Connecting, and moving bytes.
#include "core/tcp_relay.h"

#include <sys/socket.h>

#include <cerrno>

namespace goma::core {

namespace {

// A turn: what one direction may move before somebody else is served.
constexpr size_t turn_bytes = 4 * 1024 * 1024;
// Splices below this cost more than copies.
constexpr size_t least_splice = 16 * 1024;
constexpr int64_t check_ms = 200;

int pending_error(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
  return error;
}

bool out_of_descriptors(int number) { return number == EMFILE || number == ENFILE; }

std::string_view reason_of(int number) {
  if (out_of_descriptors(number)) return "descriptors";
  if (number == ECONNREFUSED) return "refused";
  return number == ETIMEDOUT ? "timeout" : "unreachable";
}

}  // namespace

TcpRelays::TcpRelays(Loop& l, DeadlineWheel& w, Buffers& b, Resolver& r, Metrics& m) : loop(l), wheel(w), buffers(b), resolver(r), metrics(m) {
  next_turn_.bind<&TcpRelays::take_turns>(loop, this);
  next_check_.bind<&TcpRelays::check>(loop, this);
}

void TcpRelays::check() {
  List<TcpRelay, &TcpRelay::check_hook> now;
  now.take(unchecked_);
  while (TcpRelay* relay = now.pop_front()) relay->proceed();
}

void TcpRelays::take_turns() {
  List<TcpRelay, &TcpRelay::turn_hook> now;
  now.take(hungry_);
  while (TcpRelay* relay = now.pop_front()) relay->proceed();
}

std::string_view TcpRelay::name(End end) {
  static constexpr std::string_view names[] = {"", "complete", "client-lost", "target-lost", "unreachable", "idle", "refused", "stopped"};
  return names[static_cast<size_t>(end)];
}

TcpRelay::TcpRelay(TcpRelays& shared, TcpRelayOwner& owner, const Options& options)
    : shared_(shared),
      owner_(owner),
      options_(options),
      client_(shared.buffers),
      target_(shared.buffers),
      up_{client_, target_, options.from_client, End::client_lost, End::target_lost},
      down_{target_, client_, options.from_target, End::target_lost, End::client_lost} {
  deadline_.bind<&TcpRelay::on_deadline>(shared.wheel, this);
  lookup_.bind<&TcpRelay::on_resolved>(this);
}

void TcpRelay::wait_for_client(int fd, int64_t limit_ms) {
  client_.open<&TcpRelay::on_client>(shared_.loop, fd, this);
  deadline_.in(limit_ms);
}

void TcpRelay::open(int fd) {
  client_.open<&TcpRelay::on_client>(shared_.loop, fd, this);
  connect();
}

void TcpRelay::end(End how) {
  if (state_ == State::over) return;
  state_ = State::over;
  how_ = how;
  deadline_.clear();
  lookup_.cancel();
  turn_hook.unlink();
  check_hook.unlink();
  addresses_ = Resolver::Addresses();
  if (how == End::client_lost) target_.reset();
  if (how == End::target_lost) client_.reset();
  client_.close();
  target_.close();
  owner_.on_relay_over(*this);
}

// ---------------------------------------------------------------- connecting

void TcpRelay::connect() {
  GOMA_CHECK(state_ == State::waiting);
  state_ = State::connecting;
  try_target();
}

void TcpRelay::try_target() {
  const RelayTarget* target = owner_.next_target(*this);
  if (target == nullptr) {
    end(End::unreachable);
    return;
  }
  next_address_ = 0;
  addresses_.clear();
  deadline_.in(options_.connect_ms);
  shared_.resolver.lookup(target->host, target->port, lookup_);
}

void TcpRelay::on_resolved(const Result<Resolver::Addresses>& addresses) {
  if (!addresses.ok() || addresses.value().empty()) {
    target_failed("resolve");
    return;
  }
  addresses_ = addresses.value();
  try_address();
}

// The addresses of a target share its time.
void TcpRelay::try_address() {
  target_.close();
  int why = 0;
  while (next_address_ < addresses_.size()) {
    const Result<int> opened = connect_nonblocking(addresses_[next_address_++]);
    if (opened.ok()) {
      target_.open<&TcpRelay::on_target>(shared_.loop, opened.value(), this);
      return;
    }
    why = opened.error().system;
  }
  target_failed(reason_of(why));
}

void TcpRelay::target_failed(std::string_view reason) {
  target_.close();
  owner_.on_target_failed(*this, reason);
  if (state_ == State::connecting) try_target();
}

void TcpRelay::connect_done(unsigned ready) {
  const int error = pending_error(target_.fd());
  if (error == EINPROGRESS || error == EALREADY) return;
  if (error != 0) {
    if (next_address_ < addresses_.size()) return try_address();
    return target_failed(reason_of(error));
  }
  state_ = State::moving;
  addresses_ = Resolver::Addresses();
  deadline_.clear();
  deadline_.in(options_.idle_ms);
  const std::string first = owner_.opening(*this);
  if (!first.empty() && target_.write(first) == Stream::Io::failed) return end(End::target_lost);
  if (pump(up_) && (ready & (ready_read | ready_close))) pump(down_);
}

// ---------------------------------------------------------------- events

void TcpRelay::on_client(unsigned ready) {
  client_.note(ready);
  switch (state_) {
    case State::waiting:
      if (ready & (ready_read | ready_close)) owner_.on_client_bytes(*this, false);
      return;
    case State::connecting:
      if (pending_error(client_.fd()) != 0) end(End::client_lost);
      return;
    case State::moving: return serve(up_, down_, ready);
    case State::over: return;
  }
}

void TcpRelay::on_target(unsigned ready) {
  target_.note(ready);
  if (state_ == State::connecting) return connect_done(ready);
  if (state_ == State::moving) serve(down_, up_, ready);
}

void TcpRelay::on_deadline() {
  switch (state_) {
    case State::waiting: return owner_.on_client_bytes(*this, true);
    case State::connecting: return lookup_.cancel(), target_failed("timeout");
    case State::moving: return end(End::idle);
    case State::over: return;
  }
}

// An event of the stream that one direction reads and the other writes.
void TcpRelay::serve(Way& from_it, Way& to_it, unsigned ready) {
  Stream& stream = from_it.from;
  if ((ready & ready_write) && stream.backlog() != 0) {
    const size_t before = stream.backlog();
    if (stream.flush() == Stream::Io::failed) return end(from_it.from_lost);
    if (stream.backlog() < before) deadline_.in(options_.idle_ms);
    if (stream.backlog() == 0 && !pump(to_it)) return;
  }
  if (from_it.to.backlog() != 0) {  // it cannot be read now, and a reset must not go unseen
    if (pending_error(stream.fd()) != 0) end(from_it.from_lost);
    return;
  }
  if (ready & (ready_read | ready_close)) pump(from_it);
}

void TcpRelay::proceed() {
  if (state_ != State::moving) return;
  if (pump(up_)) pump(down_);
}

void TcpRelay::want_turn() {
  if (!turn_hook.linked()) shared_.hungry_.push_back(*this);
  if (!shared_.next_turn_.running()) shared_.next_turn_.start(0);
}

void TcpRelay::want_check() {
  if (!check_hook.linked()) shared_.unchecked_.push_back(*this);
  if (!shared_.next_check_.running()) shared_.next_check_.start(check_ms);
}

// ---------------------------------------------------------------- moving

// Moves what there is, for one turn. False: the relay is over.
bool TcpRelay::pump(Way& way) {
  const uint64_t begun = way.from.received();
  while (!way.ended && way.to.backlog() == 0 && move_some(way)) {
    if (way.from.received() - begun < turn_bytes) continue;
    want_turn();
    break;
  }
  if (state_ == State::over) return false;
  const uint64_t moved = way.from.received() - begun;
  if (moved != 0) {
    shared_.metrics.add(way.bytes, moved);
    deadline_.in(options_.idle_ms);
  }
  if (!up_.ended || !down_.ended || client_.backlog() != 0 || target_.backlog() != 0) return true;
  end(End::complete);
  return false;
}

// One read and one write. True: there may be more.
bool TcpRelay::move_some(Way& way) {
  const Stream::Read got = way.bulk ? splice_some(way) : copy_some(way);
  if (state_ == State::over) return false;
  switch (got.state) {
    case Stream::Io::ok: break;
    case Stream::Io::blocked: return false;
    case Stream::Io::eof: sender_ended(way); return false;
    case Stream::Io::failed: end(way.from_lost); return false;
  }
  way.bulk = got.n >= (way.bulk ? least_splice : BufferPool::block_size);
  if (!got.more) want_check();
  return got.more;
}

// Without descriptors for a pipe it is copied.
Stream::Read TcpRelay::splice_some(Way& way) {
  const Stream::Read got = way.to.splice_from(way.from, Pipe::capacity);
  if (got.state != Stream::Io::failed) return got;
  if (way.to.backlog() != 0) end(way.to_lost);
  if (state_ != State::over && out_of_descriptors(errno)) return copy_some(way);
  return got;
}

Stream::Read TcpRelay::copy_some(Way& way) {
  BufferPool::Lease block(shared_.buffers.blocks);
  const Stream::Read got = way.from.read(block.data(), block.size());
  if (got.state != Stream::Io::ok || got.n == 0) return got;
  if (way.to.write({block.data(), got.n}) == Stream::Io::failed) end(way.to_lost);
  return got;
}

void TcpRelay::sender_ended(Way& way) {
  way.ended = true;
  if (!way.to.shutdown_write()) end(way.to_lost);
}

}  // namespace goma::core
