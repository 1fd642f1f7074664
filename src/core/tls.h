// SPDX-License-Identifier: Apache-2.0
//
// One TLS session (RFC 8446, RFC 5246) on OpenSSL, without a socket: sealed bytes come in as a view and go out into a
// buffer, so that a Stream makes one receive and one send of however many records. Contexts (certificates, rules) are
// made in core/tls_context.h; which one serves is chosen by the name in the client's hello.
//
// The invariant: a session owns nothing but its SSL object. Buffers are lent for the length of a call; an idle session
// holds none.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

struct ssl_st;
struct ssl_ctx_st;
struct ssl_session_st;
struct bio_method_st;

namespace goma::core {

class TlsSession;

// Chooses the context for the server name of a client's hello (lower case, empty when it sent none). Never null.
class TlsChooser {
 public:
  virtual ~TlsChooser() = default;
  virtual ssl_ctx_st* choose(std::string_view server_name) const = 0;
};

// The newest session a server gave for one endpoint (RFC 8446 4.6.1): offered with the next connection.
class TlsResumption {
 public:
  TlsResumption() = default;
  TlsResumption(const TlsResumption&) = delete;
  TlsResumption& operator=(const TlsResumption&) = delete;
  ~TlsResumption() { keep(nullptr); }
  // Takes the session.
  void keep(ssl_session_st* session);
  ssl_session_st* latest() const { return latest_; }

 private:
  ssl_session_st* latest_ = nullptr;
};

class TlsSession {
 public:
  enum class Step : unsigned char {
    ok,       // the operation is complete
    starved,  // it needs bytes from the peer
    closed,   // the peer said that it ends (close_notify)
    failed,   // see error()
  };

  // A server's side. The chooser must outlive the handshake, the context need not.
  static std::unique_ptr<TlsSession> accept(ssl_ctx_st* context, const TlsChooser& chooser);
  // A client's side: the name goes into SNI and is what the certificate must be for (an IP address is checked as one
  // and not sent). memory may be null; else it must outlive the session.
  static std::unique_ptr<TlsSession> connect(ssl_ctx_st* context, const std::string& name, TlsResumption* memory);
  // What a client offers by ALPN, each name behind a byte with its length. Requires: before the first handshake step.
  void offer(std::string_view protocols);
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;
  ~TlsSession();

  // Goes on with the handshake; ok when it is complete. `sealed_in` is used up from the front, what must be sent is
  // appended to `sealed_out` (also when it fails: the alert).
  Step handshake(std::string_view& sealed_in, std::string& sealed_out);
  // Opens what fits into room; n is how much (0 unless ok).
  Step open(std::string_view& sealed_in, std::string& sealed_out, char* into, size_t room, size_t& n);
  // Seals data as records of at most 16 KiB. Requires: the handshake is complete.
  bool seal(std::string_view data, std::string& sealed_out);
  // Says that we end (close_notify).
  void end(std::string& sealed_out);

  // Gives back what only the handshake needed, a kibibyte of an idle connection. Requires: established, on a server's
  // side; the facts below have been asked for. Nothing happens before TLS 1.3.
  void settle();

  bool established() const { return established_; }
  // The handshake has come so far that the next step of a server signs.
  bool greeted() const { return greeted_; }
  // The protocol agreed by ALPN (RFC 7301), or empty.
  std::string_view protocol() const;
  std::string_view version() const;  // "TLSv1.3"
  std::string_view cipher() const;
  std::string_view server_name() const { return server_name_; }
  bool resumed() const;
  // The peer has sent close_notify.
  bool peer_ended() const;
  // The context that was chosen.
  ssl_ctx_st* context() const;
  // The subject of the verified certificate of the peer (RFC 2253), or empty.
  std::string peer_subject() const;
  // Why it failed: "certificate has expired", "the peer said: unknown ca", ...
  const std::string& error() const { return error_; }
  ssl_st* ssl() const { return ssl_; }

  // Installed in every server context: reads the name and lets the chooser choose.
  static int on_hello(ssl_st* ssl, int* alert, void* unused);
  // Installed in every client context: keeps what a server gives to come back with.
  static int on_new_session(ssl_st* ssl, ssl_session_st* session);

 private:
  explicit TlsSession(ssl_st* ssl);
  static const bio_method_st* methods();
  Step outcome(int result);
  void fail(int kind);

  ssl_st* ssl_;
  const TlsChooser* chooser_ = nullptr;
  TlsResumption* memory_ = nullptr;
  std::string_view* in_ = nullptr;   // lent for the length of a call
  std::string* out_ = nullptr;
  std::string server_name_;
  std::string error_;
  bool established_ = false;
  bool greeted_ = false;
};

}  // namespace goma::core
