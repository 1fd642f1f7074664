// SPDX-License-Identifier: Apache-2.0
//
// At most 64 entries, so they are walked.
#include "http/peer_addresses.h"

#include <algorithm>
#include <utility>

namespace goma::http {

PeerAddresses::Entry* PeerAddresses::find(const core::Address& address) {
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.address == address; });
  return found != entries_.end() ? &*found : nullptr;
}

const PeerAddresses::Entry* PeerAddresses::find(const core::Address& address) const { return const_cast<PeerAddresses*>(this)->find(address); }

bool PeerAddresses::learn(const List& addresses) {
  const bool same = addresses.size() == entries_.size() && std::all_of(addresses.begin(), addresses.end(), [this](const core::Address& a) { return find(a) != nullptr; });
  if (same) return false;
  std::vector<Entry> entries;
  for (const core::Address& address : addresses) {
    const Entry* known = find(address);
    entries.push_back(known != nullptr ? *known : Entry{address, 0, false});
  }
  entries_ = std::move(entries);
  return true;
}

bool PeerAddresses::has(const core::Address& address) const { return entries_.empty() || find(address) != nullptr; }

const core::Address* PeerAddresses::take_turn() {
  turn_ = (turn_ + 1) % entries_.size();
  return &entries_[turn_].address;
}

bool PeerAddresses::may_add(const core::Address& address, int64_t now_ms) const {
  const Entry* entry = find(address);
  return entry != nullptr && !entry->adding && entry->failed_until_ms <= now_ms;
}

void PeerAddresses::adding(const core::Address& address) {
  if (Entry* entry = find(address)) entry->adding = true;
}

void PeerAddresses::connected(const core::Address& address) {
  if (Entry* entry = find(address)) *entry = {address, 0, false};
}

void PeerAddresses::failed(const core::Address& address, int64_t now_ms) {
  if (Entry* entry = find(address)) *entry = {address, now_ms + failed_ms, false};
}

void PeerAddresses::sort(List& addresses, int64_t now_ms) const {
  std::stable_partition(addresses.begin(), addresses.end(), [&](const core::Address& address) {
    const Entry* entry = find(address);
    return entry == nullptr || entry->failed_until_ms <= now_ms;
  });
}

}  // namespace goma::http
