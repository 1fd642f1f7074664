// SPDX-License-Identifier: Apache-2.0
//
// Finding a cell, changing it, making room. A value that has two parts is packed: a count is 34 bits of its end, in
// tenths of a second, and 30 bits of number.
#include "core/limit_zone.h"

#include <algorithm>

#include "core/check.h"
#include "core/keyed_hash.h"
#include "core/slab.h"

namespace goma::core {

namespace {

constexpr int64_t tenth_ns = 100'000'000;
constexpr uint64_t count_mask = LimitZone::max_count;

constexpr std::string_view zone_name = "limits";
constexpr size_t regions = 4096;  // parts of a zone of which it is known whether they were ever used

uint64_t pack(uint32_t count, int64_t until_ns) {
  return (static_cast<uint64_t>((until_ns + tenth_ns - 1) / tenth_ns) << 30) | (count & count_mask);
}
int64_t until_of(uint64_t value) { return static_cast<int64_t>(value >> 30) * tenth_ns; }
uint32_t count_of(uint64_t value) { return static_cast<uint32_t>(value & count_mask); }

// Sixteen bytes at once. std::atomic might take a lock for them, and that of this process alone; and the instruction
// that every x86-64 processor but the first few has is not in the compilers' default set.
bool swap_wide(unsigned __int128* at, unsigned __int128 from, unsigned __int128 to) {
#ifdef __x86_64__
  bool same;
  auto low = static_cast<uint64_t>(from);
  auto high = static_cast<uint64_t>(from >> 64);
  asm volatile("lock cmpxchg16b %[at]"
               : "=@ccz"(same), [at] "+m"(*at), "+a"(low), "+d"(high)
               : "b"(static_cast<uint64_t>(to)), "c"(static_cast<uint64_t>(to >> 64))
               : "memory");
  return same;
#else
  return __sync_bool_compare_and_swap(at, from, to);
#endif
}

}  // namespace

struct LimitZone::Shared {
  KeyedHash hash;
  uint64_t evicted;
  uint64_t crowded;
  uint8_t used[regions];  // so that who only looks touches no memory
};

Result<LimitZone> LimitZone::open(Slab& slab, size_t bytes) {
  static_assert(sizeof(Cell) == 16 && sizeof(Bucket) == bucket_cells * sizeof(Cell));
  constexpr size_t head = (sizeof(Shared) + sizeof(Bucket) - 1) / sizeof(Bucket) * sizeof(Bucket);
  slab.each_zone([&](std::string_view name, size_t there) { bytes = name == zone_name ? there : bytes; });
  Result<Slab::Zone> zone = slab.zone(zone_name, "limits", 2, std::max(bytes, 2 * head));
  if (!zone.ok()) return zone.error();
  auto* shared = static_cast<Shared*>(zone.value().memory);
  {
    const Slab::Lock lock(slab);
    if (!shared->hash.has_secret()) GOMA_CHECK(shared->hash.make_secret());
  }
  auto* buckets = reinterpret_cast<Bucket*>(static_cast<char*>(zone.value().memory) + head);
  return LimitZone(*shared, buckets, (zone.value().bytes - head) / sizeof(Bucket), zone.value().bytes);
}

uint64_t LimitZone::id(std::string_view first, std::string_view second, uint64_t seed) const {
  return shared_->hash(first, second, seed);
}

// ---------------------------------------------------------------- cells

int64_t LimitZone::end_of(const Cell& cell) {
  if (cell.key == 0) return 0;
  return static_cast<Kind>(cell.key & 3) == Kind::count ? until_of(cell.value) : static_cast<int64_t>(cell.value);
}

bool LimitZone::is_ban(const Cell& cell, int64_t now_ns) {
  return static_cast<Kind>(cell.key & 3) == Kind::ban && end_of(cell) > now_ns;
}

// Two loads: the key is looked at again, so that a value is never taken for another key's.
LimitZone::Cell LimitZone::load(const Cell& cell) {
  while (true) {
    const uint64_t key = __atomic_load_n(&cell.key, __ATOMIC_ACQUIRE);
    const uint64_t value = __atomic_load_n(&cell.value, __ATOMIC_ACQUIRE);
    if (__atomic_load_n(&cell.key, __ATOMIC_ACQUIRE) == key) return {key, value};
  }
}

bool LimitZone::swap(Cell& cell, const Cell& from, const Cell& to) {
  const auto wide = [](const Cell& c) { return (static_cast<unsigned __int128>(c.value) << 64) | c.key; };
  return swap_wide(reinterpret_cast<unsigned __int128*>(&cell), wide(from), wide(to));
}

size_t LimitZone::index_of(uint64_t key) const {
  return static_cast<size_t>((static_cast<unsigned __int128>(key) * bucket_count_) >> 64);
}

size_t LimitZone::region_of(size_t index) const { return index * regions / bucket_count_; }

// The value of a key; 0 when it has no cell.
uint64_t LimitZone::find(uint64_t key) const {
  for (const Cell& cell : bucket(key).cells) {
    if (__atomic_load_n(&cell.key, __ATOMIC_RELAXED) != key) continue;
    const Cell now = load(cell);
    if (now.key == key) return now.value;
  }
  return 0;
}

// The cell that matters for the shortest time; null when all hold bans. The choice depends on the cells alone, not on
// the time, so that two workers with new keys choose the same one and only one of them succeeds.
LimitZone::Cell* LimitZone::room(Bucket& bucket, int64_t now_ns, Cell& was) {
  Cell* chosen = nullptr;
  for (Cell& cell : bucket.cells) {
    const Cell now = load(cell);
    if (is_ban(now, now_ns) || (chosen != nullptr && end_of(now) >= end_of(was))) continue;
    chosen = &cell;
    was = now;
  }
  return chosen;
}

// Makes a proposal the cell of its key. False: there is another one, or somebody took the proposal away; it is gone then.
// A proposal that a killed worker left is taken away by whoever meets its key next, or ends with its time.
bool LimitZone::establish(Bucket& bucket, Cell& cell, const Cell& proposal) {
  const uint64_t key = proposal.key & ~proposed;
  for (Cell& other : bucket.cells) {
    if (&other == &cell) continue;
    Cell now = load(other);
    while (now.key == proposal.key && !swap(other, now, Cell{})) now = load(other);
    if (now.key != key) continue;
    swap(cell, proposal, Cell{});
    return false;
  }
  return swap(cell, proposal, {key, proposal.value});
}

// change(old) -> the new value, or nothing to leave everything as it is; old is 0 for a key without a cell. Called
// again when another worker was faster.
template <class Change>
void LimitZone::update(uint64_t key, int64_t now_ns, Change change) {
  Bucket& home = bucket(key);
  while (true) {
    Cell* cell = nullptr;
    Cell was{};
    for (Cell& candidate : home.cells) {
      if (__atomic_load_n(&candidate.key, __ATOMIC_RELAXED) != key) continue;
      was = load(candidate);
      if (was.key == key) cell = &candidate;
      break;
    }
    const bool known = cell != nullptr;
    const std::optional<uint64_t> value = change(known ? was.value : 0);
    if (!value) return;
    if (!known) cell = room(home, now_ns, was);
    if (cell == nullptr) {
      __atomic_fetch_add(&shared_->crowded, 1, __ATOMIC_RELAXED);
      return;
    }
    const Cell wanted{*value == 0 ? 0 : known ? key : key | proposed, *value};
    uint8_t& used = shared_->used[region_of(index_of(key))];
    if (!known && __atomic_load_n(&used, __ATOMIC_RELAXED) == 0) __atomic_store_n(&used, 1, __ATOMIC_RELAXED);
    if (!swap(*cell, was, wanted)) continue;
    if (known || *value == 0) return;
    if (!establish(home, *cell, wanted)) continue;
    if (end_of(was) > now_ns) __atomic_fetch_add(&shared_->evicted, 1, __ATOMIC_RELAXED);
    return;
  }
}

// ---------------------------------------------------------------- what the cells mean

LimitZone::Level LimitZone::take(uint64_t id, int64_t now_ns, int64_t interval_ns, int64_t capacity_ns) {
  Level level;
  update(key_of(id, Kind::level), now_ns, [&](uint64_t old) -> std::optional<uint64_t> {
    const int64_t full_at = std::max(static_cast<int64_t>(old), now_ns);
    level.taken = full_at + interval_ns - now_ns <= capacity_ns;
    level.debt_ns = full_at - now_ns + (level.taken ? interval_ns : 0);
    if (!level.taken) return std::nullopt;
    return static_cast<uint64_t>(full_at + interval_ns);
  });
  return level;
}

void LimitZone::raise(uint64_t id, int64_t now_ns, int64_t full_ns) {
  update(key_of(id, Kind::level), now_ns, [&](uint64_t old) -> std::optional<uint64_t> {
    return full_ns <= std::max(static_cast<int64_t>(old), now_ns) ? std::nullopt : std::optional<uint64_t>(static_cast<uint64_t>(full_ns));
  });
}

std::optional<uint32_t> LimitZone::count(uint64_t id, int64_t now_ns, uint32_t limit, int64_t until_ns, bool renew, uint32_t step) {
  std::optional<uint32_t> counted;
  update(key_of(id, Kind::count), now_ns, [&](uint64_t old) -> std::optional<uint64_t> {
    const bool holds = until_of(old) > now_ns;
    const uint32_t before = holds ? count_of(old) : 0;
    counted.reset();
    if (before >= std::min(limit, max_count)) return std::nullopt;
    counted = std::min(before + step, max_count);
    return pack(*counted, holds && !renew ? until_of(old) : until_ns);
  });
  return counted;
}

uint32_t LimitZone::counted(uint64_t id, int64_t now_ns) const {
  const uint64_t value = find(key_of(id, Kind::count));
  return until_of(value) > now_ns ? count_of(value) : 0;
}

void LimitZone::uncount(uint64_t id, int64_t now_ns, uint32_t n) {
  update(key_of(id, Kind::count), now_ns, [&](uint64_t old) -> std::optional<uint64_t> {
    if (until_of(old) <= now_ns) return std::nullopt;
    return pack(count_of(old) - std::min(count_of(old), n), until_of(old));
  });
}

void LimitZone::set_count(uint64_t id, int64_t now_ns, uint32_t n, int64_t until_ns) {
  update(key_of(id, Kind::count), now_ns, [&](uint64_t) { return std::optional<uint64_t>(pack(std::min(n, max_count), until_ns)); });
}

void LimitZone::forget_count(uint64_t id) {
  update(key_of(id, Kind::count), 0, [](uint64_t old) { return old == 0 ? std::nullopt : std::optional<uint64_t>(0); });
}

void LimitZone::ban(uint64_t id, int64_t now_ns, int64_t until_ns) {
  update(key_of(id, Kind::ban), now_ns, [&](uint64_t) { return std::optional<uint64_t>(static_cast<uint64_t>(until_ns)); });
}

bool LimitZone::lift_ban(uint64_t id, int64_t now_ns) {
  bool lifted = false;
  update(key_of(id, Kind::ban), now_ns, [&](uint64_t old) {
    lifted = static_cast<int64_t>(old) > now_ns;
    return old == 0 ? std::nullopt : std::optional<uint64_t>(0);
  });
  return lifted;
}

int64_t LimitZone::banned_until(uint64_t id, int64_t now_ns) const {
  const auto until = static_cast<int64_t>(find(key_of(id, Kind::ban)));
  return until > now_ns ? until : 0;
}

LimitZone::Losses LimitZone::losses() const { return {__atomic_load_n(&shared_->evicted, __ATOMIC_RELAXED), __atomic_load_n(&shared_->crowded, __ATOMIC_RELAXED)}; }

LimitZone::Usage LimitZone::usage(int64_t now_ns) const {
  Usage usage;
  usage.cells = bucket_count_ * bucket_cells;
  const Losses lost = losses();
  usage.evicted = lost.evicted;
  usage.crowded = lost.crowded;
  for (size_t region = 0; region < regions; ++region) {
    if (__atomic_load_n(&shared_->used[region], __ATOMIC_RELAXED) != 0) count_region(region, now_ns, usage);
  }
  return usage;
}

void LimitZone::count_region(size_t region, int64_t now_ns, Usage& usage) const {
  for (size_t i = (region * bucket_count_ + regions - 1) / regions; i < bucket_count_ && region_of(i) == region; ++i) {
    uint64_t keys[bucket_cells];
    uint64_t* end = keys;
    for (const Cell& cell : buckets_[i].cells) {
      const Cell now = load(cell);
      if (now.key == 0) continue;
      if (std::find(keys, end, now.key) != end) ++usage.doubled;
      *end++ = now.key;
      if (end_of(now) > now_ns) ++usage.live;
      if (is_ban(now, now_ns)) ++usage.bans;
    }
  }
}

}  // namespace goma::core
