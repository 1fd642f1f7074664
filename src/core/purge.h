// SPDX-License-Identifier: Apache-2.0
//
// What is to be forgotten by a response cache, and since when: one URL, everything below a path, everything with a tag,
// or all. The same on every host; each makes its own marks of it (core/cache_zone.h).
//
// Times are those of the cluster (core/presence.h), so that a response that one host stored and another host's purge
// can be compared.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/cache_zone.h"
#include "core/redis.h"

namespace goma::core {

struct Purge {
  enum class Kind : unsigned char { url, prefix, tag, all };

  Kind kind = Kind::url;
  std::string host;  // of url and prefix: as requests name it, in lower case
  std::string name;  // the path, the prefix (it ends with a slash), or the tag

  // "url https://host/path", "prefix host/path/", "tag NAME", "all": as operators write it, and as logs and channels say it.
  // The scheme of a URL may be left out; a query is no part of it. Nothing: it is none of these.
  static std::optional<Purge> parse(std::string_view kind, std::string_view what);
  std::string text() const;

  // The same key for the same texts on one host only.
  static CacheZone::Key mark(const CacheZone& zone, Kind kind, std::string_view host, std::string_view name);
  // Everything that was stored before this moment of the cluster's clock, or about then, is gone.
  void apply(CacheZone& zone, int64_t at_ms) const;
  // Tells the other hosts, and keeps it for those that do not hear. host: who says it.
  void announce(Redis& redis, const std::string& host) const;
  // What a host said on the channel; nothing when it was this one, or makes no sense.
  static std::optional<Purge> heard(std::string_view message, const std::string& own_host);
  // What text() wrote.
  static std::optional<Purge> read(std::string_view text);
};

// Where purges are told to other hosts, and the stream that keeps them, for hosts that did not hear.
inline constexpr std::string_view purge_channel = "goma:purges";
inline constexpr std::string_view purge_stream = "goma:purges:log";
inline constexpr int64_t purges_kept = 10'000;

}  // namespace goma::core
