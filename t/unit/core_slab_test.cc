// SPDX-License-Identifier: Apache-2.0
//
// Zones are found again by everybody, pages are given once, and a process killed with the lock stops nobody.
#include "core/slab.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <set>

#include "check.h"

using goma::core::ProcessTable;
using goma::core::Result;
using goma::core::Slab;

namespace {

struct Numbers {
  uint64_t first;
  uint64_t second;
};

Slab make(size_t size = Slab::default_size) {
  Result<Slab> slab = Slab::create(size);
  CHECK(slab.ok());
  return std::move(slab).value();
}

// Runs the work in a child; true when it ended with 0.
bool in_child(const std::function<bool()>& work) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(work() ? 0 : 1);
  int status = 0;
  CHECK(::waitpid(pid, &status, 0) == pid);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void the_same_name_is_the_same_memory() {
  Slab slab = make();
  Result<Slab::Zone> made = slab.zone("limits", "cells", 1, 100'000);
  CHECK(made.ok() && made.value().fresh);
  Result<Slab::Zone> found = slab.zone("limits", "cells", 1, 100'000);
  CHECK(found.ok() && !found.value().fresh);
  CHECK(found.value().memory == made.value().memory);
  CHECK_EQ(found.value().id, made.value().id);
  CHECK_EQ(found.value().bytes, 100'000u);
}

void type_and_version_make_another_zone() {
  Slab slab = make();
  const Slab::Zone one = slab.zone("limits", "cells", 1, 4096).value();
  CHECK(slab.zone("limits", "cells", 2, 4096).value().id != one.id);
  CHECK(slab.zone("limits", "bytes", 1, 4096).value().id != one.id);
  CHECK(slab.zone("others", "cells", 1, 4096).value().id != one.id);
  CHECK(slab.zone("limits", "cells", 2, 4096).value().id != one.id && !slab.zone("limits", "cells", 2, 4096).value().fresh);
  const Result<Slab::Zone> larger = slab.zone("limits", "cells", 1, 8192);
  CHECK(!larger.ok() && larger.error().code == goma::core::Code::invalid);
}

void processes_share_it() {
  Slab slab = make();
  Numbers* here = slab.zone_of<Numbers>("numbers", "numbers", 1).value();
  CHECK(in_child([&] {
    slab.zone_of<Numbers>("numbers", "numbers", 1).value()->second = 7;
    return slab.zone("child", "child", 1, 10).ok();
  }));
  CHECK_EQ(here->second, 7u);
  CHECK(!slab.zone("child", "child", 1, 10).value().fresh);
}

void an_inherited_descriptor_is_the_same_slab() {
  Slab slab = make();
  slab.zone_of<Numbers>("numbers", "numbers", 1).value()->first = 42;
  Result<Slab> again = Slab::attach(::dup(slab.fd()));
  CHECK(again.ok());
  CHECK_EQ(again.value().zone_of<Numbers>("numbers", "numbers", 1).value()->first, 42u);
  again.value().zone_of<Numbers>("numbers", "numbers", 1).value()->first = 43;
  CHECK_EQ(slab.zone_of<Numbers>("numbers", "numbers", 1).value()->first, 43u);
}

void a_foreign_descriptor_is_refused() {
  int ends[2];
  CHECK_EQ(::pipe2(ends, O_CLOEXEC), 0);
  CHECK(!Slab::attach(ends[0]).ok());
  ::close(ends[1]);
  const int other = ::memfd_create("other", MFD_CLOEXEC);
  CHECK_EQ(::ftruncate(other, 1 << 21), 0);
  CHECK(!Slab::attach(other).ok());
  Slab slab = make();
  // Another layout: the number behind the magic.
  const uint32_t layout = 99;
  CHECK_EQ(::pwrite(slab.fd(), &layout, sizeof layout, 8), 4);
  const Result<Slab> attached = Slab::attach(::dup(slab.fd()));
  CHECK(!attached.ok());
  CHECK(attached.error().text.find("layout 99") != std::string::npos);
}

void pages_are_given_once_and_come_back_empty() {
  Slab slab = make(1 << 20);
  std::set<uint64_t> taken;
  while (const uint64_t offset = slab.take_pages(3)) {
    CHECK(offset % Slab::page_size == 0);
    for (uint64_t page = 0; page < 3; ++page) CHECK(taken.insert(offset + page * Slab::page_size).second);
    std::memset(slab.at(offset), 0xff, 3 * Slab::page_size);
  }
  CHECK(taken.size() > 240);
  CHECK(!slab.zone("late", "late", 1, 3 * Slab::page_size).ok());
  const uint64_t first = *taken.begin();
  const uint64_t used = slab.usage().taken;
  slab.give_pages(first, 3);
  CHECK_EQ(slab.usage().taken, used - 3 * Slab::page_size);
  CHECK_EQ(slab.take_pages(3), first);
  CHECK_EQ(*static_cast<char*>(slab.at(first)), 0);
  CHECK_EQ(slab.take_pages(1000), 0u);
}

void the_zone_table_has_an_end() {
  Slab slab = make();
  for (size_t i = 0; i < Slab::max_zones; ++i) CHECK(slab.zone("zone" + std::to_string(i), "t", 1, 1).ok());
  CHECK(!slab.zone("one more", "t", 1, 1).ok());
}

void who_dies_with_the_lock_stops_nobody() {
  Slab slab = make();
  const pid_t pid = ::fork();
  if (pid == 0) {
    const Slab::Lock lock(slab);
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  CHECK(::waitpid(pid, &status, 0) == pid);
  CHECK(WIFSIGNALED(status));
  CHECK(slab.zone("after", "t", 1, 100).ok());
  CHECK(slab.zone("after that", "t", 1, 100).ok());
  CHECK_EQ(slab.usage().recovered, 1u);
}

void killed_at_any_moment_the_zones_stay_sound() {
  Slab slab = make();
  for (int round = 0; round < 30; ++round) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      for (int i = 0;; ++i) {
        const uint64_t pages = slab.take_pages(1 + static_cast<size_t>(i % 3));
        if (pages != 0) slab.give_pages(pages, 1 + static_cast<size_t>(i % 3));
      }
    }
    ::usleep(300);
    ::kill(pid, SIGKILL);
    int status = 0;
    ::waitpid(pid, &status, 0);
  }
  const uint64_t one = slab.take_pages(2);
  const uint64_t other = slab.take_pages(2);
  CHECK(one != 0 && other != 0 && one != other);
  CHECK(slab.usage().taken < slab.usage().size / 2);
}

void untouched_pages_cost_nothing() {
  Slab slab = make();
  CHECK(slab.zone("large", "t", 1, size_t{48} << 20).ok());
  struct stat status {};
  CHECK_EQ(::fstat(slab.fd(), &status), 0);
  CHECK(status.st_blocks * 512 < 64 * 1024);
}

void the_master_reads_what_a_dead_worker_wrote() {
  Slab slab = make();
  ProcessTable table = ProcessTable::open(slab).value();
  const pid_t pid = ::fork();
  if (pid == 0) {
    table.enter(ProcessTable::Role::worker, 3, 1000);
    table.set_generation(5);
    table.set_status("GET /x\r\n" + std::string(1000, 'a'));
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  CHECK(::waitpid(pid, &status, 0) == pid);
  const ProcessTable::Entry* entry = table.find(pid);
  CHECK(entry != nullptr);
  CHECK(entry->role == ProcessTable::Role::worker);
  CHECK_EQ(entry->slot, 3);
  CHECK_EQ(entry->generation, 5u);
  CHECK_EQ(table.status_of(pid).substr(0, 10), "GET /x??aa");
  CHECK_EQ(table.status_of(pid).size(), ProcessTable::max_status);
  table.leave(pid);
  CHECK(table.find(pid) == nullptr);
  CHECK_EQ(table.status_of(pid), "");
}

void only_a_master_strikes_out_the_dead() {
  Slab slab = make();
  ProcessTable table = ProcessTable::open(slab).value();
  const pid_t pid = ::fork();
  if (pid == 0) {
    table.enter(ProcessTable::Role::manager, -1, 1);
    ::_exit(0);
  }
  int status = 0;
  CHECK(::waitpid(pid, &status, 0) == pid);
  CHECK(table.enter(ProcessTable::Role::worker, 0, 2));  // the master may still want to read what it left
  CHECK(table.find(pid) != nullptr);
  table.leave(::getpid());
  CHECK(table.enter(ProcessTable::Role::master, -1, 2));
  CHECK(table.find(pid) == nullptr);
  CHECK(table.find(::getpid()) != nullptr);
}

void the_process_table_has_an_end() {
  Slab slab = make();
  ProcessTable table = ProcessTable::open(slab).value();
  for (size_t i = 0; i < ProcessTable::capacity; ++i) CHECK(table.enter(ProcessTable::Role::worker, 0, 1));
  CHECK(!table.enter(ProcessTable::Role::worker, 0, 1));
  table.set_status("nowhere");
  table.leave(::getpid());
  size_t left = 0;
  table.each([&](const ProcessTable::Entry&) { ++left; });
  CHECK_EQ(left, 0u);
}

}  // namespace

GOMA_TESTS(the_same_name_is_the_same_memory, type_and_version_make_another_zone, processes_share_it,
           an_inherited_descriptor_is_the_same_slab, a_foreign_descriptor_is_refused,
           pages_are_given_once_and_come_back_empty, the_zone_table_has_an_end, who_dies_with_the_lock_stops_nobody,
           killed_at_any_moment_the_zones_stay_sound, untouched_pages_cost_nothing,
           the_master_reads_what_a_dead_worker_wrote, only_a_master_strikes_out_the_dead, the_process_table_has_an_end)
