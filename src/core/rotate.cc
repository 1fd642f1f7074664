// SPDX-License-Identifier: Apache-2.0
//
// Names sort by age, so the newest are the last.
#include "core/rotate.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <vector>

namespace goma::core {

namespace {

struct Name {
  std::string directory, stem, extension;
};

Name split(const std::string& path) {
  Name name;
  const size_t slash = path.rfind('/');
  name.directory = slash == std::string::npos ? "." : path.substr(0, slash);
  const std::string file = slash == std::string::npos ? path : path.substr(slash + 1);
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

void prune(const Name& name, int keep, int max_age_days) {
  DIR* directory = ::opendir(name.directory.c_str());
  if (directory == nullptr) return;
  std::vector<std::string> backups;
  while (const dirent* entry = ::readdir(directory)) {
    if (is_backup(name, entry->d_name)) backups.push_back(name.directory + "/" + entry->d_name);
  }
  ::closedir(directory);
  std::sort(backups.rbegin(), backups.rend());
  const time_t oldest = ::time(nullptr) - static_cast<time_t>(max_age_days) * 86400;
  for (size_t i = 0; i < backups.size(); ++i) {
    struct stat about {};
    const bool too_many = keep > 0 && i >= static_cast<size_t>(keep);
    const bool too_old = max_age_days > 0 && ::stat(backups[i].c_str(), &about) == 0 && about.st_mtime < oldest;
    if (too_many || too_old) ::unlink(backups[i].c_str());
  }
}

}  // namespace

std::string log_path(const Plan& plan, const std::string& prefix) {
  if (plan.log_file.empty() || plan.log_file.starts_with('/') || prefix.empty()) return plan.log_file;
  return prefix + "/" + plan.log_file;
}

Result<void> make_log(const Plan& plan, const Settings& settings) {
  const std::string path = log_path(plan, settings.prefix);
  if (path.empty()) return {};
  const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
  if (fd < 0) return Error::from_errno(Code::refused, fmt::format("cannot write the log {}", path), errno);
  const bool ours = ::geteuid() != 0 || settings.identity.user.empty() || path.starts_with("/dev/");
  const bool given = ours || ::fchown(fd, settings.identity.uid, settings.identity.gid) == 0;
  const int number = errno;
  ::close(fd);
  if (given) return {};
  return Error::from_errno(Code::refused, fmt::format("cannot give the log {} to user \"{}\"", path, settings.identity.user), number);
}

bool log_is_full(const Plan& plan, const std::string& prefix) {
  const std::string path = log_path(plan, prefix);
  struct stat about {};
  if (path.empty() || plan.log_max_size_mb <= 0 || ::stat(path.c_str(), &about) != 0 || !S_ISREG(about.st_mode)) return false;
  return about.st_size >= static_cast<off_t>(plan.log_max_size_mb) << 20;
}

bool rotate_log(const Plan& plan, const std::string& prefix) {
  const std::string path = log_path(plan, prefix);
  if (path.empty()) return false;
  const Name name = split(path);
  const std::string backup = fmt::format("{}/{}-{}{}", name.directory, name.stem, stamp(), name.extension);
  if (::rename(path.c_str(), backup.c_str()) != 0) return false;
  prune(name, plan.log_max_backups, plan.log_max_age_days);
  return true;
}

}  // namespace goma::core
