// SPDX-License-Identifier: Apache-2.0
//
// Orders to a response cache to forget: one URL, everything below a path, everything with a tag, or all. Every host makes
// its own marks of one (core/cache_zone.h).
//
// The one idea: a purge has a number, and Redis gives it: its place in the stream of all purges. A response goes by the
// highest number that its host knew when it asked the backend, on whatever host it is served; so the one order of purges
// decides, and no clock. The host that is told to purge does so at once under a number of its own, which lies between
// those of Redis, and again under the number that Redis gave: what it asked for between the two is asked for once more.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/cache_zone.h"
#include "core/redis.h"

namespace goma::core {

struct Purge {
  enum class Kind : unsigned char { url, prefix, tag, all };

  Kind kind = Kind::url;
  std::string host;  // of url and prefix: as requests name it, in lower case
  std::string name;  // the path, the prefix (it ends with a slash), or the tag; as it was written

  // "url https://host/path", "prefix host/path/", "tag NAME", "all": as operators write it, and as logs and channels say it.
  // The scheme of a URL may be left out; a query is no part of it. Nothing: it is none of these.
  static std::optional<Purge> parse(std::string_view kind, std::string_view what);
  std::string text() const;

  // The same key for the same texts on one host only. name: a path or prefix is decoded once, an encoded slash excepted, so
  // that every spelling of it has the same mark.
  static CacheZone::Key mark(const CacheZone& zone, Kind kind, std::string_view host, std::string_view name);
  // Everything that was asked for before the purge of this number is gone; 0: it is ordered here and now. The number.
  uint64_t apply(CacheZone& zone, uint64_t number = 0) const;
  // Has Redis number it, keep it for those that do not hear, and tell all hosts. after: a number that it must exceed. Who
  // hears through the call that this did not succeed has to see to it that it is told later (CacheZone::owe).
  void announce(Redis& redis, uint64_t after, RedisCall& call) const;
  // A message of the channel: the purge and its number; nothing where it makes no sense.
  static std::optional<std::pair<Purge, uint64_t>> heard(std::string_view message);
  // The number of an entry of the stream ("milliseconds-sequence"); 0: that is none.
  static uint64_t number_of(std::string_view entry);
  // What text() wrote.
  static std::optional<Purge> read(std::string_view text);
};

// Where purges are told to other hosts, and the stream that keeps them, for hosts that did not hear.
inline constexpr std::string_view purge_channel = "goma:purges";
inline constexpr std::string_view purge_stream = "goma:purges:log";
inline constexpr int64_t purges_kept = 120'000;  // about; some 15 MB
// The stream is forgotten that long after the last purge; what is stored in Redis lives less long.
inline constexpr int64_t purges_kept_ms = int64_t{31} * 86'400'000;

}  // namespace goma::core
