// SPDX-License-Identifier: Apache-2.0
//
// All metrics as Prometheus text (exposition format 0.0.4): what the processes counted, and what is known only at the
// moment of asking (uptime, memory, processes).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace goma::core {
class CacheZone;
class LimitZone;
class Metrics;
class Slab;
}  // namespace goma::core

namespace goma::http {

class Certificates;

// What is asked for at the time of the answer.
struct Scrape {
  core::Metrics& metrics;
  core::Slab& slab;
  std::string_view version;
  uint64_t generation = 0;
  uint64_t routes = 0;       // disabled ones included, as Goma counts
  uint64_t middlewares = 0;
  int64_t now_ms = 0;        // wall clock
  const Certificates* certificates = nullptr;
  uint64_t visitors = 0;     // within the window
  uint64_t visitors_evicted = 0;
  const core::LimitZone* limit_zone = nullptr;  // null: there is none
  const core::CacheZone* cache_zone = nullptr;  // the same
};

constexpr std::string_view prometheus_content_type = "text/plain; version=0.0.4; charset=utf-8";

// Families in the order of their first series, each with HELP and TYPE.
std::string render_prometheus(const Scrape& scrape);

}  // namespace goma::http
