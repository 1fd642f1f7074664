// SPDX-License-Identifier: Apache-2.0
//
// A stream with TLS inside, both ends of it in one loop over a socket pair: whatever is written arrives, whatever the
// sizes and the pace, and every way a handshake or a connection can end is told apart.
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "core/stream.h"

#include "check.h"

using namespace goma::core;

namespace {

struct FreeContext {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using Context = std::unique_ptr<SSL_CTX, FreeContext>;

EVP_PKEY* make_key() { return EVP_EC_gen("P-256"); }

// A certificate for "a.test", signed by itself.
X509* make_certificate(EVP_PKEY* key) {
  X509* certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("a.test"), -1, -1, 0);
  X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
  X509_set_pubkey(certificate, key);
  X509_EXTENSION* names = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "DNS:a.test,IP:127.0.0.1");
  X509_add_ext(certificate, names, -1);
  X509_EXTENSION_free(names);
  X509_sign(certificate, key, EVP_sha256());
  return certificate;
}

struct Certificate {
  EVP_PKEY* key = make_key();
  X509* x509 = make_certificate(key);
  ~Certificate() {
    X509_free(x509);
    EVP_PKEY_free(key);
  }
};

struct Chooser final : TlsChooser {
  explicit Chooser(const Certificate& certificate, int version = TLS1_3_VERSION) : context(SSL_CTX_new(TLS_server_method())) {
    SSL_CTX_use_certificate(context.get(), certificate.x509);
    SSL_CTX_use_PrivateKey(context.get(), certificate.key);
    SSL_CTX_set_max_proto_version(context.get(), version);
    SSL_CTX_set_num_tickets(context.get(), 1);
    SSL_CTX_set_client_hello_cb(context.get(), &TlsSession::on_hello, nullptr);
    SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS);
  }
  ssl_ctx_st* choose(std::string_view name) const override {
    asked = name;
    return context.get();
  }
  Context context;
  mutable std::string asked;
};

Context client_context(const Certificate* trusted) {
  Context context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  if (trusted != nullptr) X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()), trusted->x509);
  return context;
}

// Two streams that talk to each other.
struct Pair {
  Pair() {
    int ends[2];
    CHECK_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    const int small = 4096;  // so that backlogs happen
    for (const int end : ends) ::setsockopt(end, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    server.adopt(ends[0]);
    client.adopt(ends[1]);
  }
  void secure(const Chooser& chooser, SSL_CTX* context, const std::string& name) {
    server.secure(TlsSession::accept(chooser.context.get(), chooser));
    client.secure(TlsSession::connect(context, name, nullptr));
  }
  // Takes turns until both are done or one has failed.
  bool shake_hands() {
    Stream::Io c = Stream::Io::blocked;
    Stream::Io s = Stream::Io::blocked;
    for (int i = 0; i < 100; ++i) {
      if (c == Stream::Io::blocked) c = client.handshake();
      if (s == Stream::Io::blocked) s = server.handshake();
      if (c == Stream::Io::ok && client.holds()) client.flush();
      // A TLS 1.2 client waits for what the server says last.
      if (s == Stream::Io::ok && server.tls()->version() == "TLSv1.2") server.flush();
      if (client.backlog() != 0) client.flush();
      if (server.backlog() != 0) server.flush();
      if (c == Stream::Io::failed || s == Stream::Io::failed) return false;
      if (c == Stream::Io::ok && s == Stream::Io::ok) return true;
    }
    return false;
  }
  Buffers buffers;
  Stream server{buffers};
  Stream client{buffers};
};

// Reads at one end, with little room, what the other has written and flushes on; what arrived.
std::string carry(Stream& from, Stream& to, size_t wanted, size_t room) {
  std::string arrived;
  std::string into(room, '\0');
  for (int idle = 0; arrived.size() < wanted && idle < 1000; ++idle) {
    if (from.backlog() != 0) from.flush();
    const Stream::Read got = to.read(into.data(), room);
    if (got.state != Stream::Io::ok) continue;
    arrived.append(into, 0, got.n);
    idle = 0;
  }
  return arrived;
}

std::string pattern(size_t n) {
  std::string text(n, '\0');
  for (size_t i = 0; i < n; ++i) text[i] = static_cast<char>(i * 31 + i / 251);
  return text;
}

void carries_every_size() {
  const Certificate certificate;
  const Chooser chooser(certificate);
  const Context context = client_context(&certificate);
  for (const size_t size : {size_t{1}, size_t{100}, size_t{16384}, size_t{16385}, size_t{70'000}, size_t{1'000'000}}) {
    Pair pair;
    pair.secure(chooser, context.get(), "a.test");
    CHECK(pair.shake_hands());
    CHECK_EQ(chooser.asked, std::string("a.test"));
    const std::string data = pattern(size);
    const size_t half = size / 2;
    const iovec pieces[] = {{const_cast<char*>(data.data()), half}, {const_cast<char*>(data.data()) + half, size - half}};
    CHECK(pair.server.write(pieces, 2) != Stream::Io::failed);
    CHECK(carry(pair.server, pair.client, size, 1500) == data);
    CHECK_EQ(pair.server.backlog(), size_t{0});
  }
}

// The ticket of the server waits for its first answer and leaves with it.
void holds_the_end_of_the_handshake_back() {
  const Certificate certificate;
  const Chooser chooser(certificate);
  const Context context = client_context(&certificate);
  Pair pair;
  pair.secure(chooser, context.get(), "a.test");
  CHECK(pair.shake_hands());
  CHECK(pair.server.holds());
  CHECK(pair.server.write("answer") == Stream::Io::ok);
  CHECK(!pair.server.holds());
  CHECK(carry(pair.server, pair.client, 6, 100) == "answer");
}

void refuses_a_wrong_name_and_an_unknown_issuer() {
  const Certificate certificate;
  const Chooser chooser(certificate);
  const Context trusting = client_context(&certificate);
  const Context knowing_nobody = client_context(nullptr);
  Pair wrong_name;
  wrong_name.secure(chooser, trusting.get(), "b.test");
  CHECK(!wrong_name.shake_hands());
  CHECK_EQ(wrong_name.client.tls()->error(), std::string("hostname mismatch"));
  CHECK(wrong_name.server.handshake() == Stream::Io::failed);
  CHECK(!wrong_name.server.tls()->error().empty());
  Pair unknown;
  unknown.secure(chooser, knowing_nobody.get(), "a.test");
  CHECK(!unknown.shake_hands());
  CHECK_EQ(unknown.client.tls()->error(), std::string("self-signed certificate"));
  Pair address;
  address.secure(chooser, trusting.get(), "127.0.0.1");
  CHECK(address.shake_hands());
  CHECK_EQ(chooser.asked, std::string());  // an address is no server name
}

void tells_an_end_from_a_cut() {
  const Certificate certificate;
  const Context context = client_context(&certificate);
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const Chooser chooser(certificate, version);
    char into[100];
    Pair ended;
    ended.secure(chooser, context.get(), "a.test");
    CHECK(ended.shake_hands());
    CHECK(ended.server.write("last") == Stream::Io::ok);
    CHECK(ended.server.shutdown_write());
    const Stream::Read last = ended.client.read(into, sizeof into);
    CHECK_EQ(last.n, size_t{4});
    CHECK(last.more);
    CHECK(ended.client.read(into, sizeof into).state == Stream::Io::eof);
    Pair cut;
    cut.secure(chooser, context.get(), "a.test");
    CHECK(cut.shake_hands());
    cut.server.flush();
    ::shutdown(cut.server.fd(), SHUT_RDWR);
    CHECK(cut.client.read(into, sizeof into).state == Stream::Io::failed);
  }
}

// A server that has given its handshake's memory back goes on as before, also when the client changes keys.
void settles() {
  const Certificate certificate;
  const Context context = client_context(&certificate);
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const Chooser chooser(certificate, version);
    Pair pair;
    pair.secure(chooser, context.get(), "a.test");
    CHECK(pair.shake_hands());
    pair.server.settle();
    for (int i = 0; i < 3; ++i) {
      if (version == TLS1_3_VERSION) SSL_key_update(pair.client.tls()->ssl(), SSL_KEY_UPDATE_REQUESTED);
      const std::string data = pattern(40'000);
      CHECK(pair.client.write(data) != Stream::Io::failed);
      CHECK(carry(pair.client, pair.server, data.size(), 65536) == data);
      CHECK(pair.server.write(data) != Stream::Io::failed);
      CHECK(carry(pair.server, pair.client, data.size(), 65536) == data);
    }
    CHECK(pair.server.shutdown_write());
    char into[100];
    CHECK(pair.client.read(into, sizeof into).state == Stream::Io::eof);
  }
}

// Nothing that is not TLS gets further than its first bytes.
void refuses_what_is_not_tls() {
  const Certificate certificate;
  const Chooser chooser(certificate);
  Pair pair;
  pair.server.secure(TlsSession::accept(chooser.context.get(), chooser));
  CHECK(pair.client.write("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n") == Stream::Io::ok);
  CHECK(pair.server.handshake() == Stream::Io::failed);
  CHECK_EQ(pair.server.tls()->error(), std::string("http request"));
}

void moves_between_owners() {
  const Certificate certificate;
  const Chooser chooser(certificate);
  const Context context = client_context(&certificate);
  Pair pair;
  pair.secure(chooser, context.get(), "a.test");
  CHECK(pair.shake_hands());
  const std::string data = pattern(200'000);
  CHECK(pair.server.write(data) == Stream::Io::blocked);
  Stream owner(pair.buffers);
  owner.take(pair.server);
  CHECK(!pair.server.is_open());
  CHECK(carry(owner, pair.client, data.size(), 65536) == data);
}

// A client that sends the handshake byte by byte.
void survives_single_bytes() {
  const Certificate certificate;
  const Chooser chooser(certificate);
  const Context context = client_context(&certificate);
  Pair front;
  Pair back;
  front.client.secure(TlsSession::connect(context.get(), "a.test", nullptr));
  back.server.secure(TlsSession::accept(chooser.context.get(), chooser));
  Stream::Io client = Stream::Io::blocked;
  Stream::Io server = Stream::Io::blocked;
  const auto relay = [](Stream& from, Stream& to, bool step_by_step, const auto& each) {
    char byte[4096];
    Stream::Read got;
    while ((got = from.read(byte, step_by_step ? 1 : sizeof byte)).state == Stream::Io::ok && got.n != 0) {
      to.write({byte, got.n});
      each();
    }
  };
  for (int i = 0; i < 20 && (client != Stream::Io::ok || server != Stream::Io::ok); ++i) {
    if (client == Stream::Io::blocked) client = front.client.handshake();
    if (client == Stream::Io::ok) front.client.flush();
    relay(front.server, back.client, true, [&] {
      if (server == Stream::Io::blocked) server = back.server.handshake();
    });
    relay(back.client, front.server, false, [] {});
  }
  CHECK(client == Stream::Io::ok);
  CHECK(server == Stream::Io::ok);
}

}  // namespace

GOMA_TESTS(carries_every_size, holds_the_end_of_the_handshake_back, refuses_a_wrong_name_and_an_unknown_issuer, tells_an_end_from_a_cut,
           settles, refuses_what_is_not_tls, moves_between_owners, survives_single_bytes)
