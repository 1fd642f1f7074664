// SPDX-License-Identifier: Apache-2.0
//
// The only parser and printer of durations ("1h30m", "500ms"), sizes ("8Mi", "1KB") and rates ("100/s"). They are
// Go's durations and Goma's sizes, because the files come from there.
//
// The invariant: print(parse(x)) means the same as x, and no value wraps around.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace goma::core {

// A length of time; negative values exist but no configuration key accepts them.
struct Duration {
  int64_t nanoseconds = 0;
  constexpr int64_t ms() const { return nanoseconds / 1'000'000; }
  static constexpr Duration from_ms(int64_t ms) { return Duration{ms * 1'000'000}; }
  static constexpr Duration from_seconds(int64_t s) { return Duration{s * 1'000'000'000}; }
  bool operator==(const Duration&) const = default;
};

// A number of bytes.
struct Size {
  uint64_t bytes = 0;
  bool operator==(const Size&) const = default;
};

// `count` events every `per`.
struct Rate {
  uint64_t count = 0;
  Duration per;
  bool operator==(const Rate&) const = default;
};

// Go's time.ParseDuration: one or more decimal numbers, each with a unit h, m, s, ms, us, µs or ns; "0" alone.
std::optional<Duration> parse_duration(std::string_view text);
// Go's Duration.String(): "1h30m0s", "500ms", "0s".
std::string print_duration(Duration value);

// A whole number and a unit, case-sensitive, nothing between: Ki..Ei and KiB..EiB are powers of 1024, K M G T P E
// and KB..EB powers of 1000. A bare number is no size.
std::optional<Size> parse_size(std::string_view text);
// The shortest exact spelling that parse_size accepts; bytes that fit no unit are printed as a bare number.
std::string print_size(Size value);

// "100/s", "5/m", "10/h", "1/d", or with a duration: "3/500ms". The count is at least 1.
std::optional<Rate> parse_rate(std::string_view text);
std::string print_rate(Rate value);

}  // namespace goma::core
