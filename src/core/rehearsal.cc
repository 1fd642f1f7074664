// SPDX-License-Identifier: Apache-2.0
//
// The same functions that the start uses, in their asking form.
#include "core/rehearsal.h"

#include <dirent.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <sstream>

#include "core/listener.h"
#include "core/process.h"
#include "core/rotate.h"
#include "core/safe_open.h"

namespace goma::core {

namespace {

constexpr const char *cannot_start = "cannot-start", *log_file = "log-file";  // codes of what this machine lacks
constexpr size_t longest_socket_path = 107 - 4;  // ".new" while it is made

// The message of a listener is many lines: what and why, then what is known, then what to do.
void tell_address(const Plan::Address& address, const Error& why, Problems& problems) {
  std::istringstream lines(why.text);
  Problem problem;
  problem.place = address.at;
  std::getline(lines, problem.message);
  const size_t code = problem.message.rfind("  [");
  problem.code = code == std::string::npos ? "cannot-listen" : problem.message.substr(code + 3, problem.message.size() - code - 4);
  problem.message.resize(std::min(code, problem.message.size()));
  for (std::string line; std::getline(lines, line);) {
    line.erase(0, line.find_first_not_of(' '));
    if (line.starts_with("from ") && address.at.known()) continue;
    problem.notes.push_back(line.starts_with("= ") ? line.substr(2) : line);
  }
  problems.add(std::move(problem));
}

bool tell_place(const std::string& what, const Result<void>& allowed, Problems& problems) {
  if (allowed.ok()) return false;
  problems.error(cannot_start, {}, fmt::format("cannot write {}: {}", what, allowed.error().text), "start with -p DIR, a directory that this user may write");
  return true;
}

// The directory that does not exist yet is the default one, and was looked at by who chose it.
Result<void> may_have(const std::string& path) {
  const Result<Spot> spot = Spot::find(path);
  if (!spot.ok()) return spot.error().code == Code::not_found ? Result<void>() : spot.error();
  const Result<void> beside = spot.value().may_replace();
  return beside.ok() ? spot.value().may_write(Spot::Kind::file) : beside;
}

bool rehearse_places(const Settings& settings, Problems& problems) {
  bool wrong = tell_place("the pid file", may_have(settings.pid_file), problems);
  if (settings.control_socket.size() > longest_socket_path) {
    problems.error(cannot_start, {}, fmt::format("the path of the control socket has {} bytes, and {} at most: {}", settings.control_socket.size(), longest_socket_path, settings.control_socket));
    wrong = true;
  }
  return wrong;
}

}  // namespace

void tell_log(const Plan& plan, const Settings& settings, const Result<void>& made, Problems& problems) {
  if (!made.ok()) {
    const bool missing = made.error().system == ENOENT || made.error().system == ENOTDIR;
    return problems.error(log_file, plan.log_place, made.error().text, missing ? "make the directory, or name another one" : "");
  }
  const Result<void> reached = workers_reach_log(plan, settings);
  if (!reached.ok()) problems.warning(log_file, plan.log_place, reached.error().text, "their lines go to standard output");
}

int rehearse(const Plan& plan, const Settings& settings, const std::vector<pid_t>& friends, Problems& problems) {
  const Result<void> log = may_make_log(plan, settings);
  tell_log(plan, settings, log, problems);
  bool machine = rehearse_places(settings, problems);
  for (const Plan::Address& address : plan.addresses) {
    const Result<void> free = could_listen(address, settings.prefix, friends);
    if (free.ok()) continue;
    tell_address(address, free.error(), problems);
    machine = true;
  }
  return !log.ok() ? 78 : machine ? 1 : 0;
}

std::vector<pid_t> instance_at(const Settings& settings) {
  std::vector<pid_t> found;
  std::istringstream left(read_own_file(settings.state_file));
  pid_t pid = 0;
  for (uint64_t start = 0; left >> pid >> start;) {
    if (pid > 0 && process::start_time(pid) == start) found.push_back(pid);
  }
  const pid_t master = process::holder_of(settings.pid_file);
  DIR* processes = master > 0 ? ::opendir("/proc") : nullptr;
  if (processes == nullptr) return found;
  found.push_back(master);
  while (const dirent* entry = ::readdir(processes)) {
    const auto child = static_cast<pid_t>(std::strtol(entry->d_name, nullptr, 10));
    if (child > 0 && process::parent_of(child) == master) found.push_back(child);
  }
  ::closedir(processes);
  return found;
}

}  // namespace goma::core
