// SPDX-License-Identifier: Apache-2.0
//
// OCSP responses that the manager fetched, shared with all workers through the slab. They outlive the manager and are
// forgotten when they expire.
//
// The one idea: a table of fixed slots, found by the certificate's SHA-256; one writer at a time (the slab's lock),
// readers without one. The invariant: a reader takes a slot only from a moment when nobody wrote it (its sequence is
// odd while it is written). A slot whose writer died is empty until it is written again.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/ocsp.h"
#include "core/result.h"
#include "core/slab.h"

namespace goma::core {

class Staples {
 public:
  static constexpr size_t capacity = 256;
  static constexpr size_t max_bytes = 8192;

  // The table of the slab, made when there is none. Error: exhausted.
  static Result<Staples> open(Slab& slab);

  // Keeps a response until it expires, in place of an older one. fingerprint has 32 bytes. Error: invalid, when it is too large; exhausted,
  // when all slots hold others that have not expired (now in Unix seconds).
  Result<void> put(std::string_view fingerprint, const OcspStaple& staple, int64_t now);
  // A copy of what is kept for a certificate and has not expired. Any thread, any process.
  std::optional<OcspStaple> find(std::string_view fingerprint, int64_t now) const;

 private:
  static constexpr size_t key_words = 4, words = max_bytes / sizeof(uint64_t);
  struct Slot {
    std::atomic<uint64_t> sequence;
    std::atomic<uint64_t> key[key_words];
    std::atomic<int64_t> until;
    std::atomic<uint64_t> size;
    std::atomic<uint64_t> content[words];
  };
  struct Shared {
    // The first word of each slot's key, together so that looking for one touches little; 0: never used.
    std::atomic<uint64_t> marks[capacity];
    Slot slots[capacity];
  };

  Staples(Slab& slab, Shared* shared) : slab_(&slab), shared_(shared) {}
  static bool has_key(const Slot& slot, const uint64_t* key);
  size_t place_for(const uint64_t* key, int64_t now) const;

  Slab* slab_;
  Shared* shared_;
};

}  // namespace goma::core
