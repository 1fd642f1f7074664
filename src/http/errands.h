// SPDX-License-Identifier: Apache-2.0
//
// Exchanges that nobody waits for: a stored response is validated while its stale copy has been served. An errand asks
// what another exchange asks, from the step behind the one that sends it; earlier middlewares have had their say.
//
// The invariant: there are so many at most, each ends within a time, and none is counted or logged as a request.
#pragma once

#include <cstddef>
#include <memory>

#include "core/deadline.h"
#include "core/list.h"
#include "http/exchange.h"

namespace goma::http {

class Errand;

// Of one worker. Loop thread.
class Errands {
 public:
  static constexpr size_t most = 64;
  static constexpr int64_t longest_ms = 60'000;

  // The runtime knows of it from here on.
  explicit Errands(Runtime& runtime);
  Errands(const Errands&) = delete;
  Errands& operator=(const Errands&) = delete;
  ~Errands();

  // The exchange of a new errand, a GET for what `like` asks; null when as many as may be are under way. Whoever gets it
  // says what it must know (Exchange::keep) and lets it go.
  static Exchange* make(Exchange& like);
  static void go(Exchange& errand, Exchange& like);

 private:
  friend class Errand;
  void bury();

  Runtime& runtime_;
  core::Deferred burial_;
  struct Lists;
  std::unique_ptr<Lists> lists_;
  size_t count_ = 0;
};

}  // namespace goma::http
