// SPDX-License-Identifier: Apache-2.0
//
// Linear probing from the hash of a name; looking needs no lock, taking a cell does.
#include "core/health_zone.h"

#include <algorithm>

#include "core/check.h"
#include "core/keyed_hash.h"
#include "core/slab.h"

namespace goma::core {

Health::State Health::unpack(uint64_t word) {
  constexpr uint64_t failure_mask = (uint64_t{1} << reached_shift) - 1;
  return {static_cast<uint32_t>(word & failure_mask), static_cast<int64_t>(word >> until_shift), (word >> reached_shift & 1) != 0};
}

uint64_t Health::pack(const State& state) {
  const uint64_t failures = std::min<uint64_t>(state.failures, (uint64_t{1} << reached_shift) - 1);
  return (static_cast<uint64_t>(state.left_out_until_ms) << until_shift) | (uint64_t{state.reached} << reached_shift) | failures;
}

Health::State Health::state() const { return unpack(word()); }

// change(State&) says whether there is something to do, and may be asked again.
template <class Change>
bool Health::change(Change change) {
  uint64_t word = this->word();
  while (true) {
    State state = unpack(word);
    if (!change(state)) return false;
    if (__atomic_compare_exchange_n(&word_, &word, pack(state), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) return true;
  }
}

bool Health::failed(int64_t now_ms, uint32_t max_failures, int64_t left_out_ms, bool reached) {
  bool fell = false;
  change([&](State& state) {
    const bool enough = state.failures + 1 >= max_failures;
    fell = enough && state.left_out_until_ms <= now_ms;
    state.reached = reached;
    ++state.failures;
    if (enough) state = {max_failures - 1, now_ms + left_out_ms, reached};
    return true;
  });
  return fell;
}

void Health::succeeded(int64_t now_ms) {
  change([now_ms](State& state) {
    const bool over = state.left_out_until_ms != 0 && state.left_out_until_ms <= now_ms;
    if (state.failures == 0 && !over) return false;
    state = {0, over ? 0 : state.left_out_until_ms, state.reached};
    return true;
  });
}

bool Health::begin_trial(int64_t now_ms, int64_t for_ms) {
  return change([&](State& state) {
    if (state.left_out_until_ms == 0 || state.left_out_until_ms > now_ms) return false;
    state.left_out_until_ms = now_ms + for_ms;
    return true;
  });
}

void Health::hold_trial(int64_t until_ms) {
  change([until_ms](State& state) { return state.left_out_until_ms != 0 && (state.left_out_until_ms = until_ms) != 0; });
}

void Health::readmit() {
  change([](State& state) { return state.left_out_until_ms != 0 && (state.left_out_until_ms = 0) == 0; });
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
