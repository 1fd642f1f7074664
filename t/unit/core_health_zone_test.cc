// SPDX-License-Identifier: Apache-2.0
//
// Failures in a row count together over processes, one of which leaves the backend out; cells are found again, kept while
// they are asked for, and given on after that.
#include "core/health_zone.h"

#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "core/slab.h"

#include "check.h"

using goma::core::Health;
using goma::core::HealthZone;
using goma::core::Slab;

namespace {

constexpr int64_t start = 1'000'000;

struct Bench {
  Slab slab = std::move(Slab::create().value());
  HealthZone zone = HealthZone::open(slab).value();
};

void failures_in_a_row_leave_it_out() {
  Health health;
  CHECK(!health.failed(start, 3, 10'000));
  CHECK(!health.failed(start, 3, 10'000));
  CHECK_EQ(health.state().failures, 2u);
  CHECK(!health.left_out(start));
  CHECK(health.failed(start, 3, 10'000));
  CHECK(health.left_out(start + 9'999));
  CHECK(!health.left_out(start + 10'000));
}

void an_answer_ends_the_row() {
  Health health;
  health.failed(start, 2, 10'000);
  health.succeeded(start);
  CHECK(!health.failed(start, 2, 10'000));
  CHECK(health.failed(start, 2, 10'000));
  health.succeeded(start);
  CHECK(health.left_out(start));  // the answer may be to an old request
}

void one_more_is_enough_on_probation() {
  Health health;
  for (int i = 0; i < 3; ++i) health.failed(start, 3, 10'000);
  CHECK(!health.failed(start + 1, 3, 10'000));  // it was left out already
  CHECK(health.left_out(start + 10'000));       // and is so for longer
  CHECK(health.failed(start + 20'000, 3, 10'000));
  health.succeeded(start);
  CHECK(!health.failed(start + 40'000, 3, 10'000));
}

// When its time is over one worker tries it, and for all others it is out until that is known or has taken too long.
void one_trial_at_a_time() {
  Health health;
  CHECK(!health.begin_trial(start, 1'000));  // it is good
  for (int i = 0; i < 2; ++i) health.failed(start, 2, 10'000, false);
  CHECK(health.is_out() && !health.state().reached);
  CHECK(!health.begin_trial(start + 9'999, 1'000));
  CHECK(health.is_out());
  CHECK(health.begin_trial(start + 10'000, 1'000));
  CHECK(!health.begin_trial(start + 10'500, 1'000));
  CHECK(health.begin_trial(start + 11'000, 1'000));  // whoever had it is gone
  health.hold_trial(start + 20'000);
  CHECK(!health.begin_trial(start + 12'000, 1'000));
  health.readmit();
  CHECK(!health.is_out());
  CHECK(health.failed(start + 12'000, 2, 10'000));  // one more is enough
  CHECK(health.state().reached);
  health.succeeded(start + 12'001);
  CHECK(health.is_out());
  health.succeeded(start + 22'000);  // asked for lack of others, and it answered
  CHECK(!health.is_out() && health.state().failures == 0);
  health.hold_trial(start + 50'000);
  CHECK(!health.is_out());
}

void a_backend_has_one_cell() {
  Bench b;
  Health* health = b.zone.of("a:80", start);
  CHECK(health != nullptr);
  CHECK(b.zone.of("a:80", start) == health);
  CHECK(b.zone.of("b:80", start) != health);
  CHECK_EQ(b.zone.count(start), 2u);
  health->failed(start, 2, 1'000);
  HealthZone again = HealthZone::open(b.slab).value();
  CHECK_EQ(again.look("a:80", start)->failures, 1u);
  CHECK_EQ(again.look("b:80", start)->failures, 0u);
  CHECK(!again.look("c:80", start));
}

// When all cells are asked for a newcomer gets none; a cell that nobody asks for any more starts anew for another.
void a_full_table_gives_on_what_nobody_asks_for() {
  Bench b;
  for (size_t i = 0; i < HealthZone::max_backends; ++i) CHECK(b.zone.of(std::to_string(i), start) != nullptr);
  CHECK(b.zone.of("one more", start + HealthZone::kept_ms - 1) == nullptr);
  CHECK(b.zone.of("7", start)->failed(start, 1, 1'000'000));
  for (size_t i = 1; i < HealthZone::max_backends; ++i) {
    if (i != 7) b.zone.of(std::to_string(i), start + HealthZone::kept_ms);
  }
  CHECK(!b.zone.look("7", start + HealthZone::kept_ms));
  for (const char* name : {"new", "newer"}) {
    const Health* given = b.zone.of(name, start + HealthZone::kept_ms);
    CHECK(given != nullptr);
    CHECK(!given->left_out(start));
  }
  CHECK(b.zone.of("none is left", start + HealthZone::kept_ms) == nullptr);
}

// Four processes meet 4 x 5,000 failures of a backend that is left out after 20,000: the last one of all does it.
void processes_count_together() {
  Bench b;
  constexpr int processes = 4, each = 5'000;
  pid_t pids[processes];
  for (pid_t& pid : pids) {
    pid = ::fork();
    CHECK(pid >= 0);
    if (pid != 0) continue;
    Health* health = b.zone.of("a:80", start);
    int left_out = 0;
    for (int i = 0; i < each; ++i) left_out += health->failed(start, processes * each, 1'000) ? 1 : 0;
    ::_exit(left_out);
  }
  int left_out = 0;
  for (const pid_t pid : pids) {
    int status = 0;
    ::waitpid(pid, &status, 0);
    CHECK(WIFEXITED(status));
    left_out += WEXITSTATUS(status);
  }
  CHECK_EQ(left_out, 1);
  CHECK(b.zone.of("a:80", start)->left_out(start));
  CHECK_EQ(b.zone.count(start), 1u);
}

}  // namespace

GOMA_TESTS(one_trial_at_a_time, failures_in_a_row_leave_it_out, an_answer_ends_the_row, one_more_is_enough_on_probation, a_backend_has_one_cell,
           a_full_table_gives_on_what_nobody_asks_for, processes_count_together)
