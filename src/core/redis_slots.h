// SPDX-License-Identifier: Apache-2.0
//
// Which node of a cluster has which keys: a key's slot (CRC16 of it, or of its hash tag), and the map of slots that a
// node gives (CLUSTER SLOTS). Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/redis.h"
#include "core/redis_settings.h"

namespace goma::core {

inline constexpr int redis_slots = 16'384;

// The slot of a key: of what stands between the first "{" and the next "}", when there is anything, else of all.
int redis_slot(std::string_view key);

struct SlotRange {
  int first = 0;
  int last = 0;
  RedisAddress primary;
};

// Reads the answer to CLUSTER SLOTS, which `asked` gave. An empty host is that node's own, a port 0 its own port
// (clusters that only speak TLS), and a loopback address, where the node was not reached by one, that node's host. What
// makes no sense is left out.
std::vector<SlotRange> read_slot_map(const RedisReply& reply, const RedisAddress& asked);

// "MOVED 3999 127.0.0.1:6381", "ASK ...". False: it is neither.
struct Redirect {
  bool ask = false;
  int slot = 0;
  RedisAddress to;
};
bool read_redirect(std::string_view error, const RedisAddress& asked, Redirect& into);

// "0-5460, 10923": the slots that no range has; empty: none is missing.
std::string missing_slots(const std::vector<SlotRange>& ranges);

}  // namespace goma::core
