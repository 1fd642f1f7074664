// SPDX-License-Identifier: Apache-2.0
//
// One address after another, each with its own time.
#include "http/dialer.h"

#include <sys/socket.h>

#include <cerrno>

#include "http/runtime.h"

namespace goma::http {

Dialer::Dialer(Runtime& runtime, PeerPool& pool) : runtime_(runtime), pool_(pool), stream_(runtime.buffers) {
  deadline_.bind<&Dialer::on_deadline>(runtime.wheel, this);
  lookup_.bind<&Dialer::on_resolved>(this);
}

void Dialer::dial() {
  deadline_.in(pool_.limits().connect_ms);
  runtime_.resolver->lookup(pool_.host(), pool_.port(), lookup_);
}

void Dialer::on_resolved(const core::Result<Addresses>& addresses) {
  if (!addresses.ok() || addresses.value().empty()) {
    fail(Failure::Kind::resolve, "the backend's name has no address");
    return;
  }
  addresses_ = addresses.value();
  state_ = State::connecting;
  try_next_address();
}

void Dialer::try_next_address() {
  int why = 0;
  while (next_address_ < addresses_.size()) {
    stream_.close();
    const core::Result<int> opened = core::connect_nonblocking(addresses_[next_address_++]);
    if (opened.ok()) {
      deadline_.in(pool_.limits().connect_ms);
      stream_.open<&Dialer::on_ready>(runtime_.loop, opened.value(), this);
      return;
    }
    why = opened.error().system;
  }
  const bool descriptors = why == EMFILE || why == ENFILE;
  fail(Failure::Kind::connect, descriptors ? "no descriptors left" : "connection refused");
}

void Dialer::on_ready(unsigned ready) {
  stream_.note(ready);
  if (state_ == State::connecting && (ready & (core::ready_write | core::ready_close))) connected();
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
  succeed();
}

void Dialer::on_deadline() {
  if (state_ == State::connecting && next_address_ < addresses_.size()) {
    try_next_address();
    return;
  }
  fail(Failure::Kind::connect_timeout, "the backend did not accept in time");
}

void Dialer::succeed() {
  state_ = State::done;
  deadline_.clear();
  pool_.dialed(*this);
}

void Dialer::fail(Failure::Kind kind, std::string_view detail) {
  close();
  pool_.dial_failed(*this, {kind, false, false, detail});
}

void Dialer::close() {
  state_ = State::done;
  deadline_.clear();
  lookup_.cancel();
  stream_.close();
}

}  // namespace goma::http
