// SPDX-License-Identifier: Apache-2.0
//
// Who the client is, when proxies stand in front (goma-config 3.7). Only a peer on the list may say anything; of what
// the chain says, the rightmost address that is not itself on the list counts, because everything left of it was
// written by strangers.
//
// The invariant: the result is the peer or a canonical address. An entry that is no address stops the walk: nothing
// left of it or in another header is believed. A chain is looked at from the right and for max_entries at most, so
// its length costs nothing.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/arena.h"
#include "core/problem.h"
#include "core/socket.h"
#include "http/config.h"
#include "http/headers.h"

namespace goma::http {

struct ClientAddress {
  std::string_view ip;      // the client; the peer itself when nobody may speak for it
  std::string_view scheme;  // "http" or "https" when a trusted proxy said so, else empty
  bool trusted = false;     // the peer is a trusted proxy: its forwarded headers may be believed
};

// Says in X-Forwarded-For and X-Real-IP who the client is and, when it came through a proxy, which one brought it. A peer
// on a Unix socket has no address: nothing stands for it, and without a client neither field is sent.
void set_client_address(Headers& headers, std::string_view ip, std::string_view socket_ip, core::Arena& arena);

// Who counts as one client: an IPv4 address as it is, an IPv6 address as its first ipv6_prefix bits (1 to 128), because
// one customer has a whole network of them. Opaque bytes, in the arena or of `ip`.
std::string_view network_of(std::string_view ip, int ipv6_prefix, core::Arena& arena);
// The same as text: "192.0.2.1", "2001:db8:1:2::/64".
std::string network_text(std::string_view ip, int ipv6_prefix);

// The same as a number, with the first 64 bits of an IPv6 address; never 0.
uint64_t network_key(const core::Address& address);

class TrustedProxies {
 public:
  static constexpr size_t max_entries = 64;

  // Trusts nobody.
  TrustedProxies() = default;
  // With an empty list or one bad entry nobody is trusted, with a warning.
  TrustedProxies(const ProxyConf& conf, core::Problems& problems);

  bool enabled() const { return !networks_.empty(); }
  // Whether this peer is one of them.
  bool contains(const core::Address& address) const;
  // Judges one request. `peer_ip` is the socket's address as text and must outlive the result, whose other texts are
  // in the arena or static.
  ClientAddress resolve(std::string_view peer_ip, const Headers& headers, core::Arena& arena) const;

 private:
  enum class Found : unsigned char {
    nothing,  // trusted proxies only
    client,
    stop,     // something that is no address, or more entries than anybody reads
  };
  Found walk(const std::string& name, const Headers& headers, core::Address& client) const;
  Found judge(std::string_view entry, core::Address& client) const;

  std::vector<core::Cidr> networks_;
  std::vector<std::string> headers_;
};

}  // namespace goma::http
