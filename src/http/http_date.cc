// SPDX-License-Identifier: Apache-2.0
//
// Three patterns over one small reader. The day's name is checked for its form and otherwise ignored: a wrong weekday
// does not make the moment unclear.
#include "http/http_date.h"

#include "core/text.h"

namespace goma::http {

namespace {

constexpr std::string_view months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

struct Moment {
  int64_t year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
};

// Days since 1970-01-01 of a date of the Gregorian calendar: years begin in March, so that the leap day is the last.
int64_t days_of(const Moment& m) {
  const int64_t year = m.month <= 2 ? m.year - 1 : m.year;
  const int64_t era = year / 400;
  const int64_t of_era = year - era * 400;
  const int64_t of_year = (153 * (m.month + (m.month > 2 ? -3 : 9)) + 2) / 5 + m.day - 1;
  return era * 146'097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719'468;
}

bool is_leap(int64_t year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

std::optional<int64_t> seconds_of(const Moment& m) {
  constexpr int64_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (m.month < 1 || m.month > 12 || m.day < 1) return std::nullopt;
  const int64_t length = lengths[m.month - 1] + (m.month == 2 && is_leap(m.year) ? 1 : 0);
  if (m.day > length || m.hour > 23 || m.minute > 59 || m.second > 60) return std::nullopt;
  return days_of(m) * 86'400 + m.hour * 3600 + m.minute * 60 + m.second;
}

class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}
  bool literal(std::string_view text) {
    if (!rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }
  bool digits(size_t n, int64_t& into) {
    if (rest_.size() < n) return false;
    into = 0;
    for (size_t i = 0; i < n; ++i) {
      if (!core::is_digit(rest_[i])) return false;
      into = into * 10 + (rest_[i] - '0');
    }
    rest_.remove_prefix(n);
    return true;
  }
  bool letters() {
    size_t n = 0;
    while (n < rest_.size() && core::is_alpha(rest_[n])) ++n;
    rest_.remove_prefix(n);
    return n >= 3;
  }
  bool month(int64_t& into) {
    for (size_t i = 0; i < 12; ++i) {
      if (!literal(months[i])) continue;
      into = static_cast<int64_t>(i) + 1;
      return true;
    }
    return false;
  }
  bool time(Moment& m) { return digits(2, m.hour) && literal(":") && digits(2, m.minute) && literal(":") && digits(2, m.second); }
  bool at_end() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

// Sun, 06 Nov 1994 08:49:37 GMT
bool read_fixdate(Reader in, Moment& m) {
  return in.letters() && in.literal(", ") && in.digits(2, m.day) && in.literal(" ") && in.month(m.month) && in.literal(" ") &&
         in.digits(4, m.year) && in.literal(" ") && in.time(m) && in.literal(" GMT") && in.at_end();
}

// Sunday, 06-Nov-94 08:49:37 GMT
bool read_rfc850(Reader in, Moment& m) {
  return in.letters() && in.literal(", ") && in.digits(2, m.day) && in.literal("-") && in.month(m.month) && in.literal("-") &&
         in.digits(2, m.year) && in.literal(" ") && in.time(m) && in.literal(" GMT") && in.at_end();
}

// Sun Nov  6 08:49:37 1994
bool read_asctime(Reader in, Moment& m) {
  if (!in.letters() || !in.literal(" ") || !in.month(m.month) || !in.literal(" ")) return false;
  const bool one_digit = in.literal(" ");
  return in.digits(one_digit ? 1 : 2, m.day) && in.literal(" ") && in.time(m) && in.literal(" ") && in.digits(4, m.year) && in.at_end();
}

}  // namespace

std::optional<int64_t> parse_http_date(std::string_view text, int64_t now_s) {
  Moment m;
  if (read_fixdate(Reader(text), m) || read_asctime(Reader(text), m)) return seconds_of(m);
  if (!read_rfc850(Reader(text), m)) return std::nullopt;
  const int64_t this_year = 1970 + now_s / 31'556'952;
  m.year += this_year / 100 * 100;
  if (m.year > this_year + 50) m.year -= 100;
  return seconds_of(m);
}

}  // namespace goma::http
