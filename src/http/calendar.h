// SPDX-License-Identifier: Apache-2.0
//
// Hours, days, weeks and months as the people of a time zone count them: when the one began that a moment lies in, when
// it ends, and what it is called. A day of 23 or 25 hours is a day.
//
// Time zones come from the machine's database (tzdata); a zone is looked up once, when a configuration is built.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace date {
class time_zone;
}

namespace goma::http {

class Calendar {
 public:
  enum class Period : unsigned char { hour, day, week, month };
  static constexpr std::string_view period_words[] = {"hour", "day", "week", "month"};

  // Seconds since the Unix epoch: from begin, to before end.
  struct Span {
    int64_t begin = 0;
    int64_t end = 0;
    std::string name;  // "2026-11-27T14", "2026-11-27", "2026-W48" (ISO 8601), "2026-11": the same on every host
  };

  // Nothing when the machine does not know the zone ("Europe/Berlin", "UTC").
  static std::optional<Calendar> of(Period period, const std::string& zone);

  Span at(int64_t second) const;

 private:
  Calendar(Period period, const date::time_zone* zone) : period_(period), zone_(zone) {}
  Period period_;
  const date::time_zone* zone_;
};

}  // namespace goma::http
