// SPDX-License-Identifier: Apache-2.0
//
// Who the client is, when proxies stand in front (goma-config 3.7). Only a peer on the list may say anything; of what
// the chain says, the rightmost address that is not itself on the list counts, because everything left of it was
// written by strangers.
//
// The invariant: the result is always an address in canonical text. An entry that is none stops the walk. A chain is
// looked at from the right and for max_entries at most, so its length costs nothing.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/arena.h"
#include "core/problem.h"
#include "http/config.h"
#include "http/headers.h"

namespace goma::http {

struct ClientAddress {
  std::string_view ip;      // the client; the peer itself when nobody may speak for it
  std::string_view scheme;  // "http" or "https" when a trusted proxy said so, else empty
  bool trusted = false;     // the peer is a trusted proxy: its forwarded headers may be believed
};

class TrustedProxies {
 public:
  static constexpr size_t max_entries = 64;

  // Trusts nobody.
  TrustedProxies() = default;
  // With an empty list or one bad entry nobody is trusted, with a warning.
  TrustedProxies(const ProxyConf& conf, core::Problems& problems);

  bool enabled() const { return !ranges_.empty(); }
  // Judges one request. `peer_ip` is the socket's address as text and must outlive the result; other texts are in
  // the arena or the headers.
  ClientAddress resolve(std::string_view peer_ip, const Headers& headers, core::Arena& arena) const;

 private:
  using Bytes = std::array<uint8_t, 16>;  // IPv4 as ::ffff:a.b.c.d
  struct Range {
    Bytes first;
    unsigned bits;
  };
  enum class Found : unsigned char { client, proxy, stop };
  static bool parse(std::string_view text, Bytes& into);
  static bool parse_range(std::string_view text, Range& into);
  static std::string_view print(const Bytes& bytes, core::Arena& arena);
  bool contains(const Bytes& address) const;
  Found judge(std::string_view entry, Bytes& address) const;
  bool walk(std::string_view name, const Headers& headers, Bytes& address) const;
  Found walk_value(std::string_view value, bool rfc7239, size_t& left, Bytes& address) const;
  std::string_view scheme(const Headers& headers) const;

  std::vector<Range> ranges_;
  std::vector<std::string> headers_;
};

}  // namespace goma::http
