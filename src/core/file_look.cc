// SPDX-License-Identifier: Apache-2.0
//
// Two rounds: the first finds out what to arm, the second one counts.
#include "core/file_look.h"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <ctime>
#include <functional>

#include "core/pack.h"

namespace goma::core {

namespace {

constexpr uint32_t changes = IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ATTRIB;
constexpr int longest_way = 40;  // links, as the kernel has it
constexpr int64_t clock_grain_ms = 20;

using Interests = std::map<std::string, Interest>;

void append(std::string& text, int number) { text.append(reinterpret_cast<const char*>(&number), sizeof number); }

// Calls step(directory, name) for every name on the way to a path, links included, as far as it leads.
void walk_way(std::string path, const std::function<void(const std::string& directory, const std::string& name)>& step) {
  std::string at(path.starts_with('/') ? "/" : ".");
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
    if (path.starts_with('/')) at.assign(1, '/');
  }
}

// A round.
struct Round {
  const WatchedPaths& what;
  const FileTree::At& at;
  std::string text;  // equal while nothing changed
  int64_t newest_ms = 0;
  Interests interests;

  void walk(const std::string& path) {
    walk_way(path, [this](const std::string& directory, const std::string& name) { interests[directory].names.insert(name); });
  }

  void directory(const std::string& path) {
    const Scope scope = what.reach == Reach::within ? Scope::of(path) : Scope();
    const Result<FileTree> tree = FileTree::walk(path, path, scope, at);
    if (!tree) {
      text += tree.error().text;
      return;
    }
    const auto add = [this](const std::string& name) { text.append(name).push_back('\0'); };
    for (const FileTree::File& file : tree.value().files) {
      if (what.concerns != nullptr && !what.concerns(file.path)) continue;
      add(file.path);
      append_stamp(text, file.about);
    }
    for (const std::string& broken : tree.value().broken) add(broken);
    for (const std::string& each : tree.value().directories) {
      add(each);
      interests[each].all = true;
    }
    for (const std::string& link : tree.value().links) walk(link);
    newest_ms = std::max(newest_ms, tree.value().newest_ms);
  }

  void look() {
    for (const std::string& path : what.paths) {
      if (at) at(path);
      walk(path);
      struct stat about {};
      if (::stat(path.c_str(), &about) != 0) {
        append(text, errno);
      } else if (S_ISDIR(about.st_mode)) {
        directory(path);
      } else {
        append_stamp(text, about);
        newest_ms = std::max(newest_ms, changed_ms(about));
      }
    }
  }
};

void arm(const Interests& interests, int notify, const std::map<int, Interest>& before, const FileTree::At& at, Look& look) {
  for (const auto& [directory, interest] : interests) {
    at(directory);
    const int number = ::inotify_add_watch(notify, directory.c_str(), changes | IN_ONLYDIR);
    if (number < 0) {
      if (errno == ENOSPC) look.unwatched = directory;
      continue;
    }
    Interest& one = look.watches[number];  // two names of one directory are one
    one.all = one.all || interest.all;
    one.names.insert(interest.names.begin(), interest.names.end());
  }
  for (const auto& [number, interest] : before) {
    if (!look.watches.contains(number)) ::inotify_rm_watch(notify, number);
  }
}

std::vector<std::string> below(const std::string& prefix, std::vector<std::string> paths) {
  for (std::string& path : paths) {
    if (!path.starts_with('/') && !prefix.empty()) path = prefix + "/" + path;
  }
  return paths;
}

// What a directory of configurations is read for. An editor's own files are none of ours.
bool is_configuration(std::string_view path) { return path.ends_with(".yml") || path.ends_with(".yaml"); }

}  // namespace

WatchedPaths watched_certificates(const Plan& plan, const std::string& prefix) { return {below(prefix, plan.certificates), Reach::anywhere, nullptr}; }
WatchedPaths watched_directories(const Plan& plan, const std::string& prefix) { return {below(prefix, plan.watch), Reach::within, is_configuration}; }

int64_t wall_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

// A time in the future is no time.
std::optional<uint64_t> state_as_read(const WatchedPaths& what, int64_t read_ms) {
  const Look now = look_at(what, -1, {}, {});
  const bool since = now.newest_ms >= read_ms - clock_grain_ms && now.newest_ms <= wall_ms() + clock_grain_ms;
  return since ? std::nullopt : std::optional(now.state);
}

Look look_at(const WatchedPaths& what, int notify, const std::map<int, Interest>& before, const FileTree::At& at) {
  Look look;
  if (notify >= 0) {
    Round first{what, at, {}, 0, {}};
    first.look();
    arm(first.interests, notify, before, at, look);
  }
  Round second{what, at, {}, 0, {}};
  second.look();
  look.state = std::hash<std::string>()(second.text);
  look.newest_ms = second.newest_ms;
  return look;
}

std::string Look::pack() const {
  Pack p;
  p.number(state).number(static_cast<uint64_t>(newest_ms)).text(unwatched).number(watches.size());
  for (const auto& [number, interest] : watches) {
    p.number(static_cast<uint64_t>(number)).number(interest.all).number(interest.names.size());
    for (const std::string& name : interest.names) p.text(name);
  }
  return p.bytes();
}

std::optional<Look> Look::unpack(std::string_view bytes) {
  Unpack u(bytes);
  Look look;
  look.state = u.number();
  look.newest_ms = static_cast<int64_t>(u.number());
  look.unwatched = u.text();
  for (uint64_t n = u.number(); n > 0 && u.ok(); --n) {
    Interest& interest = look.watches[static_cast<int>(u.number())];
    interest.all = u.number() != 0;
    for (uint64_t names = u.number(); names > 0 && u.ok(); --names) interest.names.insert(u.text());
  }
  return u.ok() ? std::optional<Look>(std::move(look)) : std::nullopt;
}

}  // namespace goma::core
