// SPDX-License-Identifier: Apache-2.0
//
// A cell that was never used is 0, seen in second 0: older than everything, in no window, and so in need of no rule
// of its own.
#include "http/visitors.h"

#include <algorithm>
#include <atomic>

#include "core/check.h"
#include "core/keyed_hash.h"
#include "core/slab.h"

namespace goma::http {

namespace {

constexpr int attempts = 8;
constexpr int64_t longest_window = UINT32_MAX;

uint32_t seen(uint64_t cell) { return static_cast<uint32_t>(cell); }
uint32_t mark(uint64_t cell) { return static_cast<uint32_t>(cell >> 32); }

}  // namespace

struct alignas(64) Visitors::Bucket {
  std::atomic<uint64_t> cells[bucket_cells];
};

struct Visitors::Shared {
  core::KeyedHash hash;
  std::atomic<uint64_t> evicted;
  Bucket buckets[bucket_count];
};

core::Result<Visitors> Visitors::open(core::Slab& slab) {
  static_assert(std::atomic<uint64_t>::is_always_lock_free && sizeof(Bucket) == 64);
  const core::Result<Shared*> zone = slab.zone_of<Shared>("visitors", "visitors", 1);
  if (!zone.ok()) return zone.error();
  Shared& shared = *zone.value();
  const core::Slab::Lock lock(slab);
  if (!shared.hash.has_secret()) GOMA_CHECK(shared.hash.make_secret());
  return Visitors(shared);
}

void Visitors::set_window(int64_t seconds) { window_ = static_cast<uint32_t>(std::clamp(seconds, shortest_window, longest_window)); }

void Visitors::note(std::string_view ip, std::string_view user_agent, int64_t now_s) {
  const uint64_t hash = shared_->hash(ip, user_agent);
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
