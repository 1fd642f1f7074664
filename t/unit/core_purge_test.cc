// SPDX-License-Identifier: Apache-2.0
//
// How purges are written and read, how they are numbered, and that what was asked for before is gone.
#include "core/purge.h"

#include "core/slab.h"

#include "check.h"

using goma::core::CacheZone;
using goma::core::Purge;
using goma::core::Slab;
using Kind = Purge::Kind;

namespace {

std::string text(std::string_view kind, std::string_view what) {
  const std::optional<Purge> purge = Purge::parse(kind, what);
  return purge ? purge->text() : "none";
}

void what_operators_write_is_understood() {
  CHECK_EQ(text("url", "https://Shop.Example/books/7?x=1#y"), "url shop.example/books/7");
  CHECK_EQ(text("url", "shop.example"), "url shop.example/");
  CHECK_EQ(text("prefix", "shop.example/books"), "prefix shop.example/books/");
  CHECK_EQ(text("prefix", "http://shop.example:8080/"), "prefix shop.example:8080/");
  CHECK_EQ(text("tag", "blue"), "tag blue");
  CHECK_EQ(text("all", ""), "all");
  for (const auto& [kind, what] : {std::pair("url", ""), {"url", "/path"}, {"all", "x"}, {"tags", "x"}, {"", ""}, {"tag", ""}}) CHECK_EQ(text(kind, what), "none");
  CHECK_EQ(text("tag", std::string(5'000, 'x')), "none");
}

void what_is_written_is_read_again() {
  for (const char* said : {"url shop.example/books/7", "prefix a.test/p/", "tag blue", "all"}) CHECK_EQ(Purge::read(said)->text(), said);
  CHECK_EQ(Purge::heard("7-1 tag blue")->first.text(), "tag blue");
  CHECK_EQ(Purge::heard("7-1 tag blue")->second, Purge::number_of("7-1"));
  for (const char* said : {"nonsense", "7-1 nonsense x", "7-1", "host1 tag blue", "7-x tag blue", ""}) CHECK(!Purge::heard(said));
}

void numbers_are_in_the_order_of_the_stream() {
  const char* entries[] = {"1-0", "1-1", "1-4095", "2-0", "1790000000000-0", "1790000000000-7", "1790000000001-0"};
  for (size_t i = 1; i < std::size(entries); ++i) CHECK(Purge::number_of(entries[i - 1]) < Purge::number_of(entries[i]));
  CHECK(Purge::number_of("5-0") + 1 < Purge::number_of("5-1"));  // a host's own number lies between those of Redis
  for (const char* none : {"", "5", "-", "5-", "-5", "5-0x", "a-b"}) CHECK_EQ(Purge::number_of(none), 0U);
}

void what_was_asked_for_before_is_gone() {
  Slab slab = Slab::create(size_t{64} << 20).value();
  CacheZone zone = CacheZone::open(slab, size_t{8} << 20).value();
  const auto mark = Purge::mark(zone, Kind::tag, {}, "blue");
  Purge{Kind::tag, {}, "blue"}.apply(zone, 10'000);
  CHECK(zone.is_purged(mark, 9'999));
  CHECK(!zone.is_purged(mark, 11'000));
  CHECK(!zone.is_purged(Purge::mark(zone, Kind::tag, {}, "green"), 9'999));
  CHECK(!zone.is_purged(Purge::mark(zone, Kind::url, {}, "blue"), 9'999));
  Purge{Kind::tag, {}, "blue"}.apply(zone, 5'000);  // heard late
  CHECK(zone.is_purged(mark, 9'999));
  Purge{Kind::all, {}, {}}.apply(zone, 20'000);
  CHECK(zone.is_purged(Purge::mark(zone, Kind::tag, {}, "green"), 19'999));
  CHECK_EQ((Purge{Kind::tag, {}, "blue"}.apply(zone)), 20'001U);  // ordered here
  CHECK(zone.is_purged(mark, 20'000) && !zone.is_purged(mark, zone.last_purge()));
}

// However a path is spelt, its mark is that of what it reads; an encoded slash is none, and a tag is no path.
void every_spelling_has_one_mark() {
  Slab slab = Slab::create(size_t{64} << 20).value();
  CacheZone zone = CacheZone::open(slab, size_t{8} << 20).value();
  const auto is_gone = [&](Kind kind, std::string_view name) { return zone.is_purged(Purge::mark(zone, kind, kind == Kind::tag ? "" : "a.test", name), 9'999); };
  Purge::parse("url", "a.test/%70/a%20b%2fc%252F%zz")->apply(zone, 10'000);
  CHECK(is_gone(Kind::url, "/p/a b%2Fc%2F%zz"));
  CHECK(!is_gone(Kind::url, "/p/a b/c%2F%zz"));
  Purge::parse("prefix", "a.test/%71")->apply(zone, 10'000);
  CHECK(is_gone(Kind::prefix, "/q/"));
  Purge::parse("tag", "%70")->apply(zone, 10'000);
  CHECK(is_gone(Kind::tag, "%70") && !is_gone(Kind::tag, "p"));
}

}  // namespace

GOMA_TESTS(every_spelling_has_one_mark, what_operators_write_is_understood, what_is_written_is_read_again,
           numbers_are_in_the_order_of_the_stream, what_was_asked_for_before_is_gone)
