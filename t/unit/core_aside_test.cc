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

void answers_may_hold_any_byte() {
  const std::string bytes("\0so\0", 4);
  CHECK_EQ(outcome(10'000, [&bytes] { return bytes; }), bytes);
}

void who_hangs_has_said_where() {
  Loop loop;
  Aside aside;
  const auto hangs = [&aside] {
    aside.at("first");
    aside.at("second");
    ::pause();
    return std::string();
  };
  aside.start(loop, forking, "goma: test", 50, hangs, [&](const std::optional<std::string>& answer) {
    CHECK(!answer);
    loop.stop();
  });
  loop.run();
  CHECK(aside.was_late());
  CHECK_EQ(aside.last_place(), "second");
  ::waitpid(child, nullptr, 0);
}

void a_sign_of_life_is_more_time() {
  Loop loop;
  Aside aside;
  std::string came;
  const auto slow = [&aside] {
    for (int i = 0; i < 20; ++i) {
      ::usleep(100'000);
      aside.at("on its way");
    }
    return std::string("there");
  };
  aside.start(loop, forking, "goma: test", 1'000, slow, [&](const std::optional<std::string>& answer) {
    came = answer.value_or("none");
    loop.stop();
  });
  loop.run();
  CHECK_EQ(came, "there");
  ::waitpid(child, nullptr, 0);
}

// A process that even a kill does not end at once: its child has the line, and stays.
void one_is_left_behind_and_not_one_per_try() {
  int ends[2];
  CHECK_EQ(::pipe(ends), 0);
  Loop loop;
  Aside aside;
  int forks = 0;
  const auto counted = [&forks](const std::vector<int>& keep, const std::function<void()>& body) {
    ++forks;
    return forking(keep, body);
  };
  bool answered = false;
  const auto done = [&](const std::optional<std::string>& answer) {
    answered = answer.has_value();
    loop.stop();
  };
  const auto stays = [&ends] {
    char byte;
    if (::fork() == 0) {
      ::close(ends[1]);
      ::_exit(::read(ends[0], &byte, 1) == 0 ? 0 : 1);
    }
    ::pause();
    return std::string();
  };
  aside.start(loop, counted, "goma: test", 50, stays, done);
  loop.run();
  ::waitpid(child, nullptr, 0);
  aside.start(loop, counted, "goma: test", 10'000, [] { return std::string("more"); }, done);
  loop.run();
  CHECK(!answered);
  CHECK(aside.was_late());
  CHECK_EQ(forks, 1);
  ::close(ends[0]);
  ::close(ends[1]);
  for (int tries = 0; !answered && tries < 1000; ++tries) {  // as soon as it is gone
    aside.start(loop, counted, "goma: test", 10'000, [] { return std::string("more"); }, done);
    loop.run();
    if (!answered) ::usleep(10'000);
  }
  CHECK(answered);
  CHECK_EQ(forks, 2);
  ::waitpid(child, nullptr, 0);
}

}  // namespace

GOMA_TESTS(the_answer_comes_back_whole, a_death_is_no_answer, who_hangs_is_killed, a_fork_that_fails_is_no_answer, who_is_cancelled_says_nothing, answers_may_hold_any_byte,
           who_hangs_has_said_where, a_sign_of_life_is_more_time, one_is_left_behind_and_not_one_per_try)
