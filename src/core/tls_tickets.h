// SPDX-License-Identifier: Apache-2.0
//
// The keys of session tickets (RFC 5077, RFC 8446 4.6.1), shared by all workers through the slab: a client that comes
// back to another worker, after a reload, a crash or an upgrade, resumes.
//
// Three keys: the one that seals, the one before it, which still opens, and the one after it, which opens already.
// Every twelve hours they move up by one; whoever seals a ticket first after that moves them. What a stolen key
// opens is therefore a day old at most.
//
// The invariant: a reader takes keys only from a moment when nobody writes them (a sequence that is odd while they are
// written). A writer that dies with the sequence odd is followed by one that makes all keys anew. Not for threads.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/result.h"
#include "core/slab.h"

struct ssl_ctx_st;
struct ssl_st;
struct evp_cipher_st;
struct evp_cipher_ctx_st;
struct evp_mac_ctx_st;

namespace goma::core {

class TlsTickets {
 public:
  static constexpr int64_t lifetime_s = 12 * 3600;

  // The keys in the slab, made when there are none. Error: exhausted.
  static Result<TlsTickets> open(Slab& slab);
  TlsTickets(TlsTickets&& other) noexcept;
  TlsTickets& operator=(TlsTickets&&) = delete;
  ~TlsTickets();

  // Makes a server's context use these keys. This must outlive the sessions of the context.
  void serve(ssl_ctx_st* context);

  // Moves the keys up when their time has come; now in Unix seconds.
  void rotate_when_due(int64_t now);

 private:
  struct Key {
    std::array<unsigned char, 16> name;
    std::array<unsigned char, 32> cipher;
    std::array<unsigned char, 32> mac;
  };
  static constexpr size_t next = 0, current = 1, previous = 2, key_count = 3;
  static constexpr size_t words = sizeof(Key) * key_count / sizeof(uint64_t);
  static_assert(sizeof(Key) * key_count % sizeof(uint64_t) == 0);
  struct Shared {
    std::atomic<uint64_t> sequence;  // 0: no keys yet
    std::atomic<int64_t> moved;      // Unix seconds
    std::atomic<uint64_t> content[words];
  };
  using Keys = std::array<Key, key_count>;

  TlsTickets(Slab& slab, Shared* shared);
  static int on_ticket(ssl_st* ssl, unsigned char* name, unsigned char* iv, evp_cipher_ctx_st* cipher, evp_mac_ctx_st* mac, int sealing);
  int seal(unsigned char* name, unsigned char* iv, evp_cipher_ctx_st* cipher, evp_mac_ctx_st* mac);
  int unseal(const unsigned char* name, const unsigned char* iv, evp_cipher_ctx_st* cipher, evp_mac_ctx_st* mac);
  bool take();
  void refresh();
  void move_keys(int64_t now);
  void publish(const Keys& keys, int64_t now);
  static bool use(const Key& key, evp_mac_ctx_st* mac);

  Slab* slab_;
  Shared* shared_;
  evp_cipher_st* cipher_;
  Keys keys_{};            // as of sequence_
  uint64_t sequence_ = 0;
};

}  // namespace goma::core
