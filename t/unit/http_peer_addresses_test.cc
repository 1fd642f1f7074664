// SPDX-License-Identifier: Apache-2.0
//
// A set that changes, turns over it, and addresses that do not take connections.
#include "http/peer_addresses.h"

#include "check.h"

using goma::core::Address;
using goma::http::PeerAddresses;

namespace {

Address at(int n) { return *Address::parse_ip(fmt::format("192.0.2.{}", n), 80); }

constexpr int64_t now = 1'000'000;

void while_nothing_is_known_everything_is_good() {
  PeerAddresses addresses;
  CHECK(addresses.has(at(1)));
  CHECK(addresses.next() == nullptr);
}

void a_change_is_news_and_an_order_is_not() {
  PeerAddresses addresses;
  CHECK(addresses.learn({at(1), at(2)}));
  CHECK(!addresses.learn({at(2), at(1)}));
  CHECK(addresses.learn({at(2), at(3)}));
  CHECK(!addresses.has(at(1)) && addresses.has(at(3)));
  CHECK(addresses.learn({at(3)}));
  CHECK(addresses.next() == nullptr);
}

void all_have_their_turn() {
  PeerAddresses addresses;
  addresses.learn({at(1), at(2), at(3)});
  int turns[4] = {};
  for (int i = 0; i < 30; ++i) ++turns[addresses.next()->bytes()[15]];
  CHECK_EQ(turns[1], 10);
  CHECK_EQ(turns[2], 10);
  addresses.learn({at(1)});
  addresses.learn({at(1), at(2)});
  for (int i = 0; i < 10; ++i) CHECK(addresses.has(*addresses.next()));
}

void one_at_a_time_is_added_and_none_after_a_failure() {
  PeerAddresses addresses;
  addresses.learn({at(1), at(2)});
  CHECK(addresses.may_add(at(1), now));
  CHECK(!addresses.may_add(at(9), now));
  addresses.adding(at(1));
  CHECK(!addresses.may_add(at(1), now));
  addresses.learn({at(1), at(2), at(3)});  // what is known of an address stays
  CHECK(!addresses.may_add(at(1), now));
  addresses.connected(at(1));
  CHECK(addresses.may_add(at(1), now));
  addresses.failed(at(1), now);
  CHECK(!addresses.may_add(at(1), now + PeerAddresses::failed_ms - 1));
  CHECK(addresses.may_add(at(1), now + PeerAddresses::failed_ms));
  addresses.failed(at(9), now);  // unknown: nothing happens
}

void what_failed_comes_last() {
  PeerAddresses addresses;
  addresses.learn({at(1), at(2), at(3)});
  addresses.failed(at(1), now);
  PeerAddresses::List list{at(1), at(2), at(3)};
  addresses.sort(list, now);
  CHECK(list == (PeerAddresses::List{at(2), at(3), at(1)}));
  list = {at(1), at(2), at(3)};
  addresses.sort(list, now + PeerAddresses::failed_ms);
  CHECK(list.front() == at(1));
}

}  // namespace

GOMA_TESTS(while_nothing_is_known_everything_is_good, a_change_is_news_and_an_order_is_not, all_have_their_turn, one_at_a_time_is_added_and_none_after_a_failure,
           what_failed_comes_last)
