// SPDX-License-Identifier: Apache-2.0
//
// The addresses that a backend's name has, as far as is known: which of them a connection should go to next, and which do
// not take connections at the moment. Knows no connection; the pool asks it.
//
// The one idea: load follows the set. A connection to an address that the name no longer has is outdated; one whose turn it
// is and that has none to lend gets one, beside the traffic.
#pragma once

#include <cstdint>
#include <vector>

#include "core/socket.h"

namespace goma::http {

class PeerAddresses {
 public:
  using List = std::vector<core::Address>;

  // The name has these now. Whether that is news.
  bool learn(const List& addresses);
  // Whether connections to it are as good as any; while nothing is known, all are.
  bool has(const core::Address& address) const;
  size_t size() const { return entries_.size(); }
  // Whose turn it is. Null where there is no choice.
  const core::Address* next() { return entries_.size() < 2 ? nullptr : take_turn(); }

  // Whether one more connection may be tried to it beside the traffic: none is being made, and none failed lately.
  bool may_add(const core::Address& address, int64_t now_ms) const;
  // One is being made.
  void adding(const core::Address& address);
  // A connection to it came about, or did not.
  void connected(const core::Address& address);
  void failed(const core::Address& address, int64_t now_ms);
  // Those that failed lately last, in the order they had.
  void sort(List& addresses, int64_t now_ms) const;

  static constexpr int64_t failed_ms = 10'000;  // what "lately" is

 private:
  struct Entry {
    core::Address address;
    int64_t failed_until_ms = 0;
    bool adding = false;
  };
  const core::Address* take_turn();
  Entry* find(const core::Address& address);
  const Entry* find(const core::Address& address) const;

  std::vector<Entry> entries_;
  size_t turn_ = 0;
};

}  // namespace goma::http
