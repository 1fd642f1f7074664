// SPDX-License-Identifier: Apache-2.0
//
// Whose requests a limit counts together: the address, a header field or a cookie (goma-config 10.12). Two forms of the
// same: a number for this host's shared memory, and a name that all hosts agree on, for Redis.
//
// The invariant: requests with one number have one name. A request without the field or cookie counts for its address.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/schema.h"
#include "http/exchange.h"
#include "http/host_limits.h"
#include "http/module.h"

namespace goma::http {

struct KeyStrategyConf {
  std::string source = "ip";
  std::string name;
  int ipv6_prefix = 64;
};
extern const core::Section key_strategy_section;

class LimitKey {
 public:
  LimitKey() = default;
  // Adds an error to the problems when the name is missing: ok() is false then.
  LimitKey(BuildContext& context, const KeyStrategyConf& conf);
  bool ok() const { return ok_; }

  // The number under which this middleware counts this client on this route.
  uint64_t id(Exchange& x, const HostLimits& limits) const;
  // "route:middleware:ip:192.0.2.1", as Goma Gateway names it; a value of more than 128 bytes as its SHA-256.
  std::string name(Exchange& x) const;
  // What a ban of this client says. What tells it apart may be a secret, and is shown as a hash then.
  core::Ban ban(Exchange& x) const;

 private:
  enum class Source : unsigned char { ip, header, cookie };
  std::string_view value(Exchange& x) const;

  std::string middleware_;
  Source source_ = Source::ip;
  std::string name_;
  int ipv6_prefix_ = 64;
  bool ok_ = false;
};

// Goma's slug: lower case, every run of other than letters, digits and "_" one "-", none at the ends.
std::string slug(std::string_view text);

}  // namespace goma::http
