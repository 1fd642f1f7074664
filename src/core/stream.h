// SPDX-License-Identifier: Apache-2.0
//
// A connected socket as a byte stream with back-pressure. Writing sends what the kernel takes and keeps a copy of
// the rest (the backlog); whoever feeds the stream stops while there is a backlog and goes on when it is flushed.
// So a stream never holds more than one read's worth of bytes.
//
// Edge-triggered: after a read that filled the buffer, or one after which the peer may have closed, read again.
//
// With a TLS session (core/tls.h) the same calls carry plain bytes to and fro while sealed ones are on the wire: one
// receive for all records that are there, one send for all records of a write. Whoever speaks over a stream does not
// see a difference, except that sealed bytes cannot be spliced.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/buffer.h"
#include "core/loop.h"
#include "core/tls.h"

namespace goma::core {

class Stream {
 public:
  enum class Io : unsigned char {
    ok,       // bytes moved
    blocked,  // nothing now; an event will come
    eof,      // the peer has ended its direction
    failed,   // the connection is broken; errno says how
  };
  struct Read {
    Io state;
    size_t n = 0;
    bool more = false;  // read again: the kernel may hold more
  };

  explicit Stream(Buffers& buffers) : buffers_(buffers) {}
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() { close(); }

  // Takes the descriptor and watches it: (owner->*Method)(unsigned ready) on every edge.
  template <auto Method, class Owner>
  void open(Loop& loop, int fd, Owner* owner) {
    fd_ = fd;
    peer_closed_ = false;  // said of an earlier descriptor
    watch_.open<Method>(loop, fd, owner);
  }
  // Takes the descriptor without watching it yet (a connection that may end before it ever waits).
  void adopt(int fd) { fd_ = fd; }
  template <auto Method, class Owner>
  void watch(Loop& loop, Owner* owner) {
    if (!watch_.is_open()) watch_.open<Method>(loop, fd_, owner);
  }
  // Takes over the descriptor, the TLS session and the backlog of another stream, which is closed and unwatched then.
  void take(Stream& other);

  // From here on the bytes are sealed. Call handshake until it is ok before anything is read or written.
  void secure(std::unique_ptr<TlsSession> session);
  // ok: complete. blocked: an event will come (call flush too when writable). failed: see tls()->error(); the alert is
  // sent. What this side said last is held back, to leave together with the first write; flush() sends it alone.
  Io handshake();
  // After a server's handshake, when nobody will ask the session for facts any more (TlsSession::settle).
  void settle() { sealed_->session->settle(); }
  // The TLS session, or null.
  const TlsSession* tls() const { return sealed_ ? sealed_->session.get() : nullptr; }
  // Whether the end of a handshake is still held back.
  bool holds() const { return sealed_ && !sealed_->held.empty(); }

  bool is_open() const { return fd_ >= 0; }
  bool is_watched() const { return watch_.is_open(); }
  int fd() const { return fd_; }
  // Notes what an event said about the peer's side; call first in the owner's handler.
  void note(unsigned ready) {
    if (ready & ready_close) peer_closed_ = true;
  }
  bool peer_closed() const { return peer_closed_; }
  // Whether the owner is about to hear of bytes or of the peer's end. No system call.
  bool has_news() const { return (watch_.untold() & (ready_read | ready_close)) != 0; }
  // Whether the connection was reset. A system call: for who does not read and was woken all the same, because libevent
  // reports a reset as readiness, not as the peer's end.
  bool is_broken() const;
  void close();
  // Closes with a reset instead of a regular end, so that the peer cannot take a cut message for a whole one.
  void reset();
  // Ends our direction (FIN) once the backlog is flushed. Returns false when the connection is broken.
  bool shutdown_write();

  Read read(char* into, size_t room);

  // Sends the pieces in order. ok: all gone. blocked: the rest is kept in the backlog. failed: broken.
  Io write(const iovec* pieces, int count);
  Io write(std::string_view data);
  // Tries to send the backlog.
  Io flush();
  // Bytes accepted but not yet taken by the kernel.
  size_t backlog() const { return rest_.size() - rest_sent_ + (pipe_ ? pipe_->inside : 0); }

  // Moves up to max bytes from another stream without copying them to user space. Requires: neither has TLS.
  // ok: moved n (0 < n <= max, all flushed or in the backlog). blocked: nothing to read now, or no room: see backlog().
  Read splice_from(Stream& source, size_t max);

  uint64_t received() const { return received_; }
  uint64_t sent() const { return sent_; }

 private:
  // What a stream with TLS has besides.
  struct Sealed {
    std::unique_ptr<TlsSession> session;
    std::string in;         // received, not yet opened
    std::string held;       // the end of a handshake, waiting for company
    bool filled = false;    // the last receive took all it could: the kernel may hold more
    bool unopened = false;  // in, or the session itself, holds bytes that a read can have without a receive
    bool ended = false;     // our close_notify is out
  };

  Read read_sealed(char* into, size_t room);
  Io write_sealed(const iovec* pieces, int count);
  Io send_sealed();
  void say_end();
  Io keep(const iovec* pieces, int count, size_t skip);
  Io drain_pipe();

  Buffers& buffers_;
  Watch watch_;
  std::string rest_;
  size_t rest_sent_ = 0;
  std::unique_ptr<Pipe> pipe_;
  std::unique_ptr<Sealed> sealed_;
  uint64_t received_ = 0;
  uint64_t sent_ = 0;
  int fd_ = -1;
  bool peer_closed_ = false;
  bool shutdown_wanted_ = false;
};

}  // namespace goma::core
