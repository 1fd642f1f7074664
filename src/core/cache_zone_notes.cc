// SPDX-License-Identifier: Apache-2.0
//
// What is noted beside the entries: who fetches what, and what was purged; and how a zone is. Leases and marks are few
// and changed when something is not there, so a lock for all of them is cheap enough, and exact; marks are read without.
#include <unistd.h>

#include <algorithm>

#include "core/cache_zone_shared.h"

namespace goma::core {

using cache::Place;
using cache::Record;

// ---------------------------------------------------------------- leases

static bool is_held(const cache::Lease& lease, int64_t now_ms) { return lease.until_ms > now_ms && cache::process_lives(lease.pid, lease.started); }

bool CacheZone::lease(Key key, int64_t now_ms, int64_t until_ms) {
  const cache::Hold hold(shared_->notes_lock);
  cache::Lease* free = nullptr;
  for (size_t i = 0; i < cache::ways; ++i) {
    cache::Lease& lease = shared_->lease[(key.high + i) % cache::lease_places];
    const bool held = is_held(lease, now_ms);
    if (held && lease.key == key) return false;
    if (!held && free == nullptr) free = &lease;
  }
  if (free != nullptr) *free = {key, until_ms, shared_->row[self()].started.load(), ::getpid(), 0};  // without a place the caller fetches unnoted
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

// The place of the oldest is taken, which is a free one where there is one.
void cache::MarkGroup::add(uint64_t key, uint64_t number) {
  Mark* place = &mark[0];
  for (Mark& one : mark) {
    if (one.key.load() == key && one.number.load() != 0) {
      place = &one;
      break;
    }
    if (one.number.load() < place->number.load()) place = &one;
  }
  const uint64_t before = place->number.load();
  if (place->key.load() != key || before == 0) {
    floor.store(std::max(floor.load(), before));
    place->key.store(key);
  }
  place->number.store(std::max(before, number));
  newest.store(std::max(newest.load(), number));
}

// The floor is looked at last: a mark that gave way meanwhile has raised it before.
bool cache::MarkGroup::purges(uint64_t key, uint64_t known) const {
  if (known >= newest.load()) return false;
  for (const Mark& one : mark) {
    if (one.key.load() == key && known < one.number.load() && one.key.load() == key) return true;
  }
  return known < floor.load();
}

// Marks are in place before their number is known as the last: who goes by it was asked for after that.
uint64_t CacheZone::purge(Key mark, uint64_t number) {
  const cache::Hold hold(shared_->notes_lock);
  number = shared_->numbered(number);
  shared_->marks_of(mark).add(mark.high, number);
  shared_->last_purge.store(std::max(shared_->last_purge.load(), number));
  return number;
}

uint64_t CacheZone::purge_all(uint64_t number) {
  const cache::Hold hold(shared_->notes_lock);
  number = shared_->numbered(number);
  shared_->all_purged.store(std::max(shared_->all_purged.load(), number));
  shared_->last_purge.store(std::max(shared_->last_purge.load(), number));
  return number;
}

uint64_t CacheZone::last_purge() const { return shared_->last_purge.load(); }

bool CacheZone::is_purged(Key mark, uint64_t known) const {
  return known < shared_->all_purged.load() || shared_->marks_of(mark).purges(mark.high, known);
}

void CacheZone::owe(std::string_view purge, uint64_t number, std::string_view all) {
  const cache::Hold hold(shared_->notes_lock);
  const bool full = shared_->owed_end - shared_->owed_begin == cache::owed_places;
  if (full) shared_->owed_begin = shared_->owed_end;
  const std::string_view text = full || purge.size() > sizeof(cache::Owed::text) ? all : purge;
  cache::Owed& place = shared_->owed[shared_->owed_end % cache::owed_places];
  place.number = number;
  place.bytes = static_cast<uint32_t>(text.copy(place.text, sizeof place.text));
  ++shared_->owed_end;
}

std::optional<CacheZone::Owed> CacheZone::owed() const {
  const cache::Hold hold(shared_->notes_lock);
  if (shared_->owed_begin == shared_->owed_end) return std::nullopt;
  const cache::Owed& place = shared_->owed[shared_->owed_begin % cache::owed_places];
  return Owed{std::string(place.text, place.bytes), place.number, shared_->owed_begin};
}

void CacheZone::paid(const Owed& owed) {
  const cache::Hold hold(shared_->notes_lock);
  if (shared_->owed_begin == owed.turn) ++shared_->owed_begin;
}

// ---------------------------------------------------------------- how it is

CacheZone::Usage CacheZone::usage() const {
  Usage usage;
  usage.segments = shared_->segment_count;
  usage.bytes = shared_->segment_count * segment_bytes;
  const std::array<bool, cache::rows> alive = shared_->living();
  for (size_t i = 0; i < shared_->segment_count; ++i) {
    usage.used_segments += shared_->segment(i).order.load() != 0 ? 1 : 0;
    usage.pinned_segments += shared_->is_pinned(i, alive) ? 1 : 0;
  }
  auto* cells = shared_->at<std::atomic<uint64_t>>(shared_->cells_at);
  for (size_t i = 0; i < shared_->bucket_count * cache::ways; ++i) {
    const uint64_t cell = cells[i].load();
    const Place place = Place::from(cell);
    if (cell == 0 || place.segment >= shared_->segment_count) continue;
    std::atomic<uint32_t>& pinned = shared_->pin(self(), place.segment);
    pinned.fetch_add(1);
    if (shared_->is_current(place.segment, place.generation)) {
      const Record& record = *shared_->record(place);
      ++usage.entries;
      usage.entry_bytes += record.body_bytes + record.head_bytes;
    }
    pinned.fetch_sub(1);
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
    if (cell == 0 || place.segment >= shared_->segment_count) continue;
    shared_->pin(self(), place.segment).fetch_add(1);
    if (!shared_->is_current(place.segment, place.generation)) {
      shared_->pin(self(), place.segment).fetch_sub(1);
      continue;
    }
    const Entry entry = entry_of(cells[i], cell);
    if (!entry) continue;
    const auto& record = *static_cast<const Record*>(entry.record_);
    uint64_t state = 0;
    for (size_t piece = 0; piece < entry.pieces(); ++piece) state = cache::sum(entry.piece(piece).data(), entry.piece(piece).size(), state);
    if (state == record.body_sum) continue;
    if (cells[i].compare_exchange_strong(cell, 0)) shared_->faulty.fetch_add(1);
  }
  return usage();
}

}  // namespace goma::core
