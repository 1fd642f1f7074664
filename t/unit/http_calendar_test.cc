// SPDX-License-Identifier: Apache-2.0
//
// Periods as a zone's people count them, also when their clocks are changed.
#include "http/calendar.h"

#include "check.h"

using goma::http::Calendar;
using Period = Calendar::Period;

namespace {

Calendar::Span span(Period period, const char* zone, int64_t second) { return Calendar::of(period, zone)->at(second); }

void days_begin_at_midnight_of_the_zone() {
  const Calendar::Span utc = span(Period::day, "UTC", 1'795'780'800 + 3600);  // 2026-11-27T01:00Z
  CHECK_EQ(utc.begin, 1'795'737'600);
  CHECK_EQ(utc.end - utc.begin, 86'400);
  CHECK_EQ(utc.name, "2026-11-27");
  const Calendar::Span berlin = span(Period::day, "Europe/Berlin", 1'795'737'600 - 1800);  // 00:30 there
  CHECK_EQ(berlin.begin, 1'795'737'600 - 3600);
  CHECK_EQ(berlin.name, "2026-11-27");
}

void a_changed_clock_makes_a_day_longer_or_shorter() {
  const Calendar::Span spring = span(Period::day, "Europe/Berlin", 1'774'746'000);  // 2026-03-29
  CHECK_EQ(spring.name, "2026-03-29");
  CHECK_EQ(spring.end - spring.begin, 23 * 3600);
  const Calendar::Span autumn = span(Period::day, "Europe/Berlin", 1'792'886'400);  // 2026-10-25
  CHECK_EQ(autumn.name, "2026-10-25");
  CHECK_EQ(autumn.end - autumn.begin, 25 * 3600);
}

// In Beirut the clock jumps from midnight to one: the day begins at one.
void a_day_without_a_midnight_begins_after_the_gap() {
  const Calendar::Span day = span(Period::day, "Africa/Cairo", 1'777'035'600);  // 2026-04-24T13:00Z
  CHECK_EQ(day.name, "2026-04-24");
  CHECK_EQ(day.end - day.begin, 23 * 3600);
  const Calendar::Span before = span(Period::day, "Africa/Cairo", day.begin - 1);
  CHECK_EQ(before.end, day.begin);
  CHECK_EQ(before.name, "2026-04-23");
}

void weeks_begin_on_monday_and_are_numbered_as_iso_8601_does() {
  const Calendar::Span week = span(Period::week, "UTC", 1'795'737'600);
  CHECK_EQ(week.begin % 86'400, 0);
  CHECK_EQ(week.begin, 1'795'737'600 - 4 * 86'400);  // 2026-11-27 is a Friday
  CHECK_EQ(week.end - week.begin, 7 * 86'400);
  CHECK_EQ(week.name, "2026-W48");
  CHECK_EQ(span(Period::week, "UTC", 1'798'761'600).name, "2026-W53");  // 2027-01-01
}

void months_have_their_own_lengths() {
  const Calendar::Span month = span(Period::month, "UTC", 1'795'737'600);
  CHECK_EQ(month.end - month.begin, 30 * 86'400);
  CHECK_EQ(month.name, "2026-11");
  const Calendar::Span last = span(Period::month, "America/New_York", 1'798'761'600);  // 2027-01-01T00:00Z is still December there
  CHECK_EQ(last.name, "2026-12");
  CHECK_EQ(last.end, 1'798'761'600 + 5 * 3600);
}

void hours_lie_in_their_zone() {
  const Calendar::Span hour = span(Period::hour, "Asia/Kolkata", 1'795'737'600);  // 05:30 there
  CHECK_EQ(hour.begin, 1'795'737'600 - 1800);
  CHECK_EQ(hour.end, 1'795'737'600 + 1800);
}

void an_unknown_zone_is_nothing() { CHECK(!Calendar::of(Period::day, "Europe/Atlantis")); }

}  // namespace

GOMA_TESTS(days_begin_at_midnight_of_the_zone, a_changed_clock_makes_a_day_longer_or_shorter, a_day_without_a_midnight_begins_after_the_gap,
           weeks_begin_on_monday_and_are_numbered_as_iso_8601_does, months_have_their_own_lengths, hours_lie_in_their_zone,
           an_unknown_zone_is_nothing)
