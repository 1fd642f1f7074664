// SPDX-License-Identifier: Apache-2.0
//
// What a forward of gateway.entryPoints.passThrough means: where it listens, where it leads, and its limits. Made from
// the configuration, immutable, and held by every session that began under it: a reload changes it for new ones only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/tcp_relay.h"
#include "http/config.h"

namespace goma::http {

struct PassThroughRule {
  using Targets = std::vector<core::RelayTarget>;

  std::string address;  // as in core::Plan: "tcp:[::]:5432"
  std::string name;     // in logs and metrics: "[::]:5432"
  std::string place;    // for messages
  core::Place at;
  bool udp = false;
  std::vector<Targets> lists;  // the first is the default, which may be empty when there are others
  int64_t connect_ms = 0;
  int64_t idle_ms = 0;         // 0: none
  size_t max_connections = 0;  // per worker; 0: what descriptors allow
  int proxy_version = 0;       // of the PROXY header a target is sent; 0: none

  std::string_view protocol() const { return udp ? "udp" : "tcp"; }
  bool by_server_name() const { return lists.size() > 1; }
  // The list for a TLS server name: an exact host, else the longest "*.suffix", else the default (0).
  size_t list_for(std::string_view server_name) const;

  std::unordered_map<std::string, size_t> hosts;  // small letters; a wildcard as ".suffix", "*" as ""
};

using PassThroughRules = std::vector<std::shared_ptr<const PassThroughRule>>;

// "host:port" or "[v6]:port" taken apart; false when it is neither.
bool parse_relay_target(std::string_view text, core::RelayTarget& into);
// Requires: a configuration that was checked.
PassThroughRules make_pass_through_rules(const PassThroughConf& conf);
// Everything that the tables cannot see: addresses, targets, ports taken twice.
void check_pass_through(const Config& config, core::Problems& problems);

}  // namespace goma::http
