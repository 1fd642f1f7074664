// SPDX-License-Identifier: Apache-2.0
//
// The hash folds sixteen bytes at a time with one wide multiplication. A cell that was never used is 0, seen in second
// 0: older than everything, in no window, and so in need of no rule of its own.
#include "http/visitors.h"

#include <sys/random.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "core/check.h"
#include "core/slab.h"

namespace goma::http {

namespace {

constexpr int attempts = 8;
constexpr int64_t longest_window = UINT32_MAX;

uint32_t seen(uint64_t cell) { return static_cast<uint32_t>(cell); }
uint32_t mark(uint64_t cell) { return static_cast<uint32_t>(cell >> 32); }

uint64_t word(const char* at) {
  uint64_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

uint64_t fold(uint64_t a, uint64_t b) {
  const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint64_t absorb(uint64_t state, std::string_view text, uint64_t key) {
  for (; text.size() > 16; text.remove_prefix(16)) state = fold(word(text.data()) ^ state, word(text.data() + 8) ^ key);
  char last[16] = {};
  text.copy(last, sizeof last);
  return fold(word(last) ^ state, word(last + 8) ^ key);
}

// The sizes go in first, so that no byte can move from one text to the other.
uint64_t hash_of(const uint64_t (&salt)[2], std::string_view ip, std::string_view user_agent) {
  const uint64_t sizes = (uint64_t{ip.size()} << 32) + user_agent.size();
  const uint64_t state = absorb(absorb(salt[0] ^ sizes, ip, salt[1]), user_agent, salt[1]);
  return fold(state ^ salt[1], 0x9e3779b97f4a7c15);
}

}  // namespace

struct alignas(64) Visitors::Bucket {
  std::atomic<uint64_t> cells[bucket_cells];
};

struct Visitors::Shared {
  uint64_t salt[2];
  std::atomic<uint64_t> evicted;
  Bucket buckets[bucket_count];
};

core::Result<Visitors> Visitors::open(core::Slab& slab) {
  static_assert(std::atomic<uint64_t>::is_always_lock_free && sizeof(Bucket) == 64);
  const core::Result<Shared*> zone = slab.zone_of<Shared>("visitors", "visitors", 1);
  if (!zone.ok()) return zone.error();
  Shared& shared = *zone.value();
  const core::Slab::Lock lock(slab);
  if (shared.salt[1] == 0) {
    GOMA_CHECK(::getrandom(shared.salt, sizeof shared.salt, 0) == static_cast<ssize_t>(sizeof shared.salt));
    shared.salt[1] |= 1;  // a key, and the sign that there is a salt
  }
  return Visitors(shared);
}

void Visitors::set_window(int64_t seconds) { window_ = static_cast<uint32_t>(std::clamp(seconds, shortest_window, longest_window)); }

void Visitors::note(std::string_view ip, std::string_view user_agent, int64_t now_s) {
  const uint64_t hash = hash_of(shared_->salt, ip, user_agent);
  const uint64_t wanted = (hash >> 32 << 32) | static_cast<uint32_t>(now_s);
  Bucket& bucket = shared_->buckets[hash % bucket_count];
  for (int i = 0; i < attempts; ++i) {
    if (settle(bucket, wanted)) return;
  }
}

// False when another worker changed the cell meanwhile. A visitor of this second costs no write: the line stays shared.
bool Visitors::settle(Bucket& bucket, uint64_t wanted) {
  constexpr std::memory_order relaxed = std::memory_order_relaxed;
  std::atomic<uint64_t>* oldest = nullptr;
  uint64_t old = UINT64_MAX;
  for (std::atomic<uint64_t>& cell : bucket.cells) {
    uint64_t value = cell.load(relaxed);
    if (mark(value) == mark(wanted)) return seen(value) >= seen(wanted) || cell.compare_exchange_strong(value, wanted, relaxed);
    if (oldest != nullptr && seen(value) >= seen(old)) continue;
    oldest = &cell;
    old = value;
  }
  if (!oldest->compare_exchange_strong(old, wanted, relaxed)) return false;
  if (seen(old) > horizon(seen(wanted))) shared_->evicted.fetch_add(1, relaxed);
  return true;
}

uint64_t Visitors::count(int64_t now_s) const {
  const uint32_t since = horizon(static_cast<uint32_t>(now_s));
  uint64_t distinct = 0;
  for (const Bucket& bucket : shared_->buckets) {
    uint32_t marks[bucket_cells];
    uint32_t* end = marks;
    for (const std::atomic<uint64_t>& cell : bucket.cells) {
      const uint64_t value = cell.load(std::memory_order_relaxed);
      if (seen(value) > since && std::find(marks, end, mark(value)) == end) *end++ = mark(value);
    }
    distinct += static_cast<uint64_t>(end - marks);
  }
  return distinct;
}

uint64_t Visitors::evicted() const { return shared_->evicted.load(std::memory_order_relaxed); }

}  // namespace goma::http
