// SPDX-License-Identifier: Apache-2.0
//
// How many hosts share the limits: what the manager learns from Redis once a second, kept in the slab, so that every
// worker knows it and nobody forgets it while Redis is away.
//
// The one idea: a host is who has signed the roll within the last five seconds. The number that was known last holds
// until there is a newer one.
#pragma once

#include <cstdint>
#include <string>

#include "core/result.h"

namespace goma::core {

class Loop;
class Slab;

class Presence {
 public:
  static constexpr int64_t alive_ms = 5'000;
  static constexpr int64_t purges_known_ms = 3'000;  // three times as long as between two readings

  // The roll in this slab, which must outlive it. Error: exhausted.
  static Result<Presence> open(Slab& slab);

  // Hosts that live, this one included: at least 1.
  int64_t hosts() const;
  // More are believed at once; fewer when that has been so for a while: a replica that takes over may have forgotten some.
  void set_hosts(int64_t hosts, int64_t now_ms);
  // The time that all hosts agree on, that of Redis, in milliseconds since the Unix epoch; the host's own until Redis has told
  // it. It goes on by the monotonic clock, so that a step of the host's own changes nothing that others see.
  int64_t time_ms(const Loop& loop) const;
  void set_time(int64_t time_ms, int64_t now_ms);
  // There is no Redis any more.
  void forget_time();
  // This host's own name: 16 hexadecimal digits, drawn at random for the life of the slab.
  std::string name() const;
  // True once in the life of the slab.
  bool first_time();
  // Whether this host has heard of all purges but for the last moments (CLOCK_MONOTONIC): if not, what other hosts stored
  // may have been purged. The manager says so whenever it has read their stream to its end.
  bool knows_purges(int64_t now_ms) const;
  void set_knows_purges(int64_t now_ms);

 private:
  struct Shared;
  explicit Presence(Shared& shared) : shared_(&shared) {}
  Shared* shared_;
};

}  // namespace goma::core
