// SPDX-License-Identifier: Apache-2.0
//
// A ban has a name everywhere, is listed while it holds, and can be lifted.
#include "core/bans.h"

#include "core/slab.h"

#include "check.h"

using goma::core::Ban;
using goma::core::BanNews;
using goma::core::Bans;
using goma::core::LimitZone;
using goma::core::Slab;

namespace {

constexpr int64_t second = 1'000'000'000;
constexpr int64_t start = 1'000 * second;

struct Bench {
  Slab slab = std::move(Slab::create().value());
  LimitZone zone = LimitZone::open(slab).value();
  Bans bans = Bans::open(slab, zone).value();
};

Ban ban_of(const std::string& ip) { return {"shop", "limit", "", ip, "ip:" + ip, "rate:ban:shop:limit:ip:" + ip}; }

void a_ban_is_listed_while_it_holds() {
  Bench b;
  b.bans.impose(ban_of("192.0.2.1"), start, start + second);
  CHECK_EQ(b.zone.banned_until(ban_of("192.0.2.1").number(b.zone), start), start + second);
  const auto listed = b.bans.list(start);
  CHECK_EQ(listed.size(), 1u);
  CHECK_EQ(listed[0].ban.shown, "ip:192.0.2.1");
  CHECK_EQ(listed[0].ban.route, "shop");
  CHECK_EQ(listed[0].ban.mark, "rate:ban:shop:limit:ip:192.0.2.1");
  CHECK_EQ(listed[0].left_ns, second);
  CHECK(b.bans.list(start + second).empty());
}

void a_ban_again_is_one_row() {
  Bench b;
  b.bans.impose(ban_of("192.0.2.1"), start, start + second);
  b.bans.impose(ban_of("192.0.2.1"), start, start + 2 * second);
  CHECK_EQ(b.bans.list(start).size(), 1u);
  CHECK_EQ(b.bans.list(start)[0].left_ns, 2 * second);
}

void a_lifted_ban_is_gone() {
  Bench b;
  b.bans.impose(ban_of("192.0.2.1"), start, start + second);
  b.bans.impose(ban_of("192.0.2.2"), start, start + second);
  CHECK(b.bans.lift(ban_of("192.0.2.1"), start));
  CHECK(!b.bans.lift(ban_of("192.0.2.1"), start));
  CHECK_EQ(b.bans.list(start).size(), 1u);
  CHECK_EQ(b.zone.banned_until(ban_of("192.0.2.1").number(b.zone), start), 0);
}

void more_bans_than_rows_hold_all_the_same() {
  Bench b;
  constexpr int many = 20'000;
  for (int i = 0; i < many; ++i) b.bans.impose(ban_of(std::to_string(i)), start, start + second);
  CHECK(b.bans.list(start).size() <= Bans::max_listed);
  CHECK(b.bans.list(start).size() > Bans::max_listed / 2);
  for (int i = 0; i < many; ++i) CHECK(b.zone.banned_until(ban_of(std::to_string(i)).number(b.zone), start) != 0);
}

void an_identity_comes_back_as_it_was() {
  Ban ban = ban_of("192.0.2.1");
  ban.value = std::string("\0\xff\n", 3);
  const auto back = Ban::from_identity(*ban.identity());
  CHECK(back.has_value());
  CHECK_EQ(back->value, ban.value);
  CHECK_EQ(back->shown, ban.shown);
  CHECK(!Ban::from_identity("nonsense"));
  ban.value = std::string(2'000, 'x');
  CHECK(!ban.identity());
}

void news_come_back_as_they_were() {
  const BanNews news{"host", true, 77, "identity"};
  const auto back = BanNews::parse(news.message());
  CHECK(back.has_value());
  CHECK_EQ(back->host, "host");
  CHECK(back->lifted);
  CHECK_EQ(back->until_ms, 77);
  CHECK_EQ(back->identity, "identity");
  CHECK(!BanNews::parse("ban2 and so on"));
  CHECK(!BanNews::parse(news.message().substr(0, 20)));
}

// Two hosts have two secrets, and one identity.
void another_host_bans_the_same_client() {
  Bench here, there;
  const Ban ban = *Ban::from_identity(*ban_of("192.0.2.1").identity());
  CHECK(ban.number(here.zone) != ban.number(there.zone));
  there.bans.impose(ban, start, start + second);
  CHECK_EQ(there.zone.banned_until(there.zone.id("", "192.0.2.1", there.zone.id("shop", "limit")), start), start + second);
}

}  // namespace

GOMA_TESTS(a_ban_is_listed_while_it_holds, a_ban_again_is_one_row, a_lifted_ban_is_gone, more_bans_than_rows_hold_all_the_same,
           an_identity_comes_back_as_it_was, news_come_back_as_they_were, another_host_bans_the_same_client)
