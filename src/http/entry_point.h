// SPDX-License-Identifier: Apache-2.0
//
// How clients arrive at one listening address: what must happen on a connection before HTTP begins. Built with the
// site, found by the text of its address.
#pragma once

#include <string>
#include <vector>

#include "core/socket.h"

namespace goma::http {

struct EntryPoint {
  std::string address;  // as in core::Listening::text
  bool tls = false;
  bool http2 = false;   // offered by ALPN with TLS; recognised by its preface without (RFC 9113 3.3)
  std::vector<core::Cidr> proxies;  // peers that begin with a PROXY header; nobody else may

  bool is_proxy(const core::Address& peer) const {
    for (const core::Cidr& network : proxies) {
      if (network.contains(peer)) return true;
    }
    return false;
  }
  // A connection here needs no preparation.
  bool plain() const { return !tls && !http2 && proxies.empty(); }
};

}  // namespace goma::http
