// SPDX-License-Identifier: Apache-2.0
//
// Who is aborted leaves its stack where another process reads it, and dies of the signal all the same.
#include "core/stack_trace.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "check.h"

using goma::core::ProcessTable;
using goma::core::Slab;

namespace {

// Runs body in a process that leaves its stack; how it ended.
int in_child(Slab& slab, pid_t& pid, void (*body)()) {
  pid = ::fork();
  if (pid == 0) {
    ProcessTable table = ProcessTable::open(slab).value();
    table.enter(ProcessTable::Role::worker, 0, 1);
    goma::core::stack_trace::leave_in(table);
    body();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return status;
}

void an_aborted_process_leaves_its_stack() {
  Slab slab = Slab::create().value();
  const ProcessTable table = ProcessTable::open(slab).value();
  pid_t pid = 0;
  const int status = in_child(slab, pid, [] { std::abort(); });
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
  const std::string text = goma::core::stack_trace::describe(*table.find(pid));
  CHECK(text.find("abort+0x") != std::string::npos);
  CHECK(text.find(" goma+0x") != std::string::npos);
}

void so_does_one_that_is_told_to_die() {
  Slab slab = Slab::create().value();
  const ProcessTable table = ProcessTable::open(slab).value();
  pid_t pid = 0;
  const int status = in_child(slab, pid, [] {
    ::kill(::getpid(), SIGABRT);
    for (;;) ::pause();
  });
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
  CHECK(!goma::core::stack_trace::describe(*table.find(pid)).empty());
}

void who_ends_in_peace_leaves_none() {
  Slab slab = Slab::create().value();
  const ProcessTable table = ProcessTable::open(slab).value();
  pid_t pid = 0;
  CHECK_EQ(in_child(slab, pid, [] {}), 0);
  CHECK_EQ(goma::core::stack_trace::describe(*table.find(pid)), "");
}

}  // namespace

GOMA_TESTS(an_aborted_process_leaves_its_stack, so_does_one_that_is_told_to_die, who_ends_in_peace_leaves_none)
