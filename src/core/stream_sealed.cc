// SPDX-License-Identifier: Apache-2.0
//
// The TLS half of a stream: receives into a lent block and opens records from there, seals into a lent text and
// sends it whole. Nothing stays behind but a partial record.
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/stream.h"

namespace goma::core {

namespace {

constexpr size_t record_bytes = 16 * 1024;

ssize_t receive(int fd, void* into, size_t room) { return ::syscall(SYS_recvfrom, fd, into, room, 0, nullptr, nullptr); }

}  // namespace

void Stream::secure(std::unique_ptr<TlsSession> session) {
  sealed_ = std::make_unique<Sealed>();
  sealed_->session = std::move(session);
}

// Sends what was sealed; what the kernel refuses becomes the backlog.
Stream::Io Stream::send_sealed() {
  std::string& out = buffers_.sealed;
  if (out.empty()) return backlog() != 0 ? Io::blocked : Io::ok;
  if (backlog() != 0) {
    rest_.append(out);
    out.clear();
    return Io::blocked;
  }
  const ssize_t n = ::send(fd_, out.data(), out.size(), MSG_NOSIGNAL);
  Io state = Io::ok;
  if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENOTCONN) {
    state = Io::failed;
  } else {
    const size_t taken = n > 0 ? static_cast<size_t>(n) : 0;
    sent_ += taken;
    if (taken != out.size()) {
      rest_.assign(out, taken);
      state = Io::blocked;
    }
  }
  out.clear();
  return state;
}

Stream::Io Stream::handshake() {
  Sealed& s = *sealed_;
  std::string& out = buffers_.sealed;
  TlsSession::Step step = TlsSession::Step::starved;
  BufferPool::Lease block(buffers_.blocks);
  size_t have = s.in.copy(block.data(), s.in.size());
  s.in.clear();
  for (bool first = true;; first = false) {
    // A client speaks first: its first step needs no bytes.
    const ssize_t n = first && have != 0 ? 0 : receive(fd_, block.data() + have, block.size() - have);
    if (n > 0) {
      received_ += static_cast<uint64_t>(n);
      have += static_cast<size_t>(n);
    }
    const int number = n < 0 ? errno : 0;
    const bool dry = number == EAGAIN || number == EINTR || number == ENOTCONN;
    if ((n < 0 && !dry) || (n == 0 && !(first && have != 0))) return Io::failed;
    std::string_view in(block.data(), have);
    step = s.session->handshake(in, out);
    have = in.size();
    std::memmove(block.data(), in.data(), have);
    if (step != TlsSession::Step::starved || dry) break;
    if (send_sealed() == Io::failed) return Io::failed;
  }
  if (step == TlsSession::Step::ok) {
    s.in.assign(block.data(), have);
    s.unopened = true;
    s.held = std::move(out);
    out = std::string();
    return Io::ok;
  }
  s.in.assign(block.data(), have);
  const Io sent = send_sealed();
  if (step != TlsSession::Step::starved) return Io::failed;
  return sent == Io::failed ? Io::failed : Io::blocked;
}

Stream::Read Stream::read_sealed(char* into, size_t room) {
  Sealed& s = *sealed_;
  bool receive_first = !std::exchange(s.unopened, false);
  if (receive_first && s.session->peer_ended()) return {Io::eof};
  BufferPool::Lease block(buffers_.blocks);
  size_t have = s.in.copy(block.data(), s.in.size());
  s.in.clear();
  while (true) {
    if (receive_first) {
      const ssize_t n = receive(fd_, block.data() + have, block.size() - have);
      if (n <= 0) {
        s.in.assign(block.data(), have);
        if (n == 0) errno = ECONNRESET;  // an end without close_notify may be a cut
        const bool later = n < 0 && (errno == EAGAIN || errno == EINTR);
        return {later ? Io::blocked : Io::failed};
      }
      received_ += static_cast<uint64_t>(n);
      have += static_cast<size_t>(n);
      s.filled = have == block.size();
    }
    receive_first = true;
    size_t opened = 0;
    std::string_view in(block.data(), have);
    const TlsSession::Step step = s.session->open(in, buffers_.sealed, into, room, opened);
    if (!buffers_.sealed.empty() && send_sealed() == Io::failed) return {Io::failed};
    if (opened != 0) {
      s.in.assign(in);
      s.unopened = opened == room;
      return {Io::ok, opened, s.unopened || s.filled || peer_closed_ || s.session->peer_ended()};
    }
    if (step == TlsSession::Step::closed) return {Io::eof};
    if (step == TlsSession::Step::failed) {
      errno = EPROTO;
      return {Io::failed};
    }
    have = in.size();
    std::memmove(block.data(), in.data(), have);
  }
}

// Small pieces share records, large ones are sealed where they lie.
Stream::Io Stream::write_sealed(const iovec* pieces, int count) {
  Sealed& s = *sealed_;
  std::string& out = buffers_.sealed;
  out = std::exchange(s.held, std::string());
  BufferPool::Lease block(buffers_.blocks);
  size_t gathered = 0;
  for (int i = 0; i < count; ++i) {
    std::string_view piece(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
    while (!piece.empty()) {
      if (gathered == 0 && piece.size() >= record_bytes) {
        const size_t whole = piece.size() / record_bytes * record_bytes;
        if (!s.session->seal(piece.substr(0, whole), out)) return Io::failed;
        piece.remove_prefix(whole);
        continue;
      }
      const size_t n = piece.copy(block.data() + gathered, record_bytes - gathered);
      gathered += n;
      piece.remove_prefix(n);
      if (gathered == record_bytes) {
        if (!s.session->seal({block.data(), gathered}, out)) return Io::failed;
        gathered = 0;
      }
    }
  }
  if (gathered != 0 && !s.session->seal({block.data(), gathered}, out)) return Io::failed;
  return send_sealed();
}

void Stream::say_end() {
  Sealed& s = *sealed_;
  if (std::exchange(s.ended, true) || !s.session->established()) return;
  buffers_.sealed = std::exchange(s.held, std::string());
  s.session->end(buffers_.sealed);
  send_sealed();
}

}  // namespace goma::core
