// SPDX-License-Identifier: Apache-2.0
//
// How much everybody has taken: the cells of rate limits, shared by all workers of a host and outliving each of them.
// A zone of the slab holds buckets of eight cells; a cell is two words, the key and what is known of it, and changes
// only by one compare-and-swap of both. So a decision is exact over any number of workers, and a worker that is
// killed at any instant leaves nothing half done: there is no lock and nothing to repair.
//
// The one idea: every value tells when it stops mattering, in a clock that all processes share (CLOCK_MONOTONIC). A
// cell past that time is as good as empty, so nobody sweeps, and what must give way in a full bucket is the cell that
// would have been forgotten soonest. A ban that is in force never gives way.
//
//   level  the time at which a bucket will be full again (the theoretical arrival time of GCRA, ITU-T I.371)
//   count  a number of events and the end of the time they count for
//   ban    the end of the ban
//
// The invariant: a key has one cell. Two workers that meet a new key at the same moment may write two, so a new cell is
// a proposal first, which nobody reads: its writer looks for others of that key, takes proposals away, gives way to a
// cell, and makes its own one a cell only then. Of two that are written at once at least one writer sees the other.
//
// It does not know what a key stands for, and agrees with no other host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/result.h"

namespace goma::core {

class Slab;

class LimitZone {
 public:
  static constexpr size_t bucket_cells = 8;
  static constexpr size_t default_bytes = size_t{16} << 20;
  static constexpr uint32_t max_count = (1u << 30) - 1;

  // The zone of this slab, which must outlive it; made of so many bytes when there is none. An existing zone keeps its size.
  // Error: exhausted.
  static Result<LimitZone> open(Slab& slab, size_t bytes = default_bytes);

  size_t bytes() const { return bytes_; }

  // A number for a pair of texts, under the zone's secret; seed chains them into longer lists.
  uint64_t id(std::string_view first, std::string_view second, uint64_t seed = 0) const;

  // Times are nanoseconds of CLOCK_MONOTONIC. An id has its own level, its own count and its own ban.

  struct Level {
    bool taken = false;    // there was room for one more
    int64_t debt_ns = 0;   // until the bucket is full again
  };
  // Takes one from a bucket that gets one back every interval_ns and holds capacity_ns / interval_ns. Nothing is
  // changed when there is no room. Requires: 0 < interval_ns <= capacity_ns < 2^62.
  Level take(uint64_t id, int64_t now_ns, int64_t interval_ns, int64_t capacity_ns);
  // When a bucket will be full again; 0: nothing is known of it.
  int64_t full_at(uint64_t id) const { return static_cast<int64_t>(find(key_of(id, Kind::level))); }
  // Others took from the same bucket: it will not be full before full_ns. Its debt may exceed any capacity then.
  void raise(uint64_t id, int64_t now_ns, int64_t full_ns);

  // Counts `step` more unless the limit is reached; the count is forgotten at until_ns (the first one's, or with
  // `renew` the latest one's). Returns the count with these; nothing when the limit is reached.
  std::optional<uint32_t> count(uint64_t id, int64_t now_ns, uint32_t limit, int64_t until_ns, bool renew = false, uint32_t step = 1);
  uint32_t counted(uint64_t id, int64_t now_ns) const;
  // Takes back at most so many.
  void uncount(uint64_t id, int64_t now_ns, uint32_t n);
  void set_count(uint64_t id, int64_t now_ns, uint32_t n, int64_t until_ns);
  void forget_count(uint64_t id);

  void ban(uint64_t id, int64_t now_ns, int64_t until_ns);
  // False: there was none.
  bool lift_ban(uint64_t id, int64_t now_ns);
  // When the ban ends; 0: there is none.
  int64_t banned_until(uint64_t id, int64_t now_ns) const;

  // Reads every part of the zone that was ever used: for a scrape, not for a request.
  struct Usage {
    uint64_t cells = 0;     // there are
    uint64_t live = 0;      // hold something that matters
    uint64_t bans = 0;      // of these
    uint64_t evicted = 0;   // mattered and gave way, since the zone was made
    uint64_t crowded = 0;   // found only bans, and was not kept
    uint64_t doubled = 0;   // keys that have more than one cell: a fault
  };
  Usage usage(int64_t now_ns) const;
  // What a look at two words tells.
  struct Losses {
    uint64_t evicted = 0;
    uint64_t crowded = 0;
  };
  Losses losses() const;

 private:
  enum class Kind : uint64_t { level = 1, count = 2, ban = 3 };
  struct Cell {
    uint64_t key;
    uint64_t value;
    bool operator==(const Cell&) const = default;
  };
  struct alignas(bucket_cells * sizeof(Cell)) Bucket {
    Cell cells[bucket_cells];
  };
  struct Shared;

  LimitZone(Shared& shared, Bucket* buckets, size_t count, size_t bytes) : shared_(&shared), buckets_(buckets), bucket_count_(count), bytes_(bytes) {}

  static constexpr uint64_t proposed = 4;  // in a key: the cell is a proposal
  static uint64_t key_of(uint64_t id, Kind kind) { return (id & ~uint64_t{7}) | static_cast<uint64_t>(kind); }
  static int64_t end_of(const Cell& cell);
  static bool is_ban(const Cell& cell, int64_t now_ns);
  static Cell load(const Cell& cell);
  static bool swap(Cell& cell, const Cell& from, const Cell& to);

  size_t index_of(uint64_t key) const;
  Bucket& bucket(uint64_t key) const { return buckets_[index_of(key)]; }
  size_t region_of(size_t index) const;
  void count_region(size_t region, int64_t now_ns, Usage& usage) const;
  uint64_t find(uint64_t key) const;
  template <class Change>
  void update(uint64_t key, int64_t now_ns, Change change);
  Cell* room(Bucket& bucket, int64_t now_ns, Cell& was);
  bool establish(Bucket& bucket, Cell& cell, const Cell& proposal);

  Shared* shared_;
  Bucket* buckets_;
  size_t bucket_count_;
  size_t bytes_;
};

}  // namespace goma::core
