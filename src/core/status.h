// SPDX-License-Identifier: Apache-2.0
//
// What the master says about itself: the answers of `gomactl status`, `workers`, `zones` and `reload`, for people and as JSON.
// Text in, text out; it changes nothing.
#pragma once

#include <cstdint>
#include <string>

#include "core/change.h"
#include "core/control.h"
#include "core/family.h"
#include "core/listener.h"
#include "core/slab.h"

namespace goma::core {

struct StatusInput {
  const std::string& version;
  const Family& family;
  const Listeners& listeners;
  const Generation* current;   // may be null
  std::string state;           // "serving", "reloading"...
  int64_t uptime_s;
  int64_t now_ms;              // of the monotonic clock
  bool last_ok;                // of the last load
  const std::string& last_text;
};

std::string status_text(const StatusInput& input);
std::string status_json(const StatusInput& input);
// now_ms: the monotonic clock, for how long loops have not turned.
std::string workers_text(const Family& family, int64_t now_ms);
std::string workers_json(const Family& family, int64_t now_ms);
// Compares stored responses with their checksums, dropping what does not agree, and looks for limits counted twice. False:
// something was damaged.
bool zones_are_consistent(Slab& slab, int64_t now_ns);
// The zones of the shared memory, and how full those are that fill. now_ns: CLOCK_MONOTONIC.
std::string zones_text(Slab& slab, int64_t now_ns);
std::string zones_json(Slab& slab, int64_t now_ns);

// "reloaded: generation 8, 12 routes (+1 -0 ~2), 3 middlewares (+0 -0 ~1), 2 workers, 41 ms" or "reload refused; generation
// 7, loaded 09:12:03, keeps serving".
std::string change_line(const ChangeOutcome& outcome, const Generation* current);
// The answer to who asked for the change: findings and the line, or everything as one JSON object.
Answer change_answer(const ChangeOutcome& outcome, const Generation* current, bool json);
// The status line for the service manager: "generation 7, 12 routes, 2 workers".
std::string brief(const Generation& current);

}  // namespace goma::core
