// SPDX-License-Identifier: Apache-2.0
//
// One step after another until a step has to wait.
#include "http/greeting.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "core/log.h"
#include "core/proxy_protocol.h"
#include "http/certificates.h"
#include "http/route_metrics.h"
#include "http/runtime.h"
#include "http/site.h"

namespace goma::http {

namespace {

constexpr int64_t longest_ms = 10'000;
constexpr std::string_view preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr std::string_view plain_http_answer =
    "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
    "Client sent an HTTP request to an HTTPS server.\n";

}  // namespace

Greeting::Greeting(Runtime& runtime, ConnectionOwner& owner, const EntryPoint& entry, const core::Address& peer)
    : runtime_(runtime),
      owner_(owner),
      site_(runtime.site),
      entry_(entry),
      stream_(runtime.buffers),
      since_ms_(runtime.loop.now_ms()) {
  site_->hold();
  arrival_.peer = peer;
  deadline_.bind<&Greeting::on_deadline>(runtime.wheel, this);
  state_ = entry.is_proxy(peer) ? State::proxy : entry.tls ? State::tls : State::preface;
}

Greeting::~Greeting() { site_->release(); }

void Greeting::open(int fd) {
  stream_.adopt(fd);
  const int64_t limit = runtime_.limits.header_ms;
  deadline_.in(limit > 0 ? std::min(limit, longest_ms) : longest_ms);
  owner_.on_connection_phase(*this);
  if (state_ == State::tls) begin_tls();
  advance();
  if (state_ != State::done && state_ != State::closed) stream_.watch<&Greeting::on_ready>(runtime_.loop, this);
}

void Greeting::on_ready(unsigned ready) {
  stream_.note(ready);
  if ((ready & core::ready_write) && stream_.backlog() != 0 && stream_.flush() == core::Stream::Io::failed) {
    close();
    return;
  }
  if (ready & (core::ready_read | core::ready_close)) advance();
}

void Greeting::on_deadline() { refuse("timeout"); }

void Greeting::proceed() { advance(); }

void Greeting::advance() {
  while (step()) {
  }
}

// True: there is a next step to try at once.
bool Greeting::step() {
  switch (state_) {
    case State::proxy: return take_proxy_header();
    case State::tls: return shake_hands();
    case State::preface: return look_for_preface();
    default: return false;
  }
}

bool Greeting::take_proxy_header() {
  char bytes[core::ProxyHeader::max_bytes];
  const ssize_t n = ::recv(stream_.fd(), bytes, sizeof bytes, MSG_PEEK);
  if (n <= 0) {
    if (n == 0 || (errno != EAGAIN && errno != EINTR)) close();
    return false;
  }
  const core::ProxyHeader header = core::read_proxy_header({bytes, static_cast<size_t>(n)});
  if (header.state == core::ProxyHeader::State::more) {
    if (static_cast<size_t>(n) == sizeof bytes || stream_.peer_closed()) refuse("proxy-header");
    return false;
  }
  if (header.state == core::ProxyHeader::State::bad) {
    refuse("proxy-header");
    return false;
  }
  if (::recv(stream_.fd(), bytes, header.length, 0) != static_cast<ssize_t>(header.length)) {
    close();
    return false;
  }
  if (!header.local) arrival_.peer = header.source;
  state_ = entry_.tls ? State::tls : State::preface;
  if (state_ == State::tls) begin_tls();
  return true;
}

// ---------------------------------------------------------------- TLS

void Greeting::begin_tls() {
  const Certificates& certificates = site_->certificates();
  stream_.secure(core::TlsSession::accept(certificates.choose({}), certificates));
}

bool Greeting::shake_hands() {
  if (!stream_.tls()->greeted() && !owner_.may_handshake(*this)) return false;
  switch (stream_.handshake()) {
    case core::Stream::Io::ok: break;
    case core::Stream::Io::blocked: return false;
    default: handshake_failed(); return false;
  }
  const core::TlsSession& session = *stream_.tls();
  http2_ = session.protocol() == "h2";
  arrival_.tls = std::make_unique<TlsFacts>(site_->certificates().facts(session));
  if (runtime_.metrics != nullptr) runtime_.metrics->handshake(arrival_.tls->version, arrival_.tls->resumed);
  stream_.settle();
  greeted();
  return false;
}

void Greeting::handshake_failed() {
  const std::string& error = stream_.tls()->error();
  const bool plain_http = error == "http request";
  if (plain_http) {
    const ssize_t sent = ::send(stream_.fd(), plain_http_answer.data(), plain_http_answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    static_cast<void>(sent);
  }
  if (runtime_.metrics != nullptr) runtime_.metrics->handshake_failed(error);
  const core::log::Level level = plain_http || error == "proxy-header" ? core::log::Level::info : core::log::Level::debug;
  if (core::log::enabled(level)) core::log::write(level, "TLS handshake failed", {{"client", arrival_.peer.ip_text()}, {"reason", error.empty() ? "the client left" : error}});
  close();
}

// ---------------------------------------------------------------- HTTP/2 without TLS

bool Greeting::look_for_preface() {
  if (!entry_.http2) {
    greeted();
    return false;
  }
  char bytes[preface.size()];
  const ssize_t n = ::recv(stream_.fd(), bytes, sizeof bytes, MSG_PEEK);
  if (n <= 0) {
    if (n == 0 || (errno != EAGAIN && errno != EINTR)) close();
    return false;
  }
  const std::string_view begun(bytes, static_cast<size_t>(n));
  if (begun == preface) {
    http2_ = true;
  } else if (preface.starts_with(begun) && !stream_.peer_closed()) {
    return false;
  }
  greeted();
  return false;
}

// ---------------------------------------------------------------- the end

void Greeting::greeted() {
  state_ = State::done;
  deadline_.clear();
  turn_hook.unlink();
  owner_.on_connection_greeted(*this);
}

void Greeting::refuse(std::string_view reason) {
  if (runtime_.metrics != nullptr) runtime_.metrics->handshake_failed(reason);
  core::log::debug("a connection was refused before HTTP", {{"client", arrival_.peer.ip_text()}, {"reason", std::string(reason)}});
  close();
}

void Greeting::drain(bool abruptly) {
  if (abruptly) close();
}

void Greeting::close() {
  if (state_ == State::closed || state_ == State::done) return;
  state_ = State::closed;
  deadline_.clear();
  turn_hook.unlink();
  stream_.close();
  owner_.on_connection_closed(*this);
}

}  // namespace goma::http
