// SPDX-License-Identifier: Apache-2.0
//
// Watching comes before looking: what changes after the look finds the watch armed.
#include "core/file_watch.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <ctime>

#include "core/log.h"

namespace goma::core {

namespace {

constexpr uint32_t changes = IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ATTRIB;
constexpr int64_t clock_grain_ms = 20;
constexpr int longest_way = 40;  // links, as the kernel has it

int64_t wall_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

void append(std::string& text, int number) { text.append(reinterpret_cast<const char*>(&number), sizeof number); }

// Calls step(directory, name) for every name on the way to a path, links included, as far as it leads.
template <class Step>
void walk_way(std::string path, Step step) {
  std::string at = path.starts_with('/') ? "/" : ".";
  for (int links = 0; !path.empty();) {
    const size_t begin = path.find_first_not_of('/');
    if (begin == std::string::npos) return;
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string name = path.substr(begin, end - begin);
    path.erase(0, end);
    step(at, name);
    const std::string next = at == "/" ? "/" + name : at + "/" + name;
    char target[PATH_MAX];
    const ssize_t n = ::readlink(next.c_str(), target, sizeof target);
    if (n < 0 && errno != EINVAL) return;  // it is not there, or nobody tells us
    if (n < 0) {
      at = next;
      continue;
    }
    if (++links > longest_way) return;
    path = std::string(target, static_cast<size_t>(n)) + path;
    if (path.starts_with('/')) at = "/";
  }
}

}  // namespace

FileWatch::FileWatch(Loop& loop, std::function<void()> changed, Concerns concerns) : concerns_(concerns), loop_(loop), changed_(std::move(changed)) {
  quiet_.bind<&FileWatch::on_quiet>(loop, this);
  time_.bind<&FileWatch::on_time>(loop, this);
  notify_.reset(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (notify_) {
    watch_.open_level<&FileWatch::on_ready>(loop, notify_.get(), this);
  } else {
    log::warn("files are looked at once a minute only", {{"errno", errno}});
  }
}

void FileWatch::watch(std::vector<std::string> paths, int64_t read_ms, Reach reach) {
  paths_ = std::move(paths);
  reach_ = reach;
  state_.clear();
  first_event_ms_ = 0;
  quiet_.stop();
  time_.stop();
  if (paths_.empty()) return arm({});
  arm(look().interests);
  State now = look();
  places_ = places();
  looked_ms_ = loop_.now_ms();
  // What changed between reading and now has no earlier state to be compared with. A time in the future is no time.
  const bool since = now.newest_ms >= read_ms - clock_grain_ms && now.newest_ms <= wall_ms() + clock_grain_ms;
  if (!since) state_ = std::move(now.text);
  if (since) quiet_.start(quiet_ms);
  time_.start(places_ms);
}

void FileWatch::look_at_directory(const std::string& path, State& state) const {
  const Scope scope = reach_ == Reach::within ? Scope::of(path) : Scope();
  const Result<FileTree> tree = FileTree::walk(path, path, scope);
  if (!tree) {
    state.text += tree.error().text;
    return;
  }
  const auto add = [&](const std::string& name) { state.text.append(name).push_back('\0'); };
  for (const FileTree::File& file : tree.value().files) {
    if (concerns_ != nullptr && !concerns_(file.path)) continue;
    add(file.path);
    append_stamp(state.text, file.about);
  }
  for (const std::string& broken : tree.value().broken) add(broken);
  for (const std::string& directory : tree.value().directories) {
    add(directory);
    state.interests[directory].all = true;
  }
  for (const std::string& link : tree.value().links) walk_way(link, [&](const std::string& at, const std::string& name) { state.interests[at].names.insert(name); });
  state.newest_ms = std::max(state.newest_ms, tree.value().newest_ms);
}

FileWatch::State FileWatch::look() const {
  State state;
  for (const std::string& path : paths_) {
    walk_way(path, [&](const std::string& at, const std::string& name) { state.interests[at].names.insert(name); });
    struct stat about {};
    if (::stat(path.c_str(), &about) != 0) {
      append(state.text, errno);
    } else if (S_ISDIR(about.st_mode)) {
      look_at_directory(path, state);
    } else {
      append_stamp(state.text, about);
      state.newest_ms = std::max(state.newest_ms, changed_ms(about));
    }
  }
  return state;
}

void FileWatch::arm(const Interests& interests) {
  std::map<int, Interest> wanted;
  for (const auto& [directory, interest] : interests) {
    const int number = ::inotify_add_watch(notify_.get(), directory.c_str(), changes | IN_ONLYDIR);
    if (number < 0) {
      if (errno == ENOSPC) log::warn("no more directories can be watched; changes are seen within a minute", {{"directory", directory}, {"limit", "fs.inotify.max_user_watches"}});
      continue;
    }
    Interest& one = wanted[number];  // two names of one directory are one
    one.all = one.all || interest.all;
    one.names.insert(interest.names.begin(), interest.names.end());
  }
  for (const auto& [number, interest] : watched_) {
    if (!wanted.contains(number)) ::inotify_rm_watch(notify_.get(), number);
  }
  watched_ = std::move(wanted);
}

// What a mount changes.
std::string FileWatch::places() const {
  std::set<std::string> directories;
  for (const std::string& path : paths_) {
    directories.insert(path);
    directories.insert(parent_of(path));
  }
  std::string text;
  for (const std::string& directory : directories) {
    struct stat about {};
    const bool there = ::stat(directory.c_str(), &about) == 0;
    if (there && !S_ISDIR(about.st_mode)) continue;
    append(text, there ? 0 : errno);
    text.append(reinterpret_cast<const char*>(&about.st_dev), sizeof about.st_dev).append(reinterpret_cast<const char*>(&about.st_ino), sizeof about.st_ino);
  }
  return text;
}

// An event without a name is about the directory itself.
bool FileWatch::tells_something(int number, std::string_view name) const {
  if (number < 0) return true;  // events were lost
  const auto known = watched_.find(number);
  if (known == watched_.end()) return false;
  const Interest& interest = known->second;
  return name.empty() || interest.all || interest.names.contains(std::string(name));
}

void FileWatch::on_ready(unsigned) {
  alignas(inotify_event) char block[16384];
  bool something = false;
  for (ssize_t n = 0; (n = ::read(notify_.get(), block, sizeof block)) > 0;) {
    for (const char* next = block; next < block + n;) {
      const auto* event = reinterpret_cast<const inotify_event*>(next);
      next += sizeof *event + event->len;
      something = tells_something(event->wd, event->len > 0 ? event->name : "") || something;
    }
  }
  if (!something || paths_.empty()) return;
  if (first_event_ms_ == 0) first_event_ms_ = loop_.now_ms();
  quiet_.start(std::clamp<int64_t>(first_event_ms_ + patience_ms - loop_.now_ms(), 1, quiet_ms));
}

void FileWatch::on_quiet() {
  first_event_ms_ = 0;
  arm(look().interests);
  State now = look();
  looked_ms_ = loop_.now_ms();
  if (now.text == state_) return;
  state_ = std::move(now.text);
  changed_();
}

void FileWatch::on_time() {
  time_.start(places_ms);
  std::string now = places();
  const bool moved = now != places_;
  places_ = std::move(now);
  if (moved || loop_.now_ms() - looked_ms_ >= look_ms) on_quiet();
}

}  // namespace goma::core
