// SPDX-License-Identifier: Apache-2.0
//
// What is noted beside the entries: who fetches what, and what was purged; and how a zone is. Leases and marks are few
// and looked at when something is not there, so a lock for all of them is cheap enough, and exact.
#include <unistd.h>

#include <algorithm>

#include "core/cache_zone_shared.h"

namespace goma::core {

using cache::Place;
using cache::Record;

// ---------------------------------------------------------------- leases

static bool is_held(const cache::Lease& lease, int64_t now_ms) { return lease.until_ms > now_ms && cache::process_lives(lease.pid); }

bool CacheZone::lease(Key key, int64_t now_ms, int64_t until_ms) {
  const cache::Hold hold(shared_->notes_lock);
  cache::Lease* free = nullptr;
  for (size_t i = 0; i < cache::ways; ++i) {
    cache::Lease& lease = shared_->lease[(key.high + i) % cache::lease_places];
    const bool held = is_held(lease, now_ms);
    if (held && lease.key == key) return false;
    if (!held && free == nullptr) free = &lease;
  }
  if (free != nullptr) *free = {key, until_ms, ::getpid(), 0};  // without a place the caller fetches unnoted
  return true;
}

bool CacheZone::is_leased(Key key, int64_t now_ms) const {
  const cache::Hold hold(shared_->notes_lock);
  for (size_t i = 0; i < cache::ways; ++i) {
    const cache::Lease& lease = shared_->lease[(key.high + i) % cache::lease_places];
    if (lease.key == key && is_held(lease, now_ms)) return true;
  }
  return false;
}

void CacheZone::release(Key key) {
  const cache::Hold hold(shared_->notes_lock);
  for (size_t i = 0; i < cache::ways; ++i) {
    cache::Lease& lease = shared_->lease[(key.high + i) % cache::lease_places];
    if (lease.key == key && lease.pid == ::getpid()) lease = {};
  }
}

// ---------------------------------------------------------------- purging

void CacheZone::purge(Key mark, int64_t at_ms) {
  {
    const cache::Hold hold(shared_->notes_lock);
    for (size_t i = 0; i < cache::ways; ++i) {
      cache::Mark& place = shared_->mark[(mark.high + i) % cache::mark_places];
      if (place.at_ms != 0 && !(place.key == mark) && place.at_ms > shared_->all_purged_ms.load()) continue;
      place = {mark, place.key == mark ? std::max(place.at_ms, at_ms) : at_ms};
      shared_->purged_ms.store(std::max(shared_->purged_ms.load(), at_ms));
      return;
    }
  }
  purge_all(at_ms);
}

void CacheZone::purge_all(int64_t at_ms) {
  const cache::Hold hold(shared_->notes_lock);
  shared_->all_purged_ms.store(std::max(shared_->all_purged_ms.load(), at_ms));
  shared_->purged_ms.store(std::max(shared_->purged_ms.load(), at_ms));
}

int64_t CacheZone::purged_ms() const { return shared_->purged_ms.load(std::memory_order_relaxed); }

bool CacheZone::is_purged(Key mark, int64_t stored_ms) const {
  if (stored_ms < shared_->all_purged_ms.load()) return true;
  const cache::Hold hold(shared_->notes_lock);
  for (size_t i = 0; i < cache::ways; ++i) {
    const cache::Mark& place = shared_->mark[(mark.high + i) % cache::mark_places];
    if (place.key == mark && stored_ms < place.at_ms) return true;
  }
  return false;
}

// ---------------------------------------------------------------- how it is

CacheZone::Usage CacheZone::usage() const {
  Usage usage;
  usage.segments = shared_->segment_count;
  usage.bytes = shared_->segment_count * segment_bytes;
  for (size_t i = 0; i < shared_->segment_count; ++i) {
    usage.used_segments += shared_->segment(i).order.load() != 0 ? 1 : 0;
    usage.pinned_segments += shared_->is_pinned(i) ? 1 : 0;
  }
  auto* cells = shared_->at<std::atomic<uint64_t>>(shared_->cells_at);
  for (size_t i = 0; i < shared_->bucket_count * cache::ways; ++i) {
    const uint64_t cell = cells[i].load();
    const Place place = Place::from(cell);
    if (cell == 0 || !shared_->is_current(place.segment, place.generation)) continue;
    const Record& record = *shared_->record(place);
    ++usage.entries;
    usage.entry_bytes += record.body_bytes + record.head_bytes;
  }
  usage.evicted = shared_->evicted.load();
  usage.carried = shared_->carried.load();
  usage.refused = shared_->refused.load();
  usage.faulty = shared_->faulty.load();
  return usage;
}

CacheZone::Usage CacheZone::verify() {
  auto* cells = shared_->at<std::atomic<uint64_t>>(shared_->cells_at);
  for (size_t i = 0; i < shared_->bucket_count * cache::ways; ++i) {
    uint64_t cell = cells[i].load();
    const Place place = Place::from(cell);
    if (cell == 0 || !shared_->is_current(place.segment, place.generation)) continue;
    const Entry entry = find(shared_->record(place)->key);
    if (!entry) continue;
    const auto& record = *static_cast<const Record*>(entry.record_);
    uint64_t state = 0;
    for (size_t piece = 0; piece < entry.pieces(); ++piece) state = cache::sum(entry.piece(piece).data(), entry.piece(piece).size(), state);
    const uint64_t head = cache::sum(reinterpret_cast<const char*>(record.piece()), record.bytes() - sizeof(Record), record.stamp);
    if (state == record.body_sum && head == record.head_sum) continue;
    shared_->faulty.fetch_add(1);
    cells[i].compare_exchange_strong(cell, 0);
  }
  return usage();
}

}  // namespace goma::core
