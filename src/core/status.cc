// SPDX-License-Identifier: Apache-2.0
//
// Formatting only.
#include "core/status.h"

#include <fmt/format.h>

#include <unistd.h>

#include <ctime>
#include <vector>

#include "core/cache_zone.h"
#include "core/health_zone.h"
#include "core/limit_zone.h"
#include "core/log.h"
#include "core/sandbox.h"

namespace goma::core {

namespace {

std::string quoted(std::string_view text) {
  std::string out;
  log::append_json_string(out, text);
  return out;
}

std::string clock_text(int64_t wall_s) {
  const time_t at = wall_s;
  tm local{};
  localtime_r(&at, &local);
  return fmt::format("{:02}:{:02}:{:02}", local.tm_hour, local.tm_min, local.tm_sec);
}

std::string date_text(int64_t wall_s) {
  const time_t at = wall_s;
  tm utc{};
  gmtime_r(&at, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour,
                     utc.tm_min, utc.tm_sec);
}

const char* word(Child::State state) {
  switch (state) {
    case Child::State::down:
      return "down";
    case Child::State::starting:
      return "starting";
    case Child::State::serving:
      return "serving";
    case Child::State::leaving:
      return "leaving";
  }
  return "";
}

std::string duration_text(int64_t seconds) {
  if (seconds < 60) return fmt::format("{}s", seconds);
  if (seconds < 3600) return fmt::format("{}m {}s", seconds / 60, seconds % 60);
  if (seconds < 86400) return fmt::format("{}h {}m", seconds / 3600, seconds % 3600 / 60);
  return fmt::format("{}d {}h", seconds / 86400, seconds % 86400 / 3600);
}

std::string size_text(uint64_t bytes) {
  if (bytes < 1'048'576) return fmt::format("{:.1f} KiB", static_cast<double>(bytes) / 1024);
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / 1'048'576);
}

const char* plural(uint64_t n) { return n == 1 ? "" : "s"; }

// Since its loop turned last, and at most.
struct Lag {
  Lag(const Family& family, const Child& child, int64_t at_ms) {
    if (const std::optional<int64_t> beat = family.beat_ms(child)) now_ms = std::max<int64_t>(at_ms - *beat, 0);
    longest_ms = std::max(child.longest_lag_ms, now_ms);
  }
  int64_t now_ms = 0, longest_ms = 0;
};

std::string child_json(const Family& family, const Child& child, int64_t now_ms) {
  const Lag lag(family, child, now_ms);
  const sandbox::State held = sandbox::state_of(child.pid);
  return fmt::format("{{\"slot\":{},\"pid\":{},\"generation\":{},\"state\":\"{}\",\"restarts\":{},\"lag_ms\":{},\"longest_lag_ms\":{},"
                     "\"sandbox\":{{\"no_new_privileges\":{},\"capabilities\":{},\"filter\":{}}}}}", child.slot,
                     child.pid > 0 ? child.pid : 0, child.generation, word(child.state), child.restarts, lag.now_ms, lag.longest_ms,
                     held.no_new_privileges, held.capabilities, held.filter);
}

template <class Visit>
void each_leaving(const Family& family, Visit visit) {
  family.each([&](Child& child) {
    if (child.state == Child::State::leaving) visit(child);
  });
}

// Appends one element to the inside of a JSON array.
void append_element(std::string& list, const std::string& element) { list.append(list.empty() ? "" : ",").append(element); }

std::string differences_text(uint64_t n, std::string_view what, const Differences& d) {
  return fmt::format("{} {}{} (+{} -{} ~{})", n, what, plural(n), d.added, d.removed, d.changed);
}

}  // namespace

std::string brief(const Generation& g) {
  return fmt::format("generation {}, {} route{}, {} worker{}", g.number, g.plan.routes, plural(g.plan.routes), g.workers,
                     plural(static_cast<uint64_t>(g.workers)));
}

std::string status_text(const StatusInput& in) {
  std::string text = fmt::format("goma {}, pid {}, {}, up {}\n", in.version, ::getpid(), in.state, duration_text(in.uptime_s));
  if (in.current != nullptr) {
    text += fmt::format("{}, {} middleware{}, loaded {}\n", brief(*in.current), in.current->plan.middlewares,
                        plural(in.current->plan.middlewares), clock_text(in.current->loaded_s));
  }
  for (const auto& [name, group] : in.listeners.groups()) {
    text += fmt::format("listening on {}{}\n", group.address, name == group.address ? "" : fmt::format(" (configured as {})", name));
  }
  text += workers_text(in.family, in.now_ms);
  text += fmt::format("last load: {}\n", in.last_text);
  return text;
}

std::string workers_text(const Family& family, int64_t now_ms) {
  std::string text;
  const auto line = [&](const Child& child) {
    const Lag lag(family, child, now_ms);
    text += fmt::format("{:<10} pid {:<8} {:<9} generation {:<4} {} restart{}, {}, lag {} ms, at most {} ms\n", child.name(), child.pid > 0 ? child.pid : 0,
                        word(child.state), child.generation, child.restarts, plural(child.restarts), sandbox::describe(sandbox::state_of(child.pid)), lag.now_ms, lag.longest_ms);
  };
  for (const auto& child : family.workers()) line(*child);
  line(family.manager());
  each_leaving(family, line);
  return text;
}

std::string workers_json(const Family& family, int64_t now_ms) {
  std::string text;
  for (const auto& child : family.workers()) append_element(text, child_json(family, *child, now_ms));
  return "[" + text + "]";
}

std::string status_json(const StatusInput& in) {
  std::string listeners, leaving;
  for (const auto& [name, group] : in.listeners.groups()) {
    append_element(listeners, fmt::format("{{\"text\":{},\"address\":{}}}", quoted(name), quoted(group.address)));
  }
  each_leaving(in.family, [&](const Child& child) { append_element(leaving, child_json(in.family, child, in.now_ms)); });
  const Generation none;
  const Generation& g = in.current != nullptr ? *in.current : none;
  return fmt::format(
      "{{\"version\":{},\"pid\":{},\"state\":{},\"generation\":{},\"loaded_at\":\"{}\",\"uptime_seconds\":{},\"routes\":{},"
      "\"middlewares\":{},\"workers\":{},\"manager\":{},\"leaving\":[{}],\"listeners\":[{}],\"last_reload\":{{\"ok\":{},\"text\":{}}}}}\n",
      quoted(in.version), ::getpid(), quoted(in.state), g.number, date_text(g.loaded_s), in.uptime_s, g.plan.routes,
      g.plan.middlewares, workers_json(in.family, in.now_ms), child_json(in.family, in.family.manager(), in.now_ms), leaving, listeners, in.last_ok,
      quoted(in.last_text));
}

std::string change_line(const ChangeOutcome& o, const Generation* current) {
  if (current == nullptr) return "not started";
  if (!o.ok) return fmt::format("reload refused; generation {}, loaded {}, keeps serving", current->number, clock_text(current->loaded_s));
  return fmt::format("reloaded: generation {}, {}, {}, {} worker{}, {} ms", current->number, differences_text(current->plan.routes, "route", o.routes),
                     differences_text(current->plan.middlewares, "middleware", o.middlewares), current->workers, plural(static_cast<uint64_t>(current->workers)), o.took_ms);
}

Answer change_answer(const ChangeOutcome& o, const Generation* current, bool json) {
  Answer answer;
  answer.code = o.ok ? 0 : 1;
  const Generation none;
  const Generation& g = current != nullptr ? *current : none;
  if (json) {
    answer.out = fmt::format(
        "{{\"ok\":{},\"generation\":{},\"routes\":{},\"added\":{},\"removed\":{},\"changed\":{},"
        "\"middlewares\":{{\"count\":{},\"added\":{},\"removed\":{},\"changed\":{}}},\"workers\":{},\"ms\":{},\"error\":{},\"problems\":{}}}\n",
        o.ok, g.number, g.plan.routes, o.routes.added, o.routes.removed, o.routes.changed, g.plan.middlewares, o.middlewares.added, o.middlewares.removed,
        o.middlewares.changed, g.workers, o.took_ms, quoted(o.reason),
        o.problems_json.empty() ? "[]" : o.problems_json);
    return answer;
  }
  answer.err = o.problems;
  // A refusal of the configuration has said everything in its findings; others have one reason.
  if (!o.ok && o.code != 78) answer.err += fmt::format("goma: error: {}\n", o.reason);
  if (!o.ok && o.code == 78 && o.problems.find(o.reason) == std::string::npos) answer.err += o.reason + "\n";
  (o.ok ? answer.out : answer.err) += fmt::format("gomactl: {}\n", change_line(o, current));
  return answer;
}

// ---------------------------------------------------------------- shared memory

namespace {

// The response store, with every checksum compared where that is asked for; nothing: there is none.
std::optional<CacheZone::Usage> look_at_responses(Slab& slab, bool verify) {
  if (!CacheZone::exists(slab)) return std::nullopt;
  Result<CacheZone> zone = CacheZone::open(slab, 4 * CacheZone::segment_bytes);
  if (!zone.ok()) return std::nullopt;
  return verify ? zone.value().verify() : zone.value().usage();
}

struct ZoneLine {
  std::string_view name;
  uint64_t bytes;
  bool of_earlier;  // a later build of the same instance lays it out in another way and has its own
};

std::vector<ZoneLine> zone_lines(Slab& slab) {
  std::vector<ZoneLine> lines;
  slab.each_zone([&lines](std::string_view name, uint64_t bytes) {
    for (ZoneLine& before : lines) before.of_earlier = before.of_earlier || before.name == name;
    lines.push_back({name, bytes, false});
  });
  return lines;
}

}  // namespace

bool zones_are_consistent(Slab& slab, int64_t now_ns) {
  const std::optional<CacheZone::Usage> before = look_at_responses(slab, false), after = look_at_responses(slab, true);
  const Result<LimitZone> limits = LimitZone::open(slab);
  return (!before || before->faulty == after->faulty) && (!limits.ok() || limits.value().usage(now_ns).doubled == 0);
}

std::string zones_text(Slab& slab, int64_t now_ns) {
  const Slab::Usage usage = slab.usage();
  std::string text = fmt::format("shared memory of {}, {} given to zones\n", size_text(usage.size), size_text(usage.taken));
  for (const ZoneLine& zone : zone_lines(slab)) text += fmt::format("  {:<12} {:>9}{}\n", zone.name, size_text(zone.bytes), zone.of_earlier ? "  of an earlier build, until the next start" : "");
  if (const Result<LimitZone> limits = LimitZone::open(slab)) {
    const LimitZone::Usage use = limits.value().usage(now_ns);
    text += fmt::format("limits: {} of {} cells live, {} ban{}, {} forgotten and {} not counted for lack of room, {}\n", use.live, use.cells, use.bans,
                        plural(use.bans), use.evicted, use.crowded, use.doubled == 0 ? "consistent" : fmt::format("{} keys twice", use.doubled));
  }
  if (const Result<HealthZone> health = HealthZone::open(slab)) {
    text += fmt::format("health: {} of {} backends\n", health.value().count(now_ns / 1'000'000), HealthZone::max_backends);
  }
  if (const std::optional<CacheZone::Usage> use = look_at_responses(slab, false)) {
    text += fmt::format("responses: {} of {} in {} of {} segments, {} pinned; {} forgotten, {} kept on, {} not stored for lack of room, {} damaged\n", use->entries,
                        size_text(use->entry_bytes), use->used_segments, use->segments, use->pinned_segments, use->evicted, use->carried, use->refused, use->faulty);
  }
  return text;
}

std::string zones_json(Slab& slab, int64_t now_ns) {
  const Slab::Usage usage = slab.usage();
  std::string zones, use_of;
  for (const ZoneLine& zone : zone_lines(slab)) {
    zones += fmt::format("{}{{\"name\":{},\"bytes\":{},\"earlier\":{}}}", zones.empty() ? "" : ",", quoted(zone.name), zone.bytes, zone.of_earlier);
  }
  if (const Result<LimitZone> found = LimitZone::open(slab)) {
    const LimitZone::Usage use = found.value().usage(now_ns);
    use_of = fmt::format(",\"limits\":{{\"cells\":{},\"live\":{},\"bans\":{},\"evicted\":{},\"crowded\":{},\"doubled\":{}}}", use.cells, use.live,
                         use.bans, use.evicted, use.crowded, use.doubled);
  }
  if (const Result<HealthZone> health = HealthZone::open(slab)) {
    use_of += fmt::format(",\"health\":{{\"cells\":{},\"live\":{}}}", HealthZone::max_backends, health.value().count(now_ns / 1'000'000));
  }
  if (const std::optional<CacheZone::Usage> use = look_at_responses(slab, false)) {
    use_of += fmt::format(",\"responses\":{{\"entries\":{},\"entryBytes\":{},\"segments\":{},\"used\":{},\"pinned\":{},\"evicted\":{},\"carried\":{},\"refused\":{},\"faulty\":{}}}",
                          use->entries, use->entry_bytes, use->segments, use->used_segments, use->pinned_segments, use->evicted, use->carried, use->refused, use->faulty);
  }
  return fmt::format("{{\"bytes\":{},\"taken\":{},\"zones\":[{}]{}}}\n", usage.size, usage.taken, zones, use_of);
}

}  // namespace goma::core
