// SPDX-License-Identifier: Apache-2.0
//
// inotify on the directories the files are in; stat for the rest.
#include "core/file_watch.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <set>
#include <utility>

#include "core/log.h"

namespace goma::core {

namespace {

constexpr uint32_t changes = IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ATTRIB;
constexpr int64_t clock_grain_ms = 20;

int64_t ms_of(const timespec& time) { return time.tv_sec * 1000 + time.tv_nsec / 1'000'000; }

int64_t wall_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return ms_of(now);
}

std::string parent_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

template <class Number>
void append(std::string& text, Number number) {
  text.append(reinterpret_cast<const char*>(&number), sizeof number);
}

std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> names;
  DIR* open = ::opendir(directory.c_str());
  if (open == nullptr) return names;
  while (const dirent* entry = ::readdir(open)) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  ::closedir(open);
  std::sort(names.begin(), names.end());
  return names;
}

// In the child: what the files are like, behind the time of the newest change in milliseconds and a blank.
std::string look_at(const std::vector<std::string>& paths) {
  std::string text;
  int64_t newest_ms = 0;
  const auto add = [&](const std::string& path) {
    struct stat about {};
    if (::stat(path.c_str(), &about) != 0) {
      append(text, errno);
      return false;
    }
    append(text, about.st_dev);
    append(text, about.st_ino);
    append(text, about.st_size);
    append(text, about.st_mtim);
    append(text, about.st_ctim);
    newest_ms = std::max({newest_ms, ms_of(about.st_mtim), ms_of(about.st_ctim)});
    return S_ISDIR(about.st_mode);
  };
  for (const std::string& path : paths) {
    if (!add(path)) continue;
    for (const std::string& name : names_in(path)) {
      text.append(name).push_back('\0');
      add(path + "/" + name);
    }
  }
  return std::to_string(newest_ms) + " " + std::to_string(std::hash<std::string>()(text));
}

// In the child, whose inotify instance is its parent's.
void add_watches(int notify, const std::vector<std::string>& paths) {
  std::set<std::string> directories;
  for (const std::string& path : paths) {
    struct stat about {};
    directories.insert(parent_of(path));
    if (::stat(path.c_str(), &about) == 0 && S_ISDIR(about.st_mode)) directories.insert(path);
  }
  for (const std::string& directory : directories) ::inotify_add_watch(notify, directory.c_str(), changes | IN_ONLYDIR);
}

}  // namespace

FileWatch::FileWatch(Loop& loop, Fork fork, std::function<void()> changed) : loop_(loop), fork_(std::move(fork)), changed_(std::move(changed)) {
  settle_.bind<&FileWatch::on_settled>(loop, this);
  time_.bind<&FileWatch::on_time>(loop, this);
}

void FileWatch::watch(std::vector<std::string> paths, int64_t read_ms) {
  aside_.cancel();
  watch_.close();
  settle_.stop();
  time_.stop();
  again_ = false;
  paths_ = std::move(paths);
  state_.clear();
  read_ms_ = read_ms;
  notify_.reset(paths_.empty() ? -1 : ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (paths_.empty()) return;
  if (notify_) {
    watch_.open_level<&FileWatch::on_ready>(loop_, notify_.get(), this);
  } else {
    log::warn("certificates are looked at once a minute only", {{"errno", errno}});
  }
  time_.start(look_ms);
  look(true);
}

void FileWatch::look(bool first) {
  if (aside_.running()) {
    again_ = true;
    return;
  }
  const auto work = [this, first] {
    if (first) add_watches(notify_.get(), paths_);
    return look_at(paths_);
  };
  std::vector<int> keep;
  if (notify_) keep.push_back(notify_.get());
  aside_.start(loop_, fork_, "goma: file watch", patience_ms, work, [this, first](const std::optional<std::string>& seen) {
    if (!seen) log::warn("the disk of certificates does not answer", {{"seconds", patience_ms / 1000}});
    if (seen) looked(*seen, first);
    if (std::exchange(again_, false)) settle_.start(settle_ms);
  }, keep);
}

void FileWatch::looked(const std::string& seen, bool first) {
  const int64_t newest_ms = std::strtoll(seen.c_str(), nullptr, 10);
  // What changed between reading and the first look has no earlier state to be compared with. A time in the future is no
  // time.
  const bool since = newest_ms >= read_ms_ - clock_grain_ms && newest_ms <= wall_ms() + clock_grain_ms;
  if (first && since) return settle_.start(settle_ms);
  if (seen == state_) return;
  state_ = seen;
  if (!first) changed_();
}

// Others may write into the same directories all the time: the first event counts, not the last.
void FileWatch::on_ready(unsigned) {
  char block[16384];
  while (::read(notify_.get(), block, sizeof block) > 0) {
  }
  if (!settle_.running()) settle_.start(settle_ms);
}

void FileWatch::on_time() {
  on_settled();
  time_.start(look_ms);
}

}  // namespace goma::core
