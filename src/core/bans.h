// SPDX-License-Identifier: Apache-2.0
//
// Who is banned, for people and for other hosts. That a ban holds is a cell of the limit zone, found by number; here
// is the register that says whose number it is: texts in shared memory, so that a ban can be listed, told to other
// hosts and lifted.
//
// The one idea: a ban is the same wherever it is imposed; its identity has all texts that its number is made of, and
// every host makes its own number of them.
//
// The invariant: every ban in the register was in the zone. The register has room for some thousand; a ban that found
// none holds all the same, and is counted by the zone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/limit_zone.h"
#include "core/result.h"

namespace goma::core {

class Slab;

struct Ban {
  std::string route, middleware;
  std::string key;    // the name of the header field or cookie; empty: the address
  std::string value;  // of it: may be a secret, and the bytes of a network; at most 512 bytes are told to others
  std::string shown;  // for people: "ip:192.0.2.1", "header:X-API-Key:sha256-12ab…"
  std::string mark;   // the key in Redis by which Goma Gateway knows it

  // The same on every host; nothing when it is too long to be told.
  std::optional<std::string> identity() const;
  static std::optional<Ban> from_identity(std::string_view identity);
  uint64_t number(const LimitZone& zone) const;
};

class Bans {
 public:
  static constexpr size_t max_listed = 4096;

  // The register in this slab, which must outlive it. Error: exhausted.
  static Result<Bans> open(Slab& slab, LimitZone& zone);

  // Times are nanoseconds of CLOCK_MONOTONIC.
  void impose(const Ban& ban, int64_t now_ns, int64_t until_ns);
  // False: it was not in force.
  bool lift(const Ban& ban, int64_t now_ns);

  struct Listed {
    Ban ban;
    int64_t left_ns = 0;
  };
  // Those in force, in no order.
  std::vector<Listed> list(int64_t now_ns) const;

 private:
  struct Shared;
  Bans(Slab& slab, Shared& shared, LimitZone& zone) : slab_(&slab), shared_(&shared), zone_(&zone) {}

  Slab* slab_;
  Shared* shared_;
  LimitZone* zone_;
};

// The words of the channel that tells bans to other hosts, and the sorted set that keeps those in force, by their end.
inline constexpr std::string_view ban_channel = "goma:bans";
inline constexpr std::string_view ban_set = "goma:bans:in-force";

struct BanNews {
  std::string host;       // who says it (core/presence.h)
  bool lifted = false;
  int64_t until_ms = 0;   // wall clock
  std::string identity;

  std::string message() const;
  static std::optional<BanNews> parse(std::string_view message);
};

}  // namespace goma::core
