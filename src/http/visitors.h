// SPDX-License-Identifier: Apache-2.0
//
// How many visitors there are right now: distinct pairs of client address and user agent seen within a window, over
// all workers (goma-config 14.4). A zone of the slab holds buckets of eight cells, a cache line each. A visitor's hash
// names the bucket; a cell is one word, a part of the hash and the second in which the visitor was last seen.
//
// The one idea: a cell changes by a single compare-and-swap, so there is no lock, nothing to repair after a crash, and
// no order between workers. Nobody sweeps: what is older than the window is not counted and is the first to be reused.
// When all eight cells of a bucket are within the window the oldest gives way and is counted as evicted: the gauge is
// then too low. Up to a hundred thousand visitors in a window that concerns less than one in a hundred.
//
// The invariant: nothing here leads back to a client. The hash is keyed with a salt that is made with the slab and
// dies with it; without the salt nobody can choose which cell a request falls into either.
//
// It is no register: two workers that meet a new visitor at the same moment may give it two cells of its bucket (the
// count knows), and a visitor who loses every race is noted with the next request. Workers do not agree with other
// gateways.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/result.h"

namespace goma::core {
class Slab;
}

namespace goma::http {

class Visitors {
 public:
  static constexpr int64_t shortest_window = 30;  // seconds
  static constexpr size_t bucket_count = 32'768;
  static constexpr size_t bucket_cells = 8;

  // The visitors in this slab, which must outlive them. Error: exhausted.
  static core::Result<Visitors> open(core::Slab& slab);

  // How long a visitor counts after a request, in seconds; a shorter one than shortest_window is raised to it.
  void set_window(int64_t seconds);
  // A request of this visitor. now_s: seconds of a clock that all workers share and that never steps back, above 0.
  void note(std::string_view ip, std::string_view user_agent, int64_t now_s);

  // Distinct visitors within the window. Reads the whole zone (2 MiB): for a scrape, not for a request.
  uint64_t count(int64_t now_s) const;
  // Visitors who gave way within the window since the slab was made.
  uint64_t evicted() const;

 private:
  struct Bucket;
  struct Shared;

  explicit Visitors(Shared& shared) : shared_(&shared) {}
  bool settle(Bucket& bucket, uint64_t wanted);
  // What was seen in a later second than this is within the window.
  uint32_t horizon(uint32_t now) const { return now > window_ ? now - window_ : 0; }

  Shared* shared_;
  uint32_t window_ = 300;
};

}  // namespace goma::http
