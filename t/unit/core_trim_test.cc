// SPDX-License-Identifier: Apache-2.0
//
// A peak is forgotten within ten seconds, and who is large for a reason is asked rarely.
#include "core/trim.h"

#include <algorithm>
#include <memory>

#include "check.h"

using goma::core::TrimPace;

namespace {

constexpr size_t mib = size_t{1} << 20;

// Looks once a second; how often it was asked. What is above `lives` is free, and goes when it is asked for.
int look(TrimPace& pace, int64_t from_ms, int seconds, size_t& resident, size_t lives) {
  int asked = 0;
  for (int i = 0; i < seconds; ++i) {
    const int64_t now = from_ms + i * 1000;
    if (!pace.due(resident, now)) continue;
    const size_t before = resident;
    resident = std::min(resident, lives);
    pace.asked(before, resident, now);
    ++asked;
  }
  return asked;
}

void a_peak_is_forgotten() {
  TrimPace pace(4 * mib);
  size_t resident = 4 * mib;
  CHECK_EQ(look(pace, 2000, 60, resident, 4 * mib), 0);
  resident = 200 * mib;
  look(pace, 62'000, 300, resident, 200 * mib);  // needed
  CHECK_EQ(resident, 200 * mib);
  look(pace, 362'000, 10, resident, 4 * mib);  // free
  CHECK_EQ(resident, 4 * mib);
}

void who_is_large_is_asked_rarely() {
  TrimPace pace(4 * mib);
  size_t resident = 200 * mib;
  CHECK(look(pace, 2000, 800, resident, resident) <= 137);
}

void a_little_is_no_reason() {
  TrimPace pace(4 * mib);
  size_t resident = 5 * mib;
  CHECK_EQ(look(pace, 2000, 100, resident, 4 * mib), 0);
}

// A peak that there was all the time is one as well, also when the configuration changed in the middle of it.
void a_first_peak_is_forgotten() {
  TrimPace pace(4 * mib);
  size_t resident = 90 * mib;
  look(pace, 1000, 20, resident, 90 * mib);
  pace.expect(21'000, 2000);
  CHECK_EQ(look(pace, 21'000, 2, resident, 90 * mib), 0);
  CHECK_EQ(look(pace, 23'000, 1, resident, 90 * mib), 1);
  look(pace, 24'000, 10, resident, 6 * mib);
  CHECK_EQ(resident, 6 * mib);
}

void the_kernel_tells() {
  const size_t before = goma::core::own_memory();
  CHECK(before > 0);
  const auto block = std::make_unique<char[]>(8 * mib);  // zeroed, so touched
  CHECK(goma::core::own_memory() >= before + 7 * mib);
  CHECK_EQ(block[mib], 0);
}

}  // namespace

GOMA_TESTS(a_peak_is_forgotten, who_is_large_is_asked_rarely, a_little_is_no_reason, a_first_peak_is_forgotten, the_kernel_tells)
