// SPDX-License-Identifier: Apache-2.0
//
// Work done aside: its answer, its death, its deadline; nobody waits for a child that hangs.
#include "core/aside.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <optional>
#include <string>

#include "check.h"

using goma::core::Aside;
using goma::core::Loop;

namespace {

pid_t child = -1;

// Forks as the master does.
pid_t forking(const std::vector<int>&, const std::function<void()>& body) {
  child = ::fork();
  if (child != 0) return child;
  body();
  ::_exit(0);
}

// What comes back from this work: the answer, or "none".
std::string outcome(int64_t patience_ms, const Aside::Work& work) {
  Loop loop;
  Aside aside;
  std::string came = "nothing";
  aside.start(loop, forking, "goma: test", patience_ms, work, [&](const std::optional<std::string>& answer) {
    came = answer.value_or("none");
    loop.stop();
  });
  CHECK(aside.running());
  loop.run();
  CHECK(!aside.running());
  int status = 0;
  CHECK_EQ(::waitpid(child, &status, 0), child);
  return came;
}

void the_answer_comes_back_whole() {
  CHECK_EQ(outcome(10'000, [] { return std::string("so it is"); }), "so it is");
  CHECK_EQ(outcome(10'000, [] { return std::string(); }), "");
  const std::string large(1'000'000, 'x');
  CHECK_EQ(outcome(10'000, [&large] { return large; }), large);
}

void a_death_is_no_answer() {
  CHECK_EQ(outcome(10'000, []() -> std::string { ::_exit(3); }), "none");
  CHECK_EQ(outcome(10'000, []() -> std::string { ::raise(SIGKILL); return "never"; }), "none");
}

void who_hangs_is_killed() {
  CHECK_EQ(outcome(20, [] { ::pause(); return std::string("never"); }), "none");
}

void a_fork_that_fails_is_no_answer() {
  Loop loop;
  Aside aside;
  bool none = false;
  const auto fails = [](const std::vector<int>&, const std::function<void()>&) -> pid_t { return -1; };
  aside.start(loop, fails, "goma: test", 10'000, [] { return std::string(); }, [&](const std::optional<std::string>& answer) {
    none = !answer;
    loop.stop();
  });
  loop.run();
  CHECK(none);
}

void who_is_cancelled_says_nothing() {
  Loop loop;
  Aside aside;
  aside.start(loop, forking, "goma: test", 10'000, [] { ::pause(); return std::string(); }, [](const std::optional<std::string>&) { CHECK(false); });
  aside.cancel();
  CHECK(!aside.running());
  int status = 0;
  CHECK_EQ(::waitpid(child, &status, 0), child);
  CHECK(WIFSIGNALED(status));
}

}  // namespace

GOMA_TESTS(the_answer_comes_back_whole, a_death_is_no_answer, who_hangs_is_killed, a_fork_that_fails_is_no_answer, who_is_cancelled_says_nothing)
