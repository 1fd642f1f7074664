// SPDX-License-Identifier: Apache-2.0
//
// Dates, lifetimes, ages and what may be served: the arithmetic of RFC 9111 4.2.
#include "http/freshness.h"

#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "core/arena.h"
#include "http/http_date.h"

namespace {

using goma::core::Arena;
using goma::core::ChunkPool;
using goma::http::CacheControl;
using goma::http::Freshness;
using goma::http::FreshnessRule;
using goma::http::Headers;
using goma::http::parse_http_date;
using goma::http::Use;

constexpr int64_t now_s = 784'111'777;  // Sun, 06 Nov 1994 08:49:37 GMT
constexpr const char* now_text = "Sun, 06 Nov 1994 08:49:37 GMT";
constexpr const char* hour_ago = "Sun, 06 Nov 1994 07:49:37 GMT";
constexpr const char* hour_ahead = "Sun, 06 Nov 1994 09:49:37 GMT";

const FreshnessRule goma_rule = [] { FreshnessRule r; r.ttl = FreshnessRule::Ttl::goma; r.max_s = 300; return r; }();

using Fields = std::vector<std::pair<std::string, std::string>>;

Freshness of(const Fields& fields, const FreshnessRule& rule = goma_rule, int status = 200, int64_t delay_s = 0) {
  ChunkPool pool;
  Arena arena(pool);
  Headers headers(arena);
  for (const auto& [name, value] : fields) headers.add(name, value);
  return freshness_of(status, goma::http::parse_response_cache_control(headers), headers, rule, {now_s - delay_s, now_s});
}

std::string_view why_not(const Fields& fields, bool personal = false, const CacheControl& request = {}, int status = 200) {
  ChunkPool pool;
  Arena arena(pool);
  Headers headers(arena);
  for (const auto& [name, value] : fields) headers.add(name, value);
  return goma::http::why_not_stored(status, request, goma::http::parse_response_cache_control(headers), headers, personal);
}

FreshnessRule rule(FreshnessRule::Ttl ttl, int64_t max_s = 300) {
  FreshnessRule r;
  r.ttl = ttl;
  r.max_s = max_s;
  return r;
}

void three_forms_of_dates() {
  for (const char* text : {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"}) CHECK_EQ(parse_http_date(text, now_s).value_or(0), now_s);
  CHECK_EQ(parse_http_date("Thu, 01 Jan 1970 00:00:00 GMT", now_s).value_or(-1), 0);
  CHECK_EQ(parse_http_date("Tue, 29 Feb 2000 12:00:00 GMT", now_s).value_or(0), 951'825'600);
  CHECK_EQ(parse_http_date("Fri, 31 Dec 9999 23:59:59 GMT", now_s).value_or(0), 253'402'300'799);
  CHECK_EQ(parse_http_date("Mon, 30 Jun 1997 23:59:60 GMT", now_s).value_or(0), 867'715'200);
}

void dates_that_are_none() {
  for (const char* text : {"", "0", "-1", "now", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 31 Feb 1994 08:49:37 GMT",
                           "Sun, 29 Feb 1900 08:49:37 GMT", "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 Foo 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT ",
                           "Sun, 00 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37Z", "784111777", "Sun Nov 6 08:49:37 1994", "Sun, 06-Nov-94 08:49:37"}) {
    CHECK(!parse_http_date(text, now_s));
  }
}

void two_digit_years_are_near() {
  CHECK_EQ(parse_http_date("Monday, 06-Nov-44 08:49:37 GMT", now_s).value_or(0), -793'725'023);
  const int64_t in_2026 = 1'782'000'000;
  CHECK(parse_http_date("Sunday, 06-Nov-70 08:49:37 GMT", in_2026).value_or(0) > in_2026);
  CHECK(parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT", in_2026).value_or(0) < in_2026);
}

void lifetimes_in_order() {
  CHECK_EQ(of({{"Cache-Control", "max-age=10, s-maxage=20"}, {"Expires", hour_ago}}).lifetime_s, 20);
  CHECK_EQ(of({{"Cache-Control", "max-age=10"}, {"Expires", hour_ahead}}).lifetime_s, 10);
  CHECK_EQ(of({{"Expires", hour_ahead}, {"Date", now_text}}, rule(FreshnessRule::Ttl::goma, 9000)).lifetime_s, 3600);
  CHECK_EQ(of({{"Expires", hour_ahead}, {"Date", hour_ago}}, rule(FreshnessRule::Ttl::goma, 9000)).lifetime_s, 7200);
  CHECK_EQ(of({{"Expires", "0"}}).lifetime_s, 0);
  CHECK_EQ(of({{"Expires", hour_ahead}, {"Expires", hour_ago}}).lifetime_s, 0);
  CHECK_EQ(of({{"Cache-Control", "max-age=1000"}}).lifetime_s, 300);  // at most what the rule gives
}

void nothing_said() {
  CHECK_EQ(of({}).lifetime_s, 300);
  const Freshness old = of({{"Date", hour_ago}});
  CHECK_EQ(old.lifetime_s - old.age_s, 300);
  CHECK_EQ(of({}, rule(FreshnessRule::Ttl::rfc)).lifetime_s, 0);
  CHECK_EQ(of({{"Last-Modified", hour_ago}, {"Date", now_text}}, rule(FreshnessRule::Ttl::rfc, 1000)).lifetime_s, 360);
  CHECK_EQ(of({{"Last-Modified", hour_ahead}, {"Date", now_text}}, rule(FreshnessRule::Ttl::rfc)).lifetime_s, 0);
  CHECK_EQ(of({{"Last-Modified", hour_ago}}, rule(FreshnessRule::Ttl::rfc), 302).lifetime_s, 0);
  CHECK_EQ(of({{"Last-Modified", "Thu, 01 Jan 1970 00:00:00 GMT"}}, rule(FreshnessRule::Ttl::rfc, 1 << 30)).lifetime_s, 7 * 86'400);
  const Freshness fixed = of({{"Cache-Control", "max-age=1"}, {"Age", "50"}}, rule(FreshnessRule::Ttl::overriding));
  CHECK_EQ(fixed.lifetime_s - fixed.age_s, 300);
}

void statuses_with_a_time_of_their_own() {
  FreshnessRule r = goma_rule;
  r.negative = {{404, 7}};
  CHECK_EQ(of({}, r, 404).lifetime_s, 7);
  CHECK_EQ(of({{"Cache-Control", "max-age=100"}}, r, 404).lifetime_s, 7);
  CHECK_EQ(of({{"Cache-Control", "max-age=3"}}, r, 404).lifetime_s, 3);
  CHECK_EQ(of({}, r, 200).lifetime_s, 300);
}

void ages() {
  CHECK_EQ(of({}).age_s, 0);
  CHECK_EQ(of({{"Date", hour_ago}}).age_s, 3600);
  CHECK_EQ(of({{"Date", hour_ahead}}).age_s, 0);
  CHECK_EQ(of({{"Age", "5"}}, goma_rule, 200, 3).age_s, 8);
  CHECK_EQ(of({{"Age", "5"}, {"Age", "50"}}).age_s, 5);
  CHECK_EQ(of({{"Age", "5, 60"}}).age_s, 5);
  CHECK_EQ(of({{"Age", "-5"}}).age_s, 0);
  CHECK_EQ(of({{"Age", "99999999999999999999"}}).age_s, CacheControl::longest);
  CHECK_EQ(goma::http::current_age_s({.age_s = 10}, 5999), 15);
  CHECK_EQ(goma::http::current_age_s({.age_s = 10}, -5000), 10);  // the clock was set back
}

void windows_of_staleness() {
  FreshnessRule r;
  r.stale_while_revalidate_s = 11;
  r.stale_if_error_s = 12;
  const Freshness plain = of({{"Cache-Control", "max-age=1"}}, r);
  CHECK(plain.stale_while_revalidate_s == 11 && plain.stale_if_error_s == 12 && !plain.must_revalidate);
  const Freshness said = of({{"Cache-Control", "max-age=1, stale-while-revalidate=0, stale-if-error=99"}}, r);
  CHECK(said.stale_while_revalidate_s == 0 && said.stale_if_error_s == 99);
  CHECK(of({{"Cache-Control", "max-age=1, must-revalidate, stale-if-error=99"}}, r).must_revalidate);
  CHECK(of({{"Cache-Control", "max-age=1, proxy-revalidate"}}, r).must_revalidate);
  CHECK(of({{"Cache-Control", "s-maxage=1"}}, r).must_revalidate);
  const Freshness both = of({{"Cache-Control", "s-maxage=1, stale-while-revalidate=9"}}, r);
  CHECK(!both.must_revalidate && both.stale_while_revalidate_s == 9 && both.stale_if_error_s == 0);
}

void what_is_served() {
  const FreshnessRule r;
  const Freshness f{.lifetime_s = 10, .stale_while_revalidate_s = 5, .stale_if_error_s = 20};
  CacheControl any;
  CHECK(use_of(f, 9, any, r) == Use::fresh);
  CHECK(use_of(f, 10, any, r) == Use::background);
  CHECK(use_of(f, 14, any, r) == Use::background);
  CHECK(use_of(f, 15, any, r) == Use::validate);
  CHECK(serves_errors(f, 29) && !serves_errors(f, 30));
  any.no_cache = true;
  CHECK(use_of(f, 0, any, r) == Use::validate);
  CacheControl young;
  young.max_age = 3;
  CHECK(use_of(f, 3, young, r) == Use::fresh);
  CHECK(use_of(f, 4, young, r) == Use::validate);
  CacheControl keeps;
  keeps.min_fresh = 4;
  CHECK(use_of(f, 5, keeps, r) == Use::fresh);
  CHECK(use_of(f, 6, keeps, r) == Use::validate);
}

void what_requests_allow() {
  FreshnessRule r;
  const Freshness f{.lifetime_s = 10};
  CacheControl patient;
  patient.max_stale = 5;
  CHECK(use_of(f, 15, patient, r) == Use::stale);
  CHECK(use_of(f, 16, patient, r) == Use::validate);
  patient.any_staleness = true;
  CHECK(use_of(f, 1000, patient, r) == Use::stale);
  r.max_stale_s = 3;
  CHECK(use_of(f, 13, patient, r) == Use::stale);
  CHECK(use_of(f, 14, patient, r) == Use::validate);
  const Freshness strict{.lifetime_s = 10, .must_revalidate = true};
  CHECK(use_of(strict, 11, patient, r) == Use::validate);
  CHECK(!serves_errors(strict, 11));
}

void what_is_not_stored() {
  CHECK_EQ(why_not({}), "");
  CHECK_EQ(why_not({{"Cache-Control", "private"}}), "private");
  CHECK_EQ(why_not({{"Cache-Control", "private"}}, true), "");
  CHECK_EQ(why_not({{"Cache-Control", "no-store"}}, true), "no-store");
  CHECK_EQ(why_not({{"Cache-Control", "no-cache, private=\"x\""}}), "");
  CHECK_EQ(why_not({{"Cache-Control", "must-understand, no-store"}}), "");
  CHECK_EQ(why_not({{"Cache-Control", "must-understand"}}, false, {}, 599), "must-understand");
  CHECK_EQ(why_not({{"Set-Cookie", "a"}}), "Set-Cookie");
  CHECK_EQ(why_not({{"Vary", "a, *"}}), "Vary: *");
  CHECK_EQ(why_not({{"Content-Type", "text/event-stream; charset=utf-8"}}), "event stream");
  CacheControl secret;
  secret.no_store = true;
  CHECK_EQ(why_not({}, false, secret), "request no-store");
  for (const int status : {100, 199, 206, 304, 400, 413, 431, 600}) CHECK(!goma::http::is_storable_status(status));
  for (const int status : {200, 204, 301, 404, 405, 410, 500}) CHECK(goma::http::is_storable_status(status));
}

}  // namespace

GOMA_TESTS(three_forms_of_dates, dates_that_are_none, two_digit_years_are_near, lifetimes_in_order, nothing_said, statuses_with_a_time_of_their_own, ages, windows_of_staleness, what_is_served,
           what_requests_allow, what_is_not_stored)
