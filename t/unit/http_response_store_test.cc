// SPDX-License-Identifier: Apache-2.0
//
// The response store on a zone of its own: heads as they lie there, places of variants, leases, and what a purge leaves.
#include "http/response_store.h"

#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "core/slab.h"
#include "gateway_fixture.h"
#include "http/vary.h"

namespace {

using goma::core::Arena;
using goma::core::ChunkPool;
using goma::core::Slab;
using goma::http::Exchange;
using goma::http::Freshness;
using goma::http::Headers;
using goma::http::ResponseStore;
using goma::http::StoredFacts;
using goma::http::StoredKind;
using goma::http::StoreKey;
using goma::http::StorePlace;
using goma::http::StoreQuestion;
using goma::http::Verdict;
using goma::test::Gateway;

// What the next request does.
std::function<void(Exchange&)> play;

class Stage final : public goma::http::Middleware {
 public:
  Verdict on_request(Exchange& x) const override {
    play(x);
    return x.reply_with(200, "text/plain", "done");
  }
};

std::unique_ptr<goma::http::Middleware> make(goma::http::BuildContext&) { return std::make_unique<Stage>(); }
constexpr std::string_view types[] = {"stage"};
const goma::http::ModuleInfo stage_module = {.name = "stage", .types = types, .doc = "", .fields = {}, .make = make};
constexpr const char* yaml = R"(version: 2
gateway:
  routes:
    - {name: one, path: /, target: "http://127.0.0.1:1", middlewares: [s]}
middlewares:
  - {name: s, type: stage}
)";

struct World : Gateway {
  World() : Gateway(yaml, {&stage_module}), slab(Slab::create(size_t{256} << 20).value()) {
    CHECK(built());
    CHECK(store.provide(slab, 32 << 20));
  }
  // Runs it while a request with these fields is judged.
  void during(std::string_view fields, std::function<void(Exchange&)> what) {
    play = std::move(what);
    CHECK_EQ(get("/dir/page", fields).body, "done");
  }

  Slab slab;
  ResponseStore store{loop, nullptr};
};

StoreQuestion question(World& world, Exchange& x, std::string_view name) { return {world.store.key().add(name).made(), "a.test", x.path(), &x.request().headers}; }

// Stores a body under a question; names: what it differs by.
bool put(World& world, Exchange& x, std::string_view name, std::string_view body, const std::vector<std::string>& names = {}, const std::vector<std::string>& tags = {}) {
  const StoreQuestion q = question(world, x, name);
  Headers differing(x.arena());
  for (const std::string& one : names) differing.add(one, {});
  Headers fields(x.arena());
  fields.add("Content-Type", "text/plain");
  fields.add("X-Odd", "");
  StoredFacts facts;
  facts.status = 203;
  facts.stored_ms = world.store.wall_ms();
  facts.purge = world.store.last_purge();
  facts.freshness = {1, 2, 3, 4, true};
  std::vector<StoreKey> keys;
  for (const std::string& tag : tags) keys.push_back(world.store.mark_of_tag(tag));
  goma::core::CacheZone::Draft draft = world.store.begin();
  return draft && draft.append(body) && world.store.publish(x, draft, q, world.store.find(x, q), differing, world.store.wall_ms(), encode_stored(x.arena(), facts, fields, keys));
}

std::string got(World& world, Exchange& x, std::string_view name) {
  const StorePlace place = world.store.find(x, question(world, x, name));
  std::string body;
  for (size_t i = 0; place.response != nullptr && i < place.response->pieces(); ++i) body += place.response->piece(i);
  return place.response != nullptr ? body : "none";
}

void keys_are_unambiguous() {
  World world;
  const auto key = [&](std::vector<std::string> parts) {
    auto maker = world.store.key();
    for (const std::string& part : parts) maker.add(part);
    return maker.made();
  };
  CHECK(key({"a", "b"}) == key({"a", "b"}));
  CHECK(!(key({"a", "b"}) == key({"ab"})));
  CHECK(!(key({"a", "b"}) == key({"ab", ""})));
  CHECK(!(key({"a", ""}) == key({"a"})));
  CHECK(!(key({std::string(600, 'x')}) == key({std::string(601, 'x')})));
  CHECK(!(key({std::string(600, 'x'), "y"}) == key({std::string(600, 'x') + "y"})));
  CHECK(!(world.store.mark_of_url("a", "/b") == world.store.mark_of_prefix("a", "/b")));
}

void a_response_comes_back_as_it_was() {
  World world;
  world.during("", [&](Exchange& x) {
    CHECK_EQ(got(world, x, "page"), "none");
    CHECK(put(world, x, "page", "hello"));
    const StorePlace place = world.store.find(x, question(world, x, "page"));
    CHECK(place.response != nullptr);
    const StoredFacts& facts = place.response->facts();
    CHECK(facts.status == 203 && facts.kind == StoredKind::response);
    const Freshness& f = facts.freshness;
    CHECK(f.age_s == 1 && f.lifetime_s == 2 && f.stale_while_revalidate_s == 3 && f.stale_if_error_s == 4 && f.must_revalidate);
    Headers fields(x.arena());
    place.response->copy_fields(fields);
    CHECK_EQ(fields.size(), 2U);
    CHECK_EQ(fields.get(goma::http::HeaderId::content_type), "text/plain");
    CHECK(fields.find("x-odd") != nullptr && fields.find("x-odd")->value.empty());
    CHECK_EQ(got(world, x, "page"), "hello");
    CHECK(put(world, x, "page", ""));
    CHECK_EQ(got(world, x, "page"), "");
  });
}

void pieces_are_the_body() {
  World world;
  std::string large;
  for (int i = 0; large.size() < 1'000'000; ++i) large += std::to_string(i);
  world.during("", [&](Exchange& x) {
    CHECK(put(world, x, "large", large));
    CHECK(got(world, x, "large") == large);
  });
}

void variants_lie_apart() {
  World world;
  const auto with = [&](std::string_view kind, auto what) { world.during("X-Kind: " + std::string(kind) + "\r\n", what); };
  with("a", [&](Exchange& x) { CHECK(put(world, x, "v", "for a", {"x-kind"})); });
  with("b", [&](Exchange& x) {
    CHECK_EQ(got(world, x, "v"), "none");
    CHECK(put(world, x, "v", "for b", {"x-kind"}));
  });
  with("a", [&](Exchange& x) { CHECK_EQ(got(world, x, "v"), "for a"); });
  with("b", [&](Exchange& x) {
    CHECK_EQ(got(world, x, "v"), "for b");
    CHECK(world.store.find(x, question(world, x, "v")).variants != nullptr);
    world.store.remove(question(world, x, "v").url);  // and all variants with it, for good
    CHECK_EQ(got(world, x, "v"), "none");
  });
  CHECK(world.run_until([&, since = world.store.wall_ms()] { return world.store.wall_ms() > since; }));
  with("a", [&](Exchange& x) { CHECK(put(world, x, "v", "new", {"x-kind"})); });
  with("b", [&](Exchange& x) { CHECK_EQ(got(world, x, "v"), "none"); });
}

// A fetch that began before an unsafe method and ends after it brings what was before.
void what_was_fetched_before_a_change_is_not_stored() {
  World world;
  world.during("", [&](Exchange& x) {
    goma::http::StoreLease lease;
    const StoreQuestion q = question(world, x, "changed");
    CHECK(lease.take(world.store, q.url, 10'000));
    world.store.invalidate(x, q.url);
    Headers none(x.arena());
    StoredFacts facts;
    facts.status = 200;
    const std::string_view head = encode_stored(x.arena(), facts, none, {});
    goma::core::CacheZone::Draft early = world.store.begin();
    CHECK(!world.store.publish(x, early, q, world.store.find(x, q), none, world.store.wall_ms() - 5, head));
    CHECK_EQ(got(world, x, "changed"), "none");
    goma::core::CacheZone::Draft late = world.store.begin();
    CHECK(world.store.publish(x, late, q, world.store.find(x, q), none, world.store.wall_ms() + 1, head));
    CHECK_EQ(got(world, x, "changed"), "");
  });
}

void what_is_purged_is_gone() {
  World world;
  const auto purge = [&](StoreKey mark) { world.store.zone()->purge(mark); };
  const auto fill = [&](Exchange& x) {
    CHECK(put(world, x, "p", "body", {}, {"red", "blue"}));
    CHECK_EQ(got(world, x, "p"), "body");
  };
  const auto gone = [&](std::function<StoreKey()> mark) {
    world.during("", [&](Exchange& x) {
      fill(x);
      purge(world.store.mark_of_tag("green"));
      purge(world.store.mark_of_prefix("a.test", "/other/"));
      purge(world.store.mark_of_url("b.test", "/dir/page"));
      CHECK_EQ(got(world, x, "p"), "body");
      purge(mark());
      CHECK_EQ(got(world, x, "p"), "none");
    });
  };
  gone([&] { return world.store.mark_of_tag("blue"); });
  gone([&] { return world.store.mark_of_url("a.test", "/dir/page"); });
  gone([&] { return world.store.mark_of_prefix("a.test", "/dir/"); });
  gone([&] { return world.store.mark_of_prefix("a.test", "/"); });
  world.during("", fill);  // what is stored later is not touched
}

void one_has_the_lease() {
  World world;
  const StoreKey key = world.store.key().add("x").made();
  {
    goma::http::StoreLease first, second, third;
    CHECK(first.take(world.store, key, 1000));
    CHECK(!second.take(world.store, key, 1000));
    third.take(first);
    CHECK(third.held() && !first.held());
    first.end();
    CHECK(!second.take(world.store, key, 1000));
  }
  goma::http::StoreLease again;
  CHECK(again.take(world.store, key, 1000));
  CHECK(!world.store.passes(key));
  world.store.pass(key);
  CHECK(world.store.passes(key));
}

// Whatever bytes are found under a key, a head that is not exactly one of ours is none.
void damaged_heads_are_none() {
  World world;
  world.during("", [&](Exchange& x) {
    Headers fields(x.arena());
    fields.add("Content-Type", "text/plain");
    StoredFacts facts;
    facts.status = 200;
    const std::string good(encode_stored(x.arena(), facts, fields, {}));
    std::mt19937_64 random(goma::test::seed());
    const StoreQuestion q = question(world, x, "damaged");
    for (int i = 0; i < 2'000; ++i) {
      std::string head = good;
      if (random() % 2 == 0) head.resize(random() % (head.size() + 1));
      if (!head.empty()) head[random() % head.size()] = static_cast<char>(random());
      goma::core::CacheZone::Draft draft = world.store.begin();
      CHECK(draft && draft.publish(q.url, head));
      const StorePlace place = world.store.find(x, q);
      if (place.response == nullptr) continue;
      Headers read(x.arena());
      place.response->copy_fields(read);
      CHECK(read.size() <= 1);
    }
  });
}

void too_much_is_refused() {
  ChunkPool pool;
  Arena arena(pool);
  Headers fields(arena);
  const std::string value(1000, 'x');
  for (int i = 0; i < 40; ++i) fields.add("X-Long", value);
  CHECK_EQ(encode_stored(arena, {}, fields, {}).size(), 0U);
}

}  // namespace

GOMA_TESTS(keys_are_unambiguous, a_response_comes_back_as_it_was, pieces_are_the_body, variants_lie_apart, what_was_fetched_before_a_change_is_not_stored, what_is_purged_is_gone, one_has_the_lease, damaged_heads_are_none, too_much_is_refused)
