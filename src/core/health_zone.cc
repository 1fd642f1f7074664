// SPDX-License-Identifier: Apache-2.0
//
// Linear probing from the hash of a name; looking needs no lock, taking a cell does.
#include "core/health_zone.h"

#include <algorithm>

#include "core/check.h"
#include "core/keyed_hash.h"
#include "core/slab.h"

namespace goma::core {

namespace {

// A word: 40 bits of the end in milliseconds (34 years after the machine started), 24 bits of failures.
constexpr int failure_bits = 24;
constexpr uint64_t failure_mask = (uint64_t{1} << failure_bits) - 1;

Health::State unpack(uint64_t word) { return {static_cast<uint32_t>(word & failure_mask), static_cast<int64_t>(word >> failure_bits)}; }
uint64_t pack(const Health::State& state) {
  return (static_cast<uint64_t>(state.left_out_until_ms) << failure_bits) | std::min<uint64_t>(state.failures, failure_mask);
}

}  // namespace

Health::State Health::state() const { return unpack(__atomic_load_n(&word_, __ATOMIC_RELAXED)); }

bool Health::failed(int64_t now_ms, uint32_t max_failures, int64_t left_out_ms) {
  uint64_t word = __atomic_load_n(&word_, __ATOMIC_RELAXED);
  while (true) {
    const State was = unpack(word);
    State now = was;
    const bool enough = ++now.failures >= max_failures;
    if (enough) now = {max_failures - 1, now_ms + left_out_ms};
    if (__atomic_compare_exchange_n(&word_, &word, pack(now), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) return enough && was.left_out_until_ms <= now_ms;
  }
}

void Health::succeeded() {
  uint64_t word = __atomic_load_n(&word_, __ATOMIC_RELAXED);
  while ((word & failure_mask) != 0) {
    if (__atomic_compare_exchange_n(&word_, &word, word & ~failure_mask, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) return;
  }
}

struct HealthZone::Shared {
  KeyedHash hash;
  Cell cells[max_backends];
};

Result<HealthZone> HealthZone::open(Slab& slab) {
  Result<Shared*> shared = slab.zone_of<Shared>("health", "health", 1);
  if (!shared.ok()) return shared.error();
  const Slab::Lock lock(slab);
  if (!shared.value()->hash.has_secret()) GOMA_CHECK(shared.value()->hash.make_secret());
  return HealthZone(slab, *shared.value());
}

uint64_t HealthZone::id_of(std::string_view backend) const { return std::max<uint64_t>(shared_->hash(backend, {}), 1); }

HealthZone::Cell* HealthZone::find(uint64_t id) const {
  for (size_t n = 0; n < max_backends; ++n) {
    Cell& cell = shared_->cells[(id + n) % max_backends];
    const uint64_t there = __atomic_load_n(&cell.id, __ATOMIC_ACQUIRE);
    if (there == id) return &cell;
    if (there == 0) return nullptr;
  }
  return nullptr;
}

// The first cell on the way that nobody asked for lately. It is given its new name last: until then nobody looks for it.
HealthZone::Cell* HealthZone::take(uint64_t id, int64_t now_ms) {
  for (size_t n = 0; n < max_backends; ++n) {
    Cell& cell = shared_->cells[(id + n) % max_backends];
    if (cell.id != 0 && now_ms - __atomic_load_n(&cell.asked_ms, __ATOMIC_RELAXED) < kept_ms) continue;
    cell.health = Health();
    __atomic_store_n(&cell.asked_ms, now_ms, __ATOMIC_RELAXED);
    __atomic_store_n(&cell.id, id, __ATOMIC_RELEASE);
    return &cell;
  }
  return nullptr;
}

Health* HealthZone::of(std::string_view backend, int64_t now_ms) {
  const uint64_t id = id_of(backend);
  Cell* cell = find(id);
  if (cell == nullptr) {
    const Slab::Lock lock(*slab_);
    cell = find(id);
    if (cell == nullptr) cell = take(id, now_ms);
    if (cell == nullptr) return nullptr;
  }
  __atomic_store_n(&cell->asked_ms, now_ms, __ATOMIC_RELAXED);
  return &cell->health;
}

std::optional<Health::State> HealthZone::look(std::string_view backend, int64_t now_ms) const {
  const Cell* cell = find(id_of(backend));
  if (cell == nullptr || now_ms - __atomic_load_n(&cell->asked_ms, __ATOMIC_RELAXED) >= kept_ms) return std::nullopt;
  return cell->health.state();
}

size_t HealthZone::count(int64_t now_ms) const {
  return static_cast<size_t>(std::count_if(shared_->cells, shared_->cells + max_backends, [&](const Cell& cell) {
    return __atomic_load_n(&cell.id, __ATOMIC_RELAXED) != 0 && now_ms - __atomic_load_n(&cell.asked_ms, __ATOMIC_RELAXED) < kept_ms;
  }));
}

}  // namespace goma::core
