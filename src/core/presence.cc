// SPDX-License-Identifier: Apache-2.0
//
// A few words in the slab, written by the manager, read by all.
#include "core/presence.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <cstdlib>

#include "core/check.h"
#include "core/loop.h"
#include "core/slab.h"

namespace goma::core {

namespace {

constexpr int64_t time_tolerance_ms = 20;

}  // namespace

struct Presence::Shared {
  uint64_t name;
  int64_t hosts;
  int64_t time_offset_ms;  // to Loop::now_ms; 0: not known
  int64_t enough_ms;       // when there were as many as that last; the manager's
  int64_t purges_read_ms;
  uint32_t begun;
};

Result<Presence> Presence::open(Slab& slab) {
  Result<Shared*> shared = slab.zone_of<Shared>("presence", "presence", 3);
  if (!shared.ok()) return shared.error();
  const Slab::Lock lock(slab);
  uint64_t& name = shared.value()->name;
  while (name == 0) GOMA_CHECK(::getrandom(&name, sizeof name, 0) == static_cast<ssize_t>(sizeof name));
  return Presence(*shared.value());
}

int64_t Presence::hosts() const { return std::max<int64_t>(__atomic_load_n(&shared_->hosts, __ATOMIC_RELAXED), 1); }

void Presence::set_hosts(int64_t hosts, int64_t now_ms) {
  const bool fewer = hosts < __atomic_load_n(&shared_->hosts, __ATOMIC_RELAXED);
  if (!fewer) shared_->enough_ms = now_ms;
  if (fewer && now_ms - shared_->enough_ms < 2 * alive_ms) return;
  __atomic_store_n(&shared_->hosts, hosts, __ATOMIC_RELAXED);
}

int64_t Presence::time_ms(const Loop& loop) const {
  const int64_t offset_ms = __atomic_load_n(&shared_->time_offset_ms, __ATOMIC_RELAXED);
  if (offset_ms != 0) return loop.now_ms() + offset_ms;
  const timespec wall = loop.wall();
  return static_cast<int64_t>(wall.tv_sec) * 1000 + wall.tv_nsec / 1'000'000;
}

// The time that an answer was on its way comes and goes: what is within it is no news.
void Presence::set_time(int64_t time_ms, int64_t now_ms) {
  const int64_t offset_ms = time_ms - now_ms;
  if (std::abs(offset_ms - __atomic_load_n(&shared_->time_offset_ms, __ATOMIC_RELAXED)) <= time_tolerance_ms) return;
  __atomic_store_n(&shared_->time_offset_ms, offset_ms, __ATOMIC_RELAXED);
}

void Presence::forget_time() { __atomic_store_n(&shared_->time_offset_ms, 0, __ATOMIC_RELAXED); }

std::string Presence::name() const { return fmt::format("{:016x}", shared_->name); }

bool Presence::knows_purges(int64_t now_ms) const {
  const int64_t read_ms = __atomic_load_n(&shared_->purges_read_ms, __ATOMIC_RELAXED);
  return read_ms != 0 && now_ms - read_ms < purges_known_ms;
}

void Presence::set_knows_purges(int64_t now_ms) { __atomic_store_n(&shared_->purges_read_ms, now_ms, __ATOMIC_RELAXED); }

bool Presence::first_time() { return __atomic_exchange_n(&shared_->begun, 1U, __ATOMIC_RELAXED) == 0; }

}  // namespace goma::core
