// SPDX-License-Identifier: Apache-2.0
//
// Cache-Control in all its spellings: what is doubtful is read in the way that stores less.
#include "http/cache_control.h"

#include <string>
#include <vector>

#include "check.h"
#include "core/arena.h"

namespace {

using goma::core::Arena;
using goma::core::ChunkPool;
using goma::http::CacheControl;
using goma::http::HeaderId;
using goma::http::Headers;

CacheControl response(const std::vector<std::string>& lines) {
  ChunkPool pool;
  Arena arena(pool);
  Headers headers(arena);
  for (const std::string& line : lines) headers.add(HeaderId::cache_control, line);
  return goma::http::parse_response_cache_control(headers);
}

CacheControl request(std::string_view cache_control, std::string_view pragma = {}) {
  ChunkPool pool;
  Arena arena(pool);
  Headers headers(arena);
  if (!cache_control.empty()) headers.add(HeaderId::cache_control, cache_control);
  if (!pragma.empty()) headers.add("Pragma", pragma);
  return goma::http::parse_request_cache_control(headers);
}

void reads_directives() {
  const CacheControl cc = response({"public, max-age=10, s-maxage=20 ,must-revalidate", "proxy-revalidate,stale-while-revalidate=5, stale-if-error=6"});
  CHECK(cc.given && cc.is_public && cc.must_revalidate && cc.proxy_revalidate && !cc.no_store && !cc.no_cache && !cc.is_private);
  CHECK_EQ(cc.max_age, 10);
  CHECK_EQ(cc.s_maxage, 20);
  CHECK_EQ(cc.stale_while_revalidate, 5);
  CHECK_EQ(cc.stale_if_error, 6);
}

void nothing_is_nothing() {
  CHECK(!response({}).given);
  const CacheControl empty = response({"", " , ,"});
  CHECK(empty.given && empty.max_age == CacheControl::absent);
}

void case_does_not_matter() {
  CHECK(response({"No-StOrE"}).no_store);
  CHECK_EQ(response({"MAX-AGE=7"}).max_age, 7);
}

void of_several_the_strictest() {
  CHECK_EQ(response({"max-age=10, max-age=5, max-age=20"}).max_age, 5);
  CHECK_EQ(response({"s-maxage=10", "s-maxage=1"}).s_maxage, 1);
  CHECK(response({"public, private"}).is_private);
}

void numbers_that_are_none_are_zero() {
  for (const char* text : {"max-age", "max-age=", "max-age=-1", "max-age=1.5", "max-age=1e3", "max-age=0x10", "max-age=10s", "max-age= 10", "max-age = 10", "max-age=\"10", "max-age='10'", "max-age=１０"}) {
    CHECK_EQ(response({text}).max_age, 0);
  }
}

void large_numbers_are_the_largest() {
  CHECK_EQ(response({"max-age=2147483648"}).max_age, CacheControl::longest);
  CHECK_EQ(response({"max-age=99999999999999999999999999"}).max_age, CacheControl::longest);
  CHECK_EQ(response({"max-age=0000000000000000000000000010"}).max_age, 10);
}

void quotes_hold_commas() {
  const CacheControl cc = response({R"(a="b, no-store, \", private", max-age=3)"});
  CHECK(!cc.no_store && !cc.is_private);
  CHECK_EQ(cc.max_age, 3);
  CHECK_EQ(response({"max-age=\"5\""}).max_age, 5);
  for (const char* text : {R"(private="a, b")", R"(no-cache="a")", "no-cache=a"}) CHECK(response({text}).names_fields && !response({text}).is_private && !response({text}).no_cache);
  for (const char* text : {R"(private="")", R"(private="a b")", "private="}) CHECK(response({text}).is_private);
}

void a_quote_without_end_forbids_storing() {
  CHECK(response({R"(max-age=3, a="b)"}).no_store);
  CHECK(response({R"(max-age=3, a="b\)"}).no_store);
  CHECK(response({"\""}).no_store);
}

void semicolons_separate_too() {
  const CacheControl cc = response({"max-age=60; no-store"});
  CHECK(cc.no_store);
  CHECK_EQ(cc.max_age, 60);
}

void requests() {
  const CacheControl cc = request("max-age=1, max-stale=30, min-fresh=4, min-fresh=9, only-if-cached");
  CHECK(cc.only_if_cached && !cc.any_staleness);
  CHECK_EQ(cc.max_stale, 30);
  CHECK_EQ(cc.min_fresh, 9);
  CHECK(request("max-stale").any_staleness);
  CHECK(!request("max-stale, max-stale=5").any_staleness);
  CHECK_EQ(request("max-stale=x").max_stale, 0);
  CHECK_EQ(request("min-fresh=x").min_fresh, CacheControl::absent);
}

void pragma_counts_alone() {
  CHECK(request({}, "no-cache").no_cache);
  CHECK(request({}, "a, No-Cache").no_cache);
  CHECK(!request("max-age=5", "no-cache").no_cache);
}

// Whatever the bytes are, reading ends, and stays within them.
void any_bytes_can_be_read() {
  std::mt19937_64 random(goma::test::seed());
  const std::string_view alphabet = "\",;= \\amxg-e=10no-storeprivate\t";
  for (int i = 0; i < 20'000; ++i) {
    std::string text(random() % 40, ' ');
    for (char& c : text) c = alphabet[random() % alphabet.size()];
    const CacheControl cc = response({text});
    CHECK(cc.max_age >= CacheControl::absent && cc.max_age <= CacheControl::longest);
  }
}

}  // namespace

GOMA_TESTS(reads_directives, nothing_is_nothing, case_does_not_matter, of_several_the_strictest, numbers_that_are_none_are_zero, large_numbers_are_the_largest,
           quotes_hold_commas, a_quote_without_end_forbids_storing, semicolons_separate_too, requests, pragma_counts_alone, any_bytes_can_be_read)
