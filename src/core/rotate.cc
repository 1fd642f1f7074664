// SPDX-License-Identifier: Apache-2.0
//
// Names sort by age, so the newest are the last.
#include "core/rotate.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <vector>

#include "core/log.h"
#include "core/safe_open.h"

namespace goma::core {

namespace {

struct Name {
  std::string stem, extension;
};

Name split(const std::string& file) {
  Name name;
  const size_t dot = file.rfind('.');
  name.stem = dot == std::string::npos || dot == 0 ? file : file.substr(0, dot);
  name.extension = file.substr(name.stem.size());
  return name;
}

std::string stamp() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm utc{};
  gmtime_r(&now.tv_sec, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}-{:02}-{:02}.{:03}", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour,
                     utc.tm_min, utc.tm_sec, now.tv_nsec / 1'000'000);
}

// Whether this is the name of an earlier log: STEM-dddd-...EXT.
bool is_backup(const Name& name, const std::string& file) {
  const size_t stamp_size = 23;
  return file.size() == name.stem.size() + 1 + stamp_size + name.extension.size() && file.starts_with(name.stem + "-") &&
         file.ends_with(name.extension) && file[name.stem.size() + 1] >= '0' && file[name.stem.size() + 1] <= '9';
}

std::vector<std::string> names_in(int directory) {
  std::vector<std::string> names;
  const int fd = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* open = fd >= 0 ? ::fdopendir(fd) : nullptr;
  if (open == nullptr) return names;
  while (const dirent* entry = ::readdir(open)) names.emplace_back(entry->d_name);
  ::closedir(open);
  return names;
}

void prune(const Spot& log, int keep, int max_age_days) {
  const Name name = split(log.name());
  std::vector<std::string> backups = names_in(log.directory());
  std::erase_if(backups, [&name](const std::string& file) { return !is_backup(name, file); });
  std::sort(backups.rbegin(), backups.rend());
  const time_t oldest = ::time(nullptr) - static_cast<time_t>(max_age_days) * 86400;
  for (size_t i = 0; i < backups.size(); ++i) {
    const Spot backup = log.beside(backups[i]);
    const std::optional<struct stat> about = backup.look();
    const bool too_many = keep > 0 && i >= static_cast<size_t>(keep);
    const bool too_old = max_age_days > 0 && about && about->st_mtime < oldest;
    if (about && S_ISREG(about->st_mode) && (too_many || too_old)) backup.remove();
  }
}

Result<Spot> spot_of(const std::string& path, const Settings& settings) { return Spot::find(path, settings.identity.uid, Spot::Last::followed); }

// Standard streams and descriptors of ours are used as they are.
bool is_place(const std::string& path) { return log::standard_stream(path) == 0 && !log::is_own_descriptor(path); }

Error cannot(std::string_view what, const Error& why) {
  return Error{Code::refused, fmt::format("cannot {} the log {}", what, why.text), why.system};
}

// Nothing to do where it is a stream that a reader may come to later.
bool waits_for_reader(const Error& why) { return why.system == ENXIO; }

}  // namespace

std::string log_path(const Plan& plan, const std::string& prefix) {
  if (plan.log_file.empty() || plan.log_file.starts_with('/') || prefix.empty()) return plan.log_file;
  return prefix + "/" + plan.log_file;
}

Result<void> may_make_log(const Plan& plan, const Settings& settings) {
  const std::string path = log_path(plan, settings.prefix);
  if (!is_place(path)) return {};
  const Result<Spot> spot = spot_of(path, settings);
  const Result<void> allowed = spot.ok() ? spot.value().may_write(Spot::Kind::file_or_stream) : spot.error();
  return allowed.ok() ? Result<void>() : cannot("write", allowed.error());
}

Result<void> workers_reach_log(const Plan& plan, const Settings& settings) {
  const std::string path = log_path(plan, settings.prefix);
  const process::Identity& identity = settings.identity;
  const size_t slash = path.rfind('/');
  if (::geteuid() != 0 || identity.user.empty() || identity.uid == 0 || slash == std::string::npos || !is_place(path)) return {};
  const std::string directory = path.substr(0, std::max<size_t>(slash, 1));
  std::vector<gid_t> mine(static_cast<size_t>(std::max(::getgroups(0, nullptr), 0)));
  const int groups = ::getgroups(static_cast<int>(mine.size()), mine.data());
  const gid_t group = ::getegid();
  const bool other = ::setgroups(identity.groups.size(), identity.groups.data()) == 0 && ::setegid(identity.gid) == 0 && ::seteuid(identity.uid) == 0;
  const bool reached = other && ::faccessat(AT_FDCWD, directory.c_str(), X_OK, AT_EACCESS) == 0;
  const int number = errno;
  const bool back = ::seteuid(0) == 0 && ::setegid(group) == 0 && ::setgroups(groups > 0 ? static_cast<size_t>(groups) : 0, mine.data()) == 0;
  GOMA_CHECK(back);
  if (reached || number == ENOENT) return {};
  return Error{Code::refused, fmt::format("workers cannot write the log {}: user \"{}\" cannot enter {}", path, identity.user, directory), number};
}

Result<void> make_log(const Plan& plan, const Settings& settings) {
  const std::string path = log_path(plan, settings.prefix);
  if (!is_place(path)) return {};
  const Result<Spot> spot = spot_of(path, settings);
  if (!spot.ok()) return cannot("write", spot.error());
  const Result<Descriptor> file = spot.value().open(O_WRONLY | O_APPEND, Spot::Kind::file_or_stream, 0640);
  if (!file.ok() && !waits_for_reader(file.error())) return cannot("write", file.error());
  if (::geteuid() != 0 || settings.identity.user.empty()) return {};
  const Result<void> given = spot.value().give(settings.identity.uid, settings.identity.gid);
  return given.ok() ? Result<void>() : cannot(fmt::format("give to user \"{}\"", settings.identity.user), given.error());
}

bool log_is_full(const Plan& plan, const std::string& prefix) {
  const std::string path = log_path(plan, prefix);
  if (!is_place(path) || plan.log_max_size_mb <= 0) return false;
  const Result<Spot> spot = Spot::find(path, 0, Spot::Last::followed);
  const std::optional<struct stat> about = spot.ok() ? spot.value().look() : std::nullopt;
  return about && S_ISREG(about->st_mode) && about->st_size >= static_cast<off_t>(plan.log_max_size_mb) << 20;
}

Result<void> rotate_log(const Plan& plan, const Settings& settings) {
  const Result<Spot> spot = spot_of(log_path(plan, settings.prefix), settings);
  const Result<void> allowed = spot.ok() ? spot.value().may_open(Spot::Kind::file) : spot.error();
  if (!allowed.ok()) return cannot("rename", allowed.error());
  const Name name = split(spot.value().name());
  if (!spot.value().rename(fmt::format("{}-{}{}", name.stem, stamp(), name.extension))) {
    return cannot("rename", Error::from_errno(Code::refused, spot.value().path(), errno));
  }
  prune(spot.value(), plan.log_max_backups, plan.log_max_age_days);
  return {};
}

}  // namespace goma::core
