// SPDX-License-Identifier: Apache-2.0
//
// One address after another, each with its own time. A failed handshake is final: another address of the same name is
// expected to have the same certificate.
#include "http/dialer.h"

#include <sys/socket.h>

#include <cerrno>

#include "http/backend_tls.h"
#include "http/runtime.h"

namespace goma::http {

namespace {

bool lacks_means(int number) { return number == EMFILE || number == ENFILE || number == ENOBUFS || number == ENOMEM; }

}  // namespace

Dialer::Dialer(Runtime& runtime, PeerPool& pool, DialPurpose purpose, const core::Address* only) : runtime_(runtime), pool_(pool), stream_(runtime.buffers), purpose_(purpose) {
  deadline_.bind<&Dialer::on_deadline>(runtime.wheel, this);
  lookup_.bind<&Dialer::on_resolved>(this);
  if (only != nullptr) addresses_ = {*only};
}

void Dialer::dial() {
  deadline_.in(pool_.limits().connect_ms);
  if (addresses_.empty()) return runtime_.resolver->lookup(pool_.host(), pool_.port(), lookup_);
  state_ = State::connecting;
  try_next_address();
}

void Dialer::on_resolved(const core::Result<Addresses>& addresses) {
  if (!addresses.ok() || addresses.value().empty()) {
    fail(Failure::Kind::resolve, "the backend's name has no address");
    return;
  }
  addresses_ = addresses.value();
  pool_.addresses().sort(addresses_, runtime_.loop.now_ms());
  state_ = State::connecting;
  try_next_address();
}

void Dialer::try_next_address() {
  note_failed();
  while (next_address_ < addresses_.size()) {
    stream_.close();
    address = addresses_[next_address_++];
    const core::Result<int> opened = core::connect_nonblocking(address);
    if (opened.ok()) {
      deadline_.in(pool_.limits().connect_ms);
      stream_.open<&Dialer::on_ready>(runtime_.loop, opened.value(), this);
      return;
    }
    if (lacks_means(opened.error().system)) {  // of no address's making, and no better at the next one
      fail(Failure::Kind::exhausted, opened.error().text);
      return;
    }
    note_failed();
  }
  fail(Failure::Kind::connect, "connection refused");
}

void Dialer::note_failed() {
  if (address.family() != core::Address::Family::none) pool_.addresses().failed(address, runtime_.loop.now_ms());
}

void Dialer::on_ready(unsigned ready) {
  stream_.note(ready);
  if (state_ == State::connecting) {
    if (ready & (core::ready_write | core::ready_close)) connected();
    return;
  }
  if (state_ != State::securing) return;
  if ((ready & core::ready_write) && stream_.backlog() != 0) stream_.flush();  // a broken stream shows in the handshake
  if (ready & (core::ready_read | core::ready_close)) shake_hands();
}

void Dialer::connected() {
  int error = 0;
  socklen_t length = sizeof error;
  ::getsockopt(stream_.fd(), SOL_SOCKET, SO_ERROR, &error, &length);
  if (error == EINPROGRESS || error == EALREADY) return;
  if (error != 0) {
    try_next_address();
    return;
  }
  if (pool_.tls() != nullptr) {
    begin_tls();
  } else {
    http2_ = pool_.protocol() == BackendProtocol::h2c;
    succeed();
  }
}

void Dialer::begin_tls() {
  const BackendTls& tls = *pool_.tls();
  std::string name = tls.server_name.empty() ? pool_.host() : tls.server_name;
  if (name.size() > 2 && name.front() == '[') name = name.substr(1, name.size() - 2);
  if (!name.empty() && name.back() == '.') name.pop_back();
  std::unique_ptr<core::TlsSession> session = core::TlsSession::connect(tls.context->get(), name, &pool_.resumption());
  session->offer(pool_.offers_http2() ? "\x02h2\x08http/1.1" : "\x08http/1.1");
  stream_.secure(std::move(session));
  state_ = State::securing;
  const int64_t limit = pool_.limits().handshake_ms;
  deadline_.in(limit > 0 ? limit : pool_.limits().connect_ms);
  shake_hands();
}

void Dialer::shake_hands() {
  switch (stream_.handshake()) {
    case core::Stream::Io::ok: break;
    case core::Stream::Io::blocked: return;
    default:
      reason_ = stream_.tls()->error().empty() ? "the connection ended within the TLS handshake" : stream_.tls()->error();
      fail(Failure::Kind::tls, reason_);
      return;
  }
  http2_ = stream_.tls()->protocol() == "h2";
  succeed();
}

void Dialer::on_deadline() {
  if (state_ == State::connecting && next_address_ < addresses_.size()) {
    try_next_address();
    return;
  }
  const bool securing = state_ == State::securing;
  note_failed();
  fail(Failure::Kind::connect_timeout, securing ? "the TLS handshake took too long" : "the backend did not accept in time");
}

void Dialer::succeed() {
  state_ = State::done;
  deadline_.clear();
  pool_.dialed(*this);
}

void Dialer::fail(Failure::Kind kind, std::string_view detail) {
  close();
  pool_.dial_failed(*this, {.kind = kind, .detail = detail});
}

void Dialer::close() {
  state_ = State::done;
  deadline_.clear();
  lookup_.cancel();
  stream_.close();
}

}  // namespace goma::http
