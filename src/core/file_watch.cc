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
#include <ctime>
#include <set>

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

}  // namespace

FileWatch::FileWatch(Loop& loop, std::function<void()> changed) : changed_(std::move(changed)) {
  settle_.bind<&FileWatch::on_settled>(loop, this);
  time_.bind<&FileWatch::on_time>(loop, this);
  notify_.reset(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (notify_) {
    watch_.open_level<&FileWatch::on_ready>(loop, notify_.get(), this);
  } else {
    log::warn("certificates are looked at once a minute only", {{"errno", errno}});
  }
}

void FileWatch::watch(std::vector<std::string> paths, int64_t read_ms) {
  for (const int number : watched_) ::inotify_rm_watch(notify_.get(), number);
  watched_.clear();
  settle_.stop();
  time_.stop();
  paths_ = std::move(paths);
  state_.clear();
  if (paths_.empty()) return;
  std::set<std::string> directories;
  for (const std::string& path : paths_) {
    struct stat about {};
    directories.insert(parent_of(path));
    if (::stat(path.c_str(), &about) == 0 && S_ISDIR(about.st_mode)) directories.insert(path);
  }
  for (const std::string& directory : directories) {
    const int number = ::inotify_add_watch(notify_.get(), directory.c_str(), changes | IN_ONLYDIR);
    if (number >= 0) watched_.push_back(number);
  }
  State now = look();
  // What changed between reading and now has no earlier state to be compared with. A time in the future is no time.
  const bool since = now.newest_ms >= read_ms - clock_grain_ms && now.newest_ms <= wall_ms() + clock_grain_ms;
  if (!since) state_ = std::move(now.text);
  if (since) settle_.start(settle_ms);
  time_.start(look_ms);
}

FileWatch::State FileWatch::look() const {
  State state;
  const auto add = [&state](const std::string& path) {
    struct stat about {};
    if (::stat(path.c_str(), &about) != 0) {
      append(state.text, errno);
      return false;
    }
    append(state.text, about.st_dev);
    append(state.text, about.st_ino);
    append(state.text, about.st_size);
    append(state.text, about.st_mtim);
    append(state.text, about.st_ctim);
    state.newest_ms = std::max({state.newest_ms, ms_of(about.st_mtim), ms_of(about.st_ctim)});
    return S_ISDIR(about.st_mode);
  };
  for (const std::string& path : paths_) {
    if (!add(path)) continue;
    for (const std::string& name : names_in(path)) {
      state.text.append(name).push_back('\0');
      add(path + "/" + name);
    }
  }
  return state;
}

// Others may write into the same directories all the time: the first event counts, not the last.
void FileWatch::on_ready(unsigned) {
  char block[16384];
  while (::read(notify_.get(), block, sizeof block) > 0) {
  }
  if (!settle_.running()) settle_.start(settle_ms);
}

void FileWatch::on_settled() {
  std::string now = look().text;
  if (now == state_) return;
  state_ = std::move(now);
  changed_();
}

void FileWatch::on_time() {
  on_settled();
  time_.start(look_ms);
}

}  // namespace goma::core
