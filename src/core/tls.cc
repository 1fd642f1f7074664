// SPDX-License-Identifier: Apache-2.0
//
// OpenSSL reads and writes through a BIO of ours whose two ends are the views lent for the call. A read that finds
// nothing asks to be repeated; a write never blocks.
#include "core/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/sslerr.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "core/proxy_protocol.h"
#include "core/socket.h"
#include "core/text.h"

namespace goma::core {

namespace {

constexpr size_t record_bytes = 16 * 1024;
constexpr size_t max_name = 255;

// The server_name extension (RFC 6066 3): a list with one host name. Empty when it is absent or odd.
std::string_view name_in_hello(SSL* ssl) {
  const unsigned char* data = nullptr;
  size_t n = 0;
  if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &data, &n) != 1 || n < 5) return {};
  const size_t list = static_cast<size_t>(data[0]) << 8 | data[1];
  const size_t length = static_cast<size_t>(data[3]) << 8 | data[4];
  if (list + 2 != n || data[2] != TLSEXT_NAMETYPE_host_name || length + 5 > n || length > max_name) return {};
  return {reinterpret_cast<const char*>(data) + 5, length};
}

// The keys of the exchange have done their work: who reads this memory later shall not find them (forward secrecy).
// The session keeps its reference to the object, so the object is emptied.
void forget(EVP_PKEY* key) {
  EVP_PKEY_set_type(key, EVP_PKEY_get_base_id(key));
  EVP_PKEY_free(key);
}

}  // namespace

void TlsResumption::keep(SSL_SESSION* session) {
  SSL_SESSION_free(latest_);
  latest_ = session;
}

// ---------------------------------------------------------------- the two ends

const BIO_METHOD* TlsSession::methods() {
  static const BIO_METHOD* const made = [] {
    BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "goma stream");
    GOMA_CHECK(m != nullptr);
    BIO_meth_set_read(m, [](BIO* bio, char* into, int room) {
      auto* session = static_cast<TlsSession*>(BIO_get_data(bio));
      BIO_clear_retry_flags(bio);
      if (session->in_ == nullptr || session->in_->empty()) {
        BIO_set_retry_read(bio);
        return -1;
      }
      const size_t n = std::min(session->in_->size(), static_cast<size_t>(room));
      std::memcpy(into, session->in_->data(), n);
      session->in_->remove_prefix(n);
      return static_cast<int>(n);
    });
    BIO_meth_set_write(m, [](BIO* bio, const char* data, int n) {
      auto* session = static_cast<TlsSession*>(BIO_get_data(bio));
      BIO_clear_retry_flags(bio);
      session->out_->append(data, static_cast<size_t>(n));
      return n;
    });
    BIO_meth_set_ctrl(m, [](BIO*, int command, long, void*) -> long {
      return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP ? 1 : 0;
    });
    return m;
  }();
  return made;
}

TlsSession::TlsSession(SSL* ssl) : ssl_(ssl) {
  BIO* bio = BIO_new(methods());
  GOMA_CHECK(bio != nullptr);
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_, bio, bio);
  SSL_set_app_data(ssl_, this);
}

TlsSession::~TlsSession() {
  if (established_) SSL_set_shutdown(ssl_, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);  // a cut connection may be resumed
  SSL_free(ssl_);
}

std::unique_ptr<TlsSession> TlsSession::accept(SSL_CTX* context, const TlsChooser& chooser) {
  SSL* ssl = SSL_new(context);
  GOMA_CHECK(ssl != nullptr);
  std::unique_ptr<TlsSession> session(new TlsSession(ssl));
  session->chooser_ = &chooser;
  SSL_set_accept_state(ssl);
  return session;
}

std::unique_ptr<TlsSession> TlsSession::connect(SSL_CTX* context, const std::string& name, TlsResumption* memory) {
  SSL* ssl = SSL_new(context);
  GOMA_CHECK(ssl != nullptr);
  std::unique_ptr<TlsSession> session(new TlsSession(ssl));
  session->server_name_ = name;
  session->memory_ = memory;
  if (Address::parse_ip(name).has_value()) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name.c_str());
  } else {
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    SSL_set1_host(ssl, name.c_str());
    SSL_set_tlsext_host_name(ssl, name.c_str());
  }
  if (memory != nullptr && memory->latest() != nullptr) SSL_set_session(ssl, memory->latest());
  SSL_set_connect_state(ssl);
  return session;
}

void TlsSession::offer(std::string_view protocols) {
  SSL_set_alpn_protos(ssl_, reinterpret_cast<const unsigned char*>(protocols.data()), static_cast<unsigned>(protocols.size()));
}

int TlsSession::on_new_session(SSL* ssl, SSL_SESSION* session) {
  auto* self = static_cast<TlsSession*>(SSL_get_app_data(ssl));
  if (self->memory_ == nullptr) return 0;
  self->memory_->keep(session);
  return 1;  // taken
}

// ---------------------------------------------------------------- choosing

int TlsSession::on_hello(SSL* ssl, int* alert, void*) {
  auto* session = static_cast<TlsSession*>(SSL_get_app_data(ssl));
  session->greeted_ = true;
  const std::string_view name = name_in_hello(ssl);
  if (name.find('\0') != std::string_view::npos) {
    *alert = SSL_AD_ILLEGAL_PARAMETER;
    return SSL_CLIENT_HELLO_ERROR;
  }
  session->server_name_ = to_lower(name);
  if (!session->server_name_.empty() && session->server_name_.back() == '.') session->server_name_.pop_back();
  SSL_CTX* chosen = session->chooser_->choose(session->server_name_);
  // The context brings its certificate; what must hold before resumption is tried has to be copied by hand.
  SSL_set_SSL_CTX(ssl, chosen);
  SSL_set_verify(ssl, SSL_CTX_get_verify_mode(chosen), SSL_CTX_get_verify_callback(chosen));
  SSL_set_options(ssl, SSL_CTX_get_options(chosen));
  return SSL_CLIENT_HELLO_SUCCESS;
}

// ---------------------------------------------------------------- moving bytes

TlsSession::Step TlsSession::outcome(int result) {
  const int kind = SSL_get_error(ssl_, result);
  switch (kind) {
    case SSL_ERROR_NONE: return Step::ok;
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: return Step::starved;
    case SSL_ERROR_ZERO_RETURN: return Step::closed;
    default: fail(kind); return Step::failed;
  }
}

// The last entry of OpenSSL's queue is the nearest cause; the queue is left empty. "tlsv13 alert certificate required" is
// what the peer said.
void TlsSession::fail(int) {
  constexpr std::string_view from_peer = " alert ";
  const unsigned long code = ERR_peek_last_error();
  const char* reason = code != 0 ? ERR_reason_error_string(code) : nullptr;
  error_ = reason != nullptr ? reason : "the connection ended within the TLS handshake";
  if (ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED) error_ = X509_verify_cert_error_string(SSL_get_verify_result(ssl_));
  if (const size_t at = error_.find(from_peer); at != std::string::npos) error_ = "the peer said: " + error_.substr(at + from_peer.size());
  ERR_clear_error();
}

TlsSession::Step TlsSession::handshake(std::string_view& sealed_in, std::string& sealed_out) {
  in_ = &sealed_in;
  out_ = &sealed_out;
  ERR_clear_error();
  const std::string_view first = sealed_in;
  const int result = SSL_do_handshake(ssl_);
  const Step step = result == 1 ? Step::ok : outcome(result);
  if (step == Step::failed && !greeted_ && begins_as_proxy_header(first)) error_ = "proxy-header";
  in_ = nullptr;
  out_ = nullptr;
  established_ = step == Step::ok;
  if (established_) chooser_ = nullptr;
  return step == Step::closed ? Step::failed : step;
}

TlsSession::Step TlsSession::open(std::string_view& sealed_in, std::string& sealed_out, char* into, size_t room, size_t& n) {
  in_ = &sealed_in;
  out_ = &sealed_out;
  n = 0;
  Step step = Step::ok;
  while (n < room) {
    size_t got = 0;
    const int result = SSL_read_ex(ssl_, into + n, room - n, &got);
    n += got;
    if (result == 1) continue;
    step = outcome(result);
    break;
  }
  in_ = nullptr;
  out_ = nullptr;
  return n != 0 && step != Step::failed ? Step::ok : step;
}

bool TlsSession::seal(std::string_view data, std::string& sealed_out) {
  out_ = &sealed_out;
  bool good = true;
  while (!data.empty() && good) {
    const std::string_view record = data.substr(0, record_bytes);
    size_t written = 0;
    good = SSL_write_ex(ssl_, record.data(), record.size(), &written) == 1;
    data.remove_prefix(record.size());
  }
  out_ = nullptr;
  if (!good) fail(SSL_ERROR_SSL);
  return good;
}

void TlsSession::end(std::string& sealed_out) {
  if (!established_) return;
  out_ = &sealed_out;
  SSL_shutdown(ssl_);
  out_ = nullptr;
  ERR_clear_error();
}

// An open TLS 1.3 connection seals and opens without its session and without its context's certificates. The context
// that takes their place must be of the same method, or OpenSSL would begin anew.
void TlsSession::settle() {
  server_name_ = std::string();
  if (SSL_version(ssl_) != TLS1_3_VERSION) return;
  EVP_PKEY* key = nullptr;
  if (SSL_get_tmp_key(ssl_, &key) == 1) forget(key);
  if (SSL_get_peer_tmp_key(ssl_, &key) == 1) forget(key);
  static SSL_CTX* const bare = SSL_CTX_new(SSL_get_ssl_method(ssl_));
  GOMA_CHECK(bare != nullptr && SSL_CTX_get_ssl_method(bare) == SSL_get_ssl_method(ssl_));
  if (SSL_set_SSL_CTX(ssl_, bare) == bare) SSL_set_session(ssl_, nullptr);
}

// ---------------------------------------------------------------- facts

std::string_view TlsSession::protocol() const {
  const unsigned char* name = nullptr;
  unsigned n = 0;
  SSL_get0_alpn_selected(ssl_, &name, &n);
  return {reinterpret_cast<const char*>(name), n};
}

std::string_view TlsSession::version() const { return SSL_get_version(ssl_); }

std::string_view TlsSession::cipher() const { return SSL_get_cipher_name(ssl_); }

bool TlsSession::resumed() const { return SSL_session_reused(ssl_) != 0; }

bool TlsSession::peer_ended() const { return (SSL_get_shutdown(ssl_) & SSL_RECEIVED_SHUTDOWN) != 0; }

SSL_CTX* TlsSession::context() const { return SSL_get_SSL_CTX(ssl_); }

std::string TlsSession::peer_subject() const {
  X509* certificate = SSL_get0_peer_certificate(ssl_);
  if (certificate == nullptr || SSL_get_verify_result(ssl_) != X509_V_OK) return {};
  BIO* text = BIO_new(BIO_s_mem());
  X509_NAME_print_ex(text, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  char* data = nullptr;
  const long n = BIO_get_mem_data(text, &data);
  std::string subject(data, static_cast<size_t>(n));
  BIO_free(text);
  return subject;
}

}  // namespace goma::core
