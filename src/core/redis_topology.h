// SPDX-License-Identifier: Apache-2.0
//
// Which node a command goes to, and how that is found out and kept right: one server, the primary that Sentinels name, or
// the nodes of a cluster. Who sends commands sees one question: the link for a slot.
//
// The invariant: a link lives until nobody can be on its stack; what is replaced is buried from the loop.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/redis.h"
#include "core/redis_link.h"
#include "core/redis_slots.h"

namespace goma::core {

// Sends the topology's own questions, which go to a certain link.
class RedisAsker : public RedisLinkOwner {
 public:
  virtual void ask(RedisLink& link, std::initializer_list<std::string_view> words, RedisCall& call) = 0;
  // Where commands go has changed.
  virtual void on_topology_changed() = 0;
};

class RedisTopology {
 public:
  static std::unique_ptr<RedisTopology> make(const RedisLink::Parts& parts, RedisAsker& asker, std::shared_ptr<const RedisSettings> settings);
  virtual ~RedisTopology() = default;
  // Another one has taken its place: it finishes what it has, and asks nothing more.
  virtual void retire() {}

  // The link that a command of this slot (-1: any) goes to; null: none is known.
  virtual RedisLink* link_for(int slot) = 0;
  // Where a node sent a command to. Null: it cannot be followed.
  virtual RedisLink* redirected(const Redirect&) { return nullptr; }
  virtual void on_link_changed(RedisLink& link) = 0;
  // The node is not what it was thought to be.
  virtual void distrust(RedisLink& link, std::string_view why) = 0;
  // Why there is no link; empty: there is.
  virtual std::string problem() = 0;
  // A node that can be subscribed to; nothing: none is known.
  virtual const RedisAddress* subscribable() = 0;
  virtual void describe(std::vector<RedisState::Node>& nodes) const = 0;
  // Every primary that is known.
  virtual std::vector<RedisLink*> primaries() = 0;
};

// A line about a link, for people.
RedisState::Node node_state(const RedisLink& link, std::string_view role);

}  // namespace goma::core
