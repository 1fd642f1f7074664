// SPDX-License-Identifier: Apache-2.0
//
// Which backends answer, as all workers of a host have seen it: a cell of shared memory per backend, which outlives every
// worker and every configuration.
//
// The one idea: what is known of a backend is one word, until when it is left out and how many failures it has had in a
// row, changed by compare-and-swap. So failures count together whichever workers met them, and one of these workers is
// the one that left the backend out.
//
//   good    it may be chosen
//   out     it failed too often; nobody tries it before its time is over
//   due     its time is over: one worker takes it on trial, and for the others it is out for as long as that may take
//
// The invariant: a cell that was taken once never becomes empty, so the way from a name's hash to its cell stays as it is.
// A cell that no worker has asked for in a minute may be given to another backend.
//
// It does not know what a failure is, nor who may be left out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/result.h"

namespace goma::core {

class Slab;

class Health {
 public:
  struct State {
    uint32_t failures = 0;       // in a row
    int64_t left_out_until_ms = 0;  // 0: good
    bool reached = false;           // the last failure came after a connection was made
  };
  // One more failure; with max_failures in a row the backend is left out for left_out_ms. Once it is readmitted one more is
  // enough. Times are milliseconds of CLOCK_MONOTONIC. Requires: max_failures > 0. Returns whether it was not left out
  // before and is now.
  bool failed(int64_t now_ms, uint32_t max_failures, int64_t left_out_ms, bool reached = true);
  // It answered: no failures in a row. Before its time is over it stays left out, for this may be an old request.
  void succeeded(int64_t now_ms);
  bool left_out(int64_t now_ms) const { return now_ms < state().left_out_until_ms; }
  // Out or due.
  bool is_out() const { return (word() >> until_shift) != 0; }
  // Good, and no failure since the last answer.
  bool is_clean() const { return (word() & ~(uint64_t{1} << reached_shift)) == 0; }
  // It is due and the caller is the one to try it; nobody else will within for_ms.
  bool begin_trial(int64_t now_ms, int64_t for_ms);
  // The trial goes on: it stays out until then. Harmless when it is good.
  void hold_trial(int64_t until_ms);
  // It may be chosen again; its failures stay.
  void readmit();
  State state() const;

 private:
  // A word: 40 bits of the end in milliseconds (34 years after the machine started), one of "reached", 23 of failures.
  static constexpr int until_shift = 24;
  static constexpr int reached_shift = 23;
  static State unpack(uint64_t word);
  static uint64_t pack(const State& state);
  uint64_t word() const { return __atomic_load_n(&word_, __ATOMIC_RELAXED); }
  template <class Change>
  bool change(Change change);

  uint64_t word_ = 0;
};

class HealthZone {
 public:
  static constexpr size_t max_backends = 16'384;
  static constexpr int64_t kept_ms = 60'000;

  // The zone of this slab, which must outlive it. Error: exhausted.
  static Result<HealthZone> open(Slab& slab);

  // The cell of a backend, made when there is none, for at least kept_ms from now on. Null: all are in use.
  Health* of(std::string_view backend, int64_t now_ms);
  // What is known of a backend; nothing: nobody asked for it lately.
  std::optional<Health::State> look(std::string_view backend, int64_t now_ms) const;
  // Backends that were asked for lately.
  size_t count(int64_t now_ms) const;

 private:
  struct Cell {
    uint64_t id;      // 0: never taken
    int64_t asked_ms;
    Health health;
  };
  struct Shared;
  HealthZone(Slab& slab, Shared& shared) : slab_(&slab), shared_(&shared) {}
  uint64_t id_of(std::string_view backend) const;
  Cell* find(uint64_t id) const;
  Cell* take(uint64_t id, int64_t now_ms);

  Slab* slab_;
  Shared* shared_;
};

}  // namespace goma::core
