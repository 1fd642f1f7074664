// SPDX-License-Identifier: Apache-2.0
//
// They are nobody's children here, so their end is looked for.
#include "core/orphans.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <sstream>

#include "core/log.h"
#include "core/process.h"
#include "core/safe_open.h"

namespace goma::core {

namespace {

constexpr int64_t look_ms = 50;

}  // namespace

bool Orphans::Orphan::lives() const { return process::start_time(pid) == start_time; }

Orphans::Orphans(Loop& loop, std::function<void()> gone) : gone_(std::move(gone)) {
  look_.bind<&Orphans::on_look>(loop, this);
  overdue_.bind<&Orphans::on_overdue>(loop, this);
}

void Orphans::read(const std::string& path) {
  std::istringstream lines(read_own_file(path));
  Orphan orphan{};
  while (lines >> orphan.pid >> orphan.start_time) {
    const auto same = [&orphan](const Orphan& o) { return o.pid == orphan.pid && o.start_time == orphan.start_time; };
    if (orphan.pid > 0 && orphan.lives() && std::none_of(all_.begin(), all_.end(), same)) all_.push_back(orphan);
  }
}

void Orphans::end(int64_t patience_ms) {
  std::erase_if(all_, [](const Orphan& orphan) { return !orphan.lives(); });
  if (all_.empty()) return;
  for (const Orphan& orphan : all_) {
    log::info("a process of an earlier master is told to leave", {{"pid", orphan.pid}});
    ::kill(orphan.pid, SIGQUIT);
  }
  look_.start(look_ms);
  overdue_.start(patience_ms);
}

void Orphans::kill() {
  if (!all_.empty()) look_.start(look_ms);
  for (const Orphan& orphan : all_) {
    if (orphan.lives()) ::kill(orphan.pid, SIGKILL);
  }
}

void Orphans::on_look() {
  std::erase_if(all_, [](const Orphan& orphan) { return !orphan.lives(); });
  if (!all_.empty()) return look_.start(look_ms);
  overdue_.stop();
  gone_();
}

std::vector<pid_t> Orphans::pids() const {
  std::vector<pid_t> pids;
  for (const Orphan& orphan : all_) pids.push_back(orphan.pid);
  return pids;
}

std::string Orphans::lines() const {
  std::string text;
  for (const Orphan& orphan : all_) {
    if (orphan.lives()) text += fmt::format("{} {}\n", orphan.pid, orphan.start_time);
  }
  return text;
}

}  // namespace goma::core
