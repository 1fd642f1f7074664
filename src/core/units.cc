// SPDX-License-Identifier: Apache-2.0
//
// Durations as Go reads and prints them, sizes as Goma's bodyLimit reads them. Fractions are exact: "1.5h" is
// computed in whole nanoseconds, digits beyond them are dropped.
#include "core/units.h"

#include <fmt/format.h>

#include <limits>

#include "core/text.h"

namespace goma::core {

namespace {

struct TimeUnit {
  std::string_view name;
  int64_t nanoseconds;
};

constexpr TimeUnit time_units[] = {
    {"ns", 1}, {"us", 1'000}, {"µs", 1'000}, {"μs", 1'000}, {"ms", 1'000'000},
    {"s", 1'000'000'000}, {"m", 60'000'000'000}, {"h", 3'600'000'000'000},
};

int64_t time_unit(std::string_view name) {
  for (const TimeUnit& unit : time_units) {
    if (unit.name == name) return unit.nanoseconds;
  }
  return 0;
}

std::string_view take_digits(std::string_view& text) {
  size_t n = 0;
  while (n < text.size() && is_digit(text[n])) ++n;
  const std::string_view digits = text.substr(0, n);
  text.remove_prefix(n);
  return digits;
}

// The nanoseconds of ".25" of a unit.
int64_t fraction_of(std::string_view digits, int64_t unit) {
  int64_t value = 0;
  int64_t place = unit;
  for (char c : digits) {
    if (place < 10) break;
    place /= 10;
    value += place * (c - '0');
  }
  return value;
}

bool add_checked(int64_t& sum, int64_t more) { return !__builtin_add_overflow(sum, more, &sum); }

// Takes one "1.5h" off the front and adds it.
bool take_part(std::string_view& text, int64_t& sum) {
  const std::string_view whole = take_digits(text);
  std::string_view fraction;
  if (!text.empty() && text.front() == '.') {
    text.remove_prefix(1);
    fraction = take_digits(text);
  }
  if (whole.empty() && fraction.empty()) return false;
  size_t n = 0;
  while (n < text.size() && text[n] != '.' && !is_digit(text[n])) ++n;
  const int64_t unit = time_unit(text.substr(0, n));
  text.remove_prefix(n);
  const auto number = whole.empty() ? std::optional<int64_t>(0) : parse_i64(whole);
  int64_t product = 0;
  if (unit == 0 || !number || __builtin_mul_overflow(*number, unit, &product)) return false;
  return add_checked(sum, product) && add_checked(sum, fraction_of(fraction, unit));
}

}  // namespace

std::optional<Duration> parse_duration(std::string_view text) {
  const bool negative = !text.empty() && text.front() == '-';
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) text.remove_prefix(1);
  if (text == "0") return Duration{};
  if (text.empty()) return std::nullopt;
  int64_t sum = 0;
  while (!text.empty()) {
    if (!take_part(text, sum)) return std::nullopt;
  }
  return Duration{negative ? -sum : sum};
}

namespace {

// A number with up to `digits` decimals, trailing zeros dropped.
std::string decimal(uint64_t value, uint64_t unit, int digits) {
  std::string out = fmt::format("{}", value / unit);
  const uint64_t rest = value % unit;
  if (rest == 0) return out;
  std::string fraction = fmt::format("{:0{}}", rest, digits);
  while (fraction.back() == '0') fraction.pop_back();
  return out + "." + fraction;
}

}  // namespace

std::string print_duration(Duration value) {
  if (value.nanoseconds == 0) return "0s";
  const bool negative = value.nanoseconds < 0;
  const uint64_t n = negative ? ~static_cast<uint64_t>(value.nanoseconds) + 1 : static_cast<uint64_t>(value.nanoseconds);
  std::string out;
  if (n < 1'000) {
    out = fmt::format("{}ns", n);
  } else if (n < 1'000'000) {
    out = decimal(n, 1'000, 3) + "µs";
  } else if (n < 1'000'000'000) {
    out = decimal(n, 1'000'000, 6) + "ms";
  } else {
    const uint64_t minutes = n / 60'000'000'000;
    if (minutes >= 60) out = fmt::format("{}h", minutes / 60);
    if (minutes > 0) out += fmt::format("{}m", minutes % 60);
    out += decimal(n % 60'000'000'000, 1'000'000'000, 9) + "s";
  }
  return negative ? "-" + out : out;
}

namespace {

constexpr std::string_view size_letters = "KMGTPE";

// The factor of "Ki", "MiB", "K", "MB"; 0 when it is none.
uint64_t size_unit(std::string_view name) {
  if (name.empty()) return 0;
  const size_t power = size_letters.find(name.front());
  if (power == std::string_view::npos) return 0;
  name.remove_prefix(1);
  const bool binary = !name.empty() && name.front() == 'i';
  if (binary) name.remove_prefix(1);
  if (!name.empty() && name != "B") return 0;
  uint64_t factor = 1;
  for (size_t i = 0; i <= power; ++i) factor *= binary ? 1024 : 1000;
  return factor;
}

}  // namespace

std::optional<Size> parse_size(std::string_view text) {
  const auto number = parse_u64(take_digits(text));
  const uint64_t unit = size_unit(text);
  uint64_t bytes = 0;
  if (!number || unit == 0 || __builtin_mul_overflow(*number, unit, &bytes)) return std::nullopt;
  if (bytes > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
  return Size{bytes};
}

std::string print_size(Size value) {
  for (size_t power = size_letters.size(); power > 0; --power) {
    for (const bool binary : {true, false}) {
      const std::string unit = fmt::format("{}{}", size_letters[power - 1], binary ? "i" : "");
      const uint64_t factor = size_unit(unit);
      if (value.bytes >= factor && value.bytes % factor == 0) return fmt::format("{}{}", value.bytes / factor, unit);
    }
  }
  return fmt::format("{}", value.bytes);
}

std::optional<Rate> parse_rate(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto count = parse_u64(text.substr(0, slash));
  const std::string_view unit = text.substr(slash + 1);
  std::optional<Duration> per = unit == "d" ? Duration::from_seconds(86'400) : parse_duration(unit);
  if (!per && time_unit(unit) != 0) per = Duration{time_unit(unit)};
  if (!count || *count == 0 || !per || per->nanoseconds <= 0) return std::nullopt;
  return Rate{*count, *per};
}

std::string print_rate(Rate value) {
  if (value.per == Duration::from_seconds(86'400)) return fmt::format("{}/d", value.count);
  for (const TimeUnit& unit : time_units) {
    if (unit.nanoseconds == value.per.nanoseconds) return fmt::format("{}/{}", value.count, unit.name);
  }
  return fmt::format("{}/{}", value.count, print_duration(value.per));
}

}  // namespace goma::core
