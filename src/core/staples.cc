// SPDX-License-Identifier: Apache-2.0
//
// Open addressing: a search ends at a slot that was never used. Slots are taken over, never emptied, so it may.
#include "core/staples.h"

#include <cstring>

#include "core/check.h"

namespace goma::core {

namespace {

constexpr int reads_in_a_row = 64;

// The mark is never 0.
void read_key(std::string_view fingerprint, uint64_t* key) {
  GOMA_CHECK(fingerprint.size() == 32);
  std::memcpy(key, fingerprint.data(), fingerprint.size());
}

uint64_t mark_of(const uint64_t* key) { return key[0] == 0 ? 1 : key[0]; }

}  // namespace

Result<Staples> Staples::open(Slab& slab) {
  Result<Shared*> shared = slab.zone_of<Shared>("ocsp", "ocsp", 1);
  if (!shared) return shared.error();
  return Staples(slab, shared.value());
}

bool Staples::has_key(const Slot& slot, const uint64_t* key) {
  for (size_t i = 0; i < key_words; ++i) {
    if (slot.key[i].load(std::memory_order_relaxed) != key[i]) return false;
  }
  return true;
}

// ---------------------------------------------------------------- writing

// The slot of the key, else one that nobody needs; capacity when there is none.
size_t Staples::place_for(const uint64_t* key, int64_t now) const {
  const uint64_t mark = mark_of(key);
  size_t free = capacity;
  for (size_t i = 0; i < capacity; ++i) {
    const size_t at = (mark + i) % capacity;
    const uint64_t there = shared_->marks[at].load(std::memory_order_relaxed);
    if (there == mark && has_key(shared_->slots[at], key)) return at;
    const bool needed = there != 0 && shared_->slots[at].until.load(std::memory_order_relaxed) > now;
    if (!needed && free == capacity) free = at;
    if (there == 0) break;
  }
  return free;
}

Result<void> Staples::put(std::string_view fingerprint, const OcspStaple& staple, int64_t now) {
  if (staple.der.size() > max_bytes) return Error{Code::invalid, "the response is too large", 0};
  uint64_t key[key_words];
  uint64_t content[words] = {};
  read_key(fingerprint, key);
  std::memcpy(content, staple.der.data(), staple.der.size());
  const Slab::Lock lock(*slab_);
  const size_t at = place_for(key, now);
  if (at == capacity) return Error{Code::exhausted, "there is no room for further responses", 0};
  Slot& slot = shared_->slots[at];
  const uint64_t sequence = slot.sequence.load(std::memory_order_relaxed) | 1;
  slot.sequence.store(sequence, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  for (size_t i = 0; i < key_words; ++i) slot.key[i].store(key[i], std::memory_order_relaxed);
  slot.until.store(staple.until, std::memory_order_relaxed);
  slot.size.store(staple.der.size(), std::memory_order_relaxed);
  for (size_t i = 0; i < words; ++i) slot.content[i].store(content[i], std::memory_order_relaxed);
  slot.sequence.store(sequence + 1, std::memory_order_release);
  shared_->marks[at].store(mark_of(key), std::memory_order_release);
  return {};
}

// ---------------------------------------------------------------- reading

std::optional<OcspStaple> Staples::find(std::string_view fingerprint, int64_t now) const {
  uint64_t key[key_words];
  read_key(fingerprint, key);
  const uint64_t mark = mark_of(key);
  size_t i = 0;
  const auto at = [&] { return (mark + i) % capacity; };
  for (uint64_t there = 1; i < capacity; ++i) {
    there = shared_->marks[at()].load(std::memory_order_acquire);
    if (there == 0) return std::nullopt;
    if (there == mark && has_key(shared_->slots[at()], key)) break;
  }
  if (i == capacity) return std::nullopt;
  const Slot& slot = shared_->slots[at()];
  for (int attempt = 0; attempt < reads_in_a_row; ++attempt) {
    const uint64_t before = slot.sequence.load(std::memory_order_acquire);
    if (before % 2 != 0) continue;
    uint64_t content[words];
    const bool same = has_key(slot, key);
    const int64_t until = slot.until.load(std::memory_order_relaxed);
    const uint64_t size = slot.size.load(std::memory_order_relaxed);
    for (size_t w = 0; w < words; ++w) content[w] = slot.content[w].load(std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (slot.sequence.load(std::memory_order_relaxed) != before) continue;
    if (!same || size == 0 || size > max_bytes || until <= now) return std::nullopt;
    return OcspStaple{std::string(reinterpret_cast<const char*>(content), size), until};
  }
  return std::nullopt;
}

}  // namespace goma::core
