// SPDX-License-Identifier: Apache-2.0
//
// Local days to moments and back. Only this file knows the calendar library.
#include "http/calendar.h"

#define USE_OS_TZDB 1  // as the distribution's library was built
#include <date/iso_week.h>
#include <date/tz.h>
#include <fmt/format.h>

#include <fstream>

namespace goma::http {

namespace {

using std::chrono::seconds;

// The library throws for what the machine's database does not have: so that is looked at before.
bool is_known(const std::string& zone) {
  if (zone.empty() || zone.front() == '/' || zone.find("..") != std::string::npos) return false;
  char magic[4] = {};
  std::ifstream file("/usr/share/zoneinfo/" + zone, std::ios::binary);
  return file.read(magic, sizeof magic) && std::string_view(magic, sizeof magic) == "TZif";
}

// Midnight of a date in a zone; where the clock jumped over it, the first moment after it.
int64_t begin_of(const date::time_zone& zone, date::local_days day) {
  const date::local_info info = zone.get_info(date::local_seconds(day));
  const seconds local = date::local_seconds(day).time_since_epoch();
  const bool skipped = info.result == date::local_info::nonexistent;
  return skipped ? info.first.end.time_since_epoch().count() : (local - info.first.offset).count();
}

std::string name_of(date::year_month_day d) { return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(d.year()), static_cast<unsigned>(d.month()), static_cast<unsigned>(d.day())); }

}  // namespace

std::optional<Calendar> Calendar::of(Period period, const std::string& zone) {
  if (!is_known(zone)) return std::nullopt;
  return Calendar(period, date::locate_zone(zone));
}

Calendar::Span Calendar::at(int64_t second) const {
  const date::sys_seconds moment{seconds(second)};
  const date::local_seconds local = zone_->to_local(moment);
  const date::local_days day = date::floor<date::days>(local);
  const date::year_month_day calendar_day{day};
  if (period_ == Period::hour) {
    const auto hour = date::floor<std::chrono::hours>(local) - day;
    const int64_t into = (local - date::floor<std::chrono::hours>(local)).count();
    return {second - into, second - into + 3600, fmt::format("{}T{:02}{:+}", name_of(calendar_day), hour.count(), zone_->get_info(moment).offset.count() / 60)};
  }
  if (period_ == Period::day) return {begin_of(*zone_, day), begin_of(*zone_, day + date::days(1)), name_of(calendar_day)};
  if (period_ == Period::week) {
    const iso_week::year_weeknum_weekday week{day};
    const date::local_days monday = day - date::days(static_cast<unsigned>(week.weekday()) - 1);
    return {begin_of(*zone_, monday), begin_of(*zone_, monday + date::days(7)), fmt::format("{:04}-W{:02}", static_cast<int>(week.year()), static_cast<unsigned>(week.weeknum()))};
  }
  const date::year_month month{calendar_day.year(), calendar_day.month()};
  const auto first = [](date::year_month m) { return date::local_days(m / date::day(1)); };
  return {begin_of(*zone_, first(month)), begin_of(*zone_, first(month + date::months(1))),
          fmt::format("{:04}-{:02}", static_cast<int>(month.year()), static_cast<unsigned>(month.month()))};
}

}  // namespace goma::http
