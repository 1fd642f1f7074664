// SPDX-License-Identifier: Apache-2.0
//
// Counters, gauges and histograms that no crash, reload or upgrade sets back. A directory in the slab maps a family
// and its labels to cells; every process counts in its own stripe of cells, so that adding is a load and a store
// on memory nobody else writes. Whoever reads adds up all stripes.
//
// The one idea: find the cell once, then it is a number. A stripe whose process ends keeps its counters and is
// used by the next; only its gauges are set to zero.
//
// The invariant: the directory only grows, and only so far. When it is full, new series of a family are counted
// together in its series {overflow="true"}: nobody's labels can fill the memory, and totals stay right.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "core/result.h"

namespace goma::core {

class Slab;

class Metrics {
 public:
  static constexpr size_t max_stripes = 64;
  static constexpr size_t max_cells = 65'536;
  static constexpr size_t max_series = 32'768;
  static constexpr size_t max_families = 256;
  static constexpr size_t max_buckets = 20;

  enum class Kind : uint32_t { counter = 1, gauge, histogram };

  // The place of a counter or gauge in every stripe. A cell that was never looked up counts into the void.
  struct Cell {
    uint32_t index = 0;
  };
  // A histogram of microseconds: one cell per bucket, one for beyond, one for the sum.
  struct Histogram {
    uint32_t index = 0;
    uint32_t count = 0;                 // of bounds
    const uint64_t* bounds = nullptr;   // upper, in microseconds, ascending
  };
  // A series wanted together with others: made at once, they lie side by side.
  struct Wanted {
    std::string_view family;
    std::string_view labels;
    Kind kind = Kind::counter;
    uint32_t index = 0;  // the answer
    Cell cell() const { return Cell{index}; }
  };

  // The metrics in this slab, which must outlive them. Error: exhausted.
  static Result<std::unique_ptr<Metrics>> open(Slab& slab);
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;
  // Gives the stripe back if this process took one.
  ~Metrics();

  // Takes a stripe for this process; call it in every process that counts, after fork. Until then, and when none is
  // free, counting goes into the void. Error: exhausted.
  Result<void> acquire_stripe();
  // Frees the stripe of a process that has ended (its gauges become zero). For this process and, after a crash, for
  // the master.
  void release_stripe(int32_t pid);
  // Frees the stripes of processes that do not exist any more. For a master that takes over a slab.
  void release_dead_stripes();

  // Says what a family is, before its first series; saying it again changes nothing. bounds (microseconds) are for
  // histograms, at most max_buckets.
  void describe(std::string_view family, Kind kind, std::string_view help, std::span<const uint64_t> bounds = {});

  // Finds a series or makes it. labels: name="x",method="GET", made by metric_labels. A family that was not described
  // gets the kind of its first series and no help.
  Cell counter(std::string_view family, std::string_view labels = {});
  Cell gauge(std::string_view family, std::string_view labels = {});
  // Requires: a described family of histograms; else it counts into the void.
  Histogram histogram(std::string_view family, std::string_view labels = {});
  // Finds or makes all of them at once; for a histogram use histogram() afterwards.
  void reserve(std::span<Wanted> wanted);

  // Adding. One process, one thread.
  void add(Cell cell, uint64_t n = 1) { store(cell.index, load(cell.index) + n); }
  void sub(Cell cell, uint64_t n = 1) { store(cell.index, load(cell.index) - n); }
  // Gauges only.
  void set(Cell cell, int64_t value) { store(cell.index, static_cast<uint64_t>(value)); }
  void observe(const Histogram& histogram, uint64_t microseconds) {
    uint32_t bucket = 0;
    while (bucket < histogram.count && microseconds > histogram.bounds[bucket]) ++bucket;
    if (histogram.count == 0) return;
    store(histogram.index + bucket, load(histogram.index + bucket) + 1);
    store(histogram.index + histogram.count + 1, load(histogram.index + histogram.count + 1) + microseconds);
  }

  // Reading, summed over all stripes.
  struct Family {
    std::string_view name;
    std::string_view help;
    Kind kind;
    std::span<const uint64_t> bounds;
  };
  // values: one of a counter or gauge (a gauge is signed); of a histogram every bucket's own count, the last one
  // beyond all bounds, then the sum in microseconds.
  using Visit = std::function<void(const Family& family, std::string_view labels, std::span<const uint64_t> values)>;
  // All series, family by family, in the order in which they were made.
  void visit(const Visit& visit) const;
  // The value of one counter or gauge; 0 when there is no such series.
  int64_t value(std::string_view family, std::string_view labels = {}) const;

  uint64_t series() const;     // how many there are
  uint64_t overflowed() const; // how many more were wanted
  uint64_t stripes_taken() const;

 private:
  struct Shared;
  struct SharedFamily;
  struct Series;

  Metrics(Slab& slab, Shared& shared);
  uint64_t load(uint32_t index) const { return __atomic_load_n(stripe_ + index, __ATOMIC_RELAXED); }
  void store(uint32_t index, uint64_t value) { __atomic_store_n(stripe_ + index, value, __ATOMIC_RELAXED); }

  uint32_t find_family(std::string_view name) const;
  uint32_t make_family(std::string_view name, Kind kind, std::string_view help, std::span<const uint64_t> bounds);
  const Series* find(uint32_t family, std::string_view labels, uint64_t hash) const;
  const Series* find_or_make(std::string_view family, std::string_view labels, Kind kind);
  const Series* make(uint32_t family, std::string_view labels, uint64_t hash, size_t reserve);
  void enter_index(uint32_t number);
  void heal_index();
  void zero_gauges(size_t stripe);
  uint64_t sum(uint32_t index) const;

  Slab& slab_;
  Shared& shared_;
  uint64_t* stripe_;
  int stripe_number_ = -1;
  int32_t owner_ = 0;  // the process that took the stripe
};

// Labels as Metrics wants them: name="a\"b",method="GET". Values are escaped (backslash, quote, line feed), and what
// is not UTF-8 becomes U+FFFD.
std::string metric_labels(std::initializer_list<std::pair<std::string_view, std::string_view>> labels);

}  // namespace goma::core
