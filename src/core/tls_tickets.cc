// SPDX-License-Identifier: Apache-2.0
//
// AES-256-CBC and HMAC-SHA-256, as RFC 5077 4 recommends; the form is OpenSSL's.
#include "core/tls_tickets.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <utility>

#include "core/check.h"

namespace goma::core {

namespace {

constexpr int reads_in_a_row = 64;

// Where a context keeps its TlsTickets.
int place_in_context() {
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

}  // namespace

Result<TlsTickets> TlsTickets::open(Slab& slab) {
  Result<Shared*> shared = slab.zone_of<Shared>("tls-tickets", "tls-tickets", 1);
  if (!shared) return shared.error();
  TlsTickets tickets(slab, shared.value());
  tickets.refresh();
  return tickets;
}

TlsTickets::TlsTickets(Slab& slab, Shared* shared) : slab_(&slab), shared_(shared), cipher_(EVP_CIPHER_fetch(nullptr, "AES-256-CBC", nullptr)) {
  GOMA_CHECK(cipher_ != nullptr);
}

TlsTickets::TlsTickets(TlsTickets&& other) noexcept
    : slab_(other.slab_), shared_(other.shared_), cipher_(std::exchange(other.cipher_, nullptr)), keys_(other.keys_), sequence_(other.sequence_) {}

TlsTickets::~TlsTickets() {
  EVP_CIPHER_free(cipher_);
  OPENSSL_cleanse(&keys_, sizeof keys_);
}

void TlsTickets::serve(SSL_CTX* context) {
  SSL_CTX_set_ex_data(context, place_in_context(), this);
  SSL_CTX_set_tlsext_ticket_key_evp_cb(context, &TlsTickets::on_ticket);
}

// ---------------------------------------------------------------- sharing

// False when somebody was writing.
bool TlsTickets::take() {
  uint64_t content[words];
  const uint64_t before = shared_->sequence.load(std::memory_order_acquire);
  if (before == 0 || before % 2 != 0) return false;
  for (size_t i = 0; i < words; ++i) content[i] = shared_->content[i].load(std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_acquire);
  if (shared_->sequence.load(std::memory_order_relaxed) != before) return false;
  std::memcpy(&keys_, content, sizeof keys_);
  sequence_ = before;
  return true;
}

// Afterwards keys_ are those of the slab.
void TlsTickets::refresh() {
  if (sequence_ != 0 && shared_->sequence.load(std::memory_order_acquire) == sequence_) return;
  for (int i = 0; i < reads_in_a_row; ++i) {
    if (take()) return;
  }
  move_keys(std::time(nullptr));  // there are none yet, or their writer died
}

void TlsTickets::rotate_when_due(int64_t now) {
  const int64_t age = now - shared_->moved.load(std::memory_order_relaxed);
  if (age >= lifetime_s) move_keys(now);
  refresh();
}

void TlsTickets::move_keys(int64_t now) {
  Keys fresh;
  GOMA_CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(&fresh), sizeof fresh) == 1);
  const Slab::Lock lock(*slab_);
  const uint64_t sequence = shared_->sequence.load(std::memory_order_relaxed);
  if (sequence == 0 || sequence % 2 != 0) {
    publish(fresh, now);
  } else {
    GOMA_CHECK(take());  // nobody else writes while the lock is held
    const int64_t age = now - shared_->moved.load(std::memory_order_relaxed);
    if (age < lifetime_s) return;  // somebody was faster
    // After a long rest nothing old is worth keeping.
    if (age < 2 * lifetime_s) {
      fresh[previous] = keys_[current];
      fresh[current] = keys_[next];
    }
    publish(fresh, now);
  }
  OPENSSL_cleanse(&fresh, sizeof fresh);
}

// Requires: the lock.
void TlsTickets::publish(const Keys& keys, int64_t now) {
  uint64_t content[words];
  std::memcpy(content, &keys, sizeof content);
  const uint64_t sequence = shared_->sequence.load(std::memory_order_relaxed) | 1;
  shared_->sequence.store(sequence, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  for (size_t i = 0; i < words; ++i) shared_->content[i].store(content[i], std::memory_order_relaxed);
  shared_->moved.store(now, std::memory_order_relaxed);
  shared_->sequence.store(sequence + 1, std::memory_order_release);
  keys_ = keys;
  sequence_ = sequence + 1;
}

// ---------------------------------------------------------------- sealing

int TlsTickets::on_ticket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, int sealing) {
  auto* tickets = static_cast<TlsTickets*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), place_in_context()));
  tickets->rotate_when_due(std::time(nullptr));
  if (sealing != 0) return tickets->seal(name, iv, cipher, mac);
  const int opened = tickets->unseal(name, iv, cipher, mac);
  // A ticket of TLS 1.3 is good for one connection (RFC 8446 C.4), so who came with one gets the next one.
  return opened == 1 && SSL_version(ssl) == TLS1_3_VERSION ? 2 : opened;
}

bool TlsTickets::use(const Key& key, EVP_MAC_CTX* mac) {
  char digest[] = "SHA256";
  OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, const_cast<unsigned char*>(key.mac.data()), key.mac.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end(),
  };
  return EVP_MAC_CTX_set_params(mac, parameters) == 1;
}

// 1: sealed; -1: failed (OpenSSL's convention).
int TlsTickets::seal(unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac) {
  const Key& key = keys_[current];
  std::copy(key.name.begin(), key.name.end(), name);
  if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(cipher_)) != 1) return -1;
  const bool good = EVP_EncryptInit_ex(cipher, cipher_, nullptr, key.cipher.data(), iv) == 1 && use(key, mac);
  return good ? 1 : -1;
}

// 0: not ours, so the handshake is a full one; 1: opened; 2: opened, but the client should get a newer one.
int TlsTickets::unseal(const unsigned char* name, const unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac) {
  const auto key = std::find_if(keys_.begin(), keys_.end(), [name](const Key& k) { return CRYPTO_memcmp(k.name.data(), name, k.name.size()) == 0; });
  if (key == keys_.end()) return 0;
  if (EVP_DecryptInit_ex(cipher, cipher_, nullptr, key->cipher.data(), iv) != 1 || !use(*key, mac)) return -1;
  return key == keys_.begin() + previous ? 2 : 1;
}

}  // namespace goma::core
