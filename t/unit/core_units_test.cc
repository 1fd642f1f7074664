// SPDX-License-Identifier: Apache-2.0
//
// core/units: Go's durations, Goma's sizes, rates; what is printed parses back.
#include "core/units.h"

#include "check.h"

using namespace goma::core;

namespace {

void durations_are_gos() {
  CHECK_EQ(parse_duration("1h30m")->ms(), 5'400'000);
  CHECK_EQ(parse_duration("500ms")->ms(), 500);
  CHECK_EQ(parse_duration("1.5s")->ms(), 1500);
  CHECK_EQ(parse_duration(".5s")->ms(), 500);
  CHECK_EQ(parse_duration("-2m")->ms(), -120'000);
  CHECK_EQ(parse_duration("0")->nanoseconds, 0);
  CHECK_EQ(parse_duration("3\xc2\xb5s")->nanoseconds, 3000);
  for (const char* bad : {"", "10", "10 s", "s", "1d", ".s", "1h30", "-", "9999999999h"}) CHECK(!parse_duration(bad));
}

void printed_durations_parse_back() {
  for (const char* text : {"1h30m0s", "500ms", "1.5s", "10s", "5m0s", "250ns", "1.5ms", "-2m0s"}) {
    CHECK_EQ(print_duration(*parse_duration(text)), text);
  }
  CHECK_EQ(print_duration({}), "0s");
}

void sizes_need_their_unit() {
  CHECK_EQ(parse_size("1Ki")->bytes, 1024);
  CHECK_EQ(parse_size("1KiB")->bytes, 1024);
  CHECK_EQ(parse_size("1K")->bytes, 1000);
  CHECK_EQ(parse_size("2MB")->bytes, 2'000'000);
  CHECK_EQ(parse_size("1Gi")->bytes, uint64_t{1} << 30);
  for (const char* bad : {"", "1024", "1k", "1 Ki", "1.5Mi", "Ki", "1KB2", "99999Ei"}) CHECK(!parse_size(bad));
}

void printed_sizes_are_exact() {
  CHECK_EQ(print_size({1024}), "1Ki");
  CHECK_EQ(print_size({8u << 20}), "8Mi");
  CHECK_EQ(print_size({2'000'000}), "2M");
  CHECK_EQ(print_size({1025}), "1025");
}

void rates_have_a_count_and_a_time() {
  CHECK_EQ(parse_rate("100/s")->count, 100);
  CHECK_EQ(parse_rate("5/m")->per.ms(), 60'000);
  CHECK_EQ(parse_rate("3/500ms")->per.ms(), 500);
  CHECK_EQ(parse_rate("1/d")->per.ms(), 86'400'000);
  for (const char* bad : {"", "100", "/s", "0/s", "1/", "1/x", "-1/s"}) CHECK(!parse_rate(bad));
  for (const char* text : {"100/s", "5/m", "3/500ms", "1/d"}) CHECK_EQ(print_rate(*parse_rate(text)), text);
}

}  // namespace

GOMA_TESTS(durations_are_gos, printed_durations_parse_back, sizes_need_their_unit, printed_sizes_are_exact, rates_have_a_count_and_a_time)
