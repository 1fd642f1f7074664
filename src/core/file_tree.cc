// SPDX-License-Identifier: Apache-2.0
//
// Holding, judging, reading; and the walk, which holds every link it meets.
#include "core/file_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <ctime>
#include <set>

namespace goma::core {

namespace {

Error system_error(int number) {
  const bool missing = number == ENOENT || number == ENOTDIR;
  const bool denied = number == EACCES || number == EPERM;
  return Error{missing ? Code::not_found : denied ? Code::refused : Code::internal, std::strerror(number), number};
}

int64_t ms_of(const timespec& time) { return time.tv_sec * 1000 + time.tv_nsec / 1'000'000; }

int64_t steady_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return ms_of(now);
}

std::string through(const Descriptor& held) { return fmt::format("/proc/self/fd/{}", held.get()); }

std::string link_text(const std::string& path) {
  char text[PATH_MAX];
  const ssize_t n = ::readlink(path.c_str(), text, sizeof text);
  return n < 0 ? std::string() : std::string(text, static_cast<size_t>(n));
}

// Where a directory really is; empty when it is not there.
std::string real_path(const std::string& directory) {
  const Descriptor fd(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  return fd ? link_text(through(fd)) : std::string();
}

std::string without_slash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

Result<void> judge_link(const std::string& path, const struct stat& link, const Scope& scope, const Held& held) {
  const std::string real = link_text(through(held.fd));
  if (real.empty()) return Error{Code::internal, "cannot tell where it is; is /proc mounted?", 0};
  if (!scope.holds(real)) {
    const bool is_link = S_ISLNK(link.st_mode);
    return Error{Code::refused, is_link ? fmt::format("it is a symbolic link that leads out of the directory, to {}", link_text(path)) : "it lies outside of the directory", 0};
  }
  const bool trusted = link.st_uid == 0 || link.st_uid == ::geteuid() || link.st_uid == held.about.st_uid;
  if (S_ISLNK(link.st_mode) && !trusted) return Error{Code::refused, "it is a symbolic link of one user to a file of another", 0};
  return {};
}

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "it is a directory, not a file";
  if (S_ISFIFO(mode)) return "it is a FIFO, not a file";
  if (S_ISSOCK(mode)) return "it is a socket, not a file";
  return S_ISREG(mode) ? "it is a file" : "it is a device, not a file";
}

Error too_large() { return Error{Code::invalid, fmt::format("it is larger than {} MiB", max_file_size >> 20), 0}; }

}  // namespace

Scope Scope::of(const std::string& directory) {
  Scope scope{true, {}};
  const std::string real = real_path(directory);
  if (real.empty()) return scope;
  scope.roots.push_back(real);
  const std::string above = parent_of(real);
  if (above.ends_with("/releases")) scope.roots.push_back(above);
  const std::string beside = real_path(parent_of(without_slash(directory)) + "/releases");
  if (!beside.empty()) scope.roots.push_back(beside);
  return scope;
}

bool Scope::holds(std::string_view path) const {
  const auto below = [path](const std::string& root) {
    return path == root || (path.size() > root.size() && path.starts_with(root) && (root.ends_with('/') || path[root.size()] == '/'));
  };
  return !bounded || std::any_of(roots.begin(), roots.end(), below);
}

Result<void> hold(const std::string& path, const Scope& scope, Held& held) {
  struct stat link {};
  if (::lstat(path.c_str(), &link) != 0) return system_error(errno);
  const bool is_link = S_ISLNK(link.st_mode);
  held.fd.reset(::open(path.c_str(), O_PATH | O_CLOEXEC | (is_link ? 0 : O_NOFOLLOW)));
  if (!held.fd || ::fstat(held.fd.get(), &held.about) != 0) {
    const int number = errno;
    if (number == ELOOP) return Error{Code::invalid, "it is a circle of symbolic links", 0};
    const bool nowhere = is_link && (number == ENOENT || number == ENOTDIR);
    return nowhere ? Error{Code::not_found, fmt::format("it is a symbolic link that leads nowhere: {} is not there", link_text(path)), 0} : system_error(number);
  }
  if (S_ISLNK(held.about.st_mode)) return Error{Code::invalid, "it was exchanged while it was read", 0};
  return is_link || scope.bounded ? judge_link(path, link, scope, held) : Result<void>();
}

Result<std::string> read_file(const std::string& path, const Scope& scope) {
  Held held;
  if (Result<void> found = hold(path, scope, held); !found) return found.error();
  if (!S_ISREG(held.about.st_mode)) return Error{Code::invalid, kind_of(held.about.st_mode), 0};
  if (static_cast<size_t>(held.about.st_size) > max_file_size) return too_large();
  const Descriptor fd(::open(through(held.fd).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) return system_error(errno);
  std::string content;
  char block[65536];
  for (;;) {
    const ssize_t n = ::read(fd.get(), block, sizeof block);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_error(errno);
    if (n == 0) return content;
    content.append(block, static_cast<size_t>(n));
    if (content.size() > max_file_size) return too_large();
  }
}

// ---------------------------------------------------------------- the walk

namespace {

class Walk {
 public:
  Walk(const Scope& scope, FileTree& tree, const FileTree::At& at) : scope_(scope), tree_(tree), at_(at), deadline_ms_(steady_ms() + FileTree::patience_ms) {}

  Result<void> directory(const std::string& real, const std::string& shown, const Held& held, int depth) {
    if (depth > FileTree::max_depth) return limit(shown, fmt::format("lies deeper than {} directories", FileTree::max_depth));
    if (!visited_.emplace(held.about.st_dev, held.about.st_ino).second) return {};  // a link led back, or here twice
    note(held.about);
    DIR* open = ::opendir(through(held.fd).c_str());
    if (open == nullptr) return told(shown, system_error(errno), depth);
    tree_.directories.push_back(real);
    std::vector<std::pair<std::string, bool>> names;  // and whether it is said to be a file
    while (const dirent* entry = ::readdir(open)) {
      if (entry->d_name[0] != '.') names.emplace_back(entry->d_name, entry->d_type == DT_REG);
      if (++entries_ > FileTree::max_entries) break;
    }
    ::closedir(open);
    if (entries_ > FileTree::max_entries) return limit(shown, fmt::format("there are more than {} entries", FileTree::max_entries));
    std::sort(names.begin(), names.end());
    for (const auto& [name, is_file] : names) {
      if (at_ && !is_file) at_(real + "/" + name);
      if (steady_ms() > deadline_ms_) return limit(shown, fmt::format("reading it took more than {} s", FileTree::patience_ms / 1000));
      if (Result<void> done = entry(real + "/" + name, shown + "/" + name, depth); !done) return done;
    }
    return {};
  }

 private:
  static Error limit(const std::string& shown, const std::string& what) { return Error{Code::exhausted, fmt::format("{}: {}", shown, what), 0}; }

  // The directory itself is named by who asked; one below it is not.
  static Error told(const std::string& shown, Error error, int depth) {
    if (depth > 0) error = Error{error.code, fmt::format("{}: {}", shown, why_unreadable(error)), 0};
    return error;
  }

  void note(const struct stat& about) { tree_.newest_ms = std::max(tree_.newest_ms, changed_ms(about)); }

  Result<void> entry(const std::string& real, const std::string& shown, int depth) {
    struct stat own {};
    if (::lstat(real.c_str(), &own) != 0) return {};  // gone meanwhile
    note(own);
    const bool is_link = S_ISLNK(own.st_mode);
    if (is_link) tree_.links.push_back(real);
    if (S_ISREG(own.st_mode)) {
      tree_.files.push_back({shown, own});
      return {};
    }
    if (!is_link && !S_ISDIR(own.st_mode)) {
      tree_.broken.push_back(shown);
      return {};
    }
    Held held;
    const Result<void> found = hold(real, scope_, held);
    if (S_ISREG(held.about.st_mode)) {
      note(held.about);
      tree_.files.push_back({shown, held.about});  // who reads it hears what is wrong with it
      return {};
    }
    if (found && S_ISDIR(held.about.st_mode)) return directory(real, shown, held, depth + 1);
    if (!is_link && !found && found.error().code == Code::refused) return told(shown, found.error(), depth + 1);
    tree_.broken.push_back(shown);
    return {};
  }

  const Scope& scope_;
  FileTree& tree_;
  const FileTree::At& at_;
  const int64_t deadline_ms_;
  size_t entries_ = 0;
  std::set<std::pair<dev_t, ino_t>> visited_;
};

}  // namespace

Result<FileTree> FileTree::walk(const std::string& real, const std::string& shown, const Scope& scope, const At& at) {
  if (at) at(real);
  Held held;
  if (Result<void> found = hold(real, {}, held); !found) return found.error();
  if (!S_ISDIR(held.about.st_mode)) return Error{Code::invalid, "it is not a directory", 0};
  FileTree tree;
  tree.about = held.about;
  if (Result<void> done = Walk(scope, tree, at).directory(real, shown, held, 0); !done) return done.error();
  std::sort(tree.files.begin(), tree.files.end(), [](const File& a, const File& b) { return a.path < b.path; });
  std::sort(tree.broken.begin(), tree.broken.end());
  return tree;
}

// ---------------------------------------------------------------- small questions

std::string why_unreadable(const Error& error) {
  if (error.system == 0) return error.text;  // said by us
  if (error.code == Code::not_found) return "no such file";
  if (error.code == Code::refused) return "permission denied";
  return error.text;
}

std::string parent_of(std::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return slash == 0 ? "/" : std::string(path.substr(0, slash));
}

void append_stamp(std::string& text, const struct stat& about) {
  const auto append = [&text](const auto& value) { text.append(reinterpret_cast<const char*>(&value), sizeof value); };
  append(about.st_dev);
  append(about.st_ino);
  append(about.st_size);
  append(about.st_mtim);
  append(about.st_ctim);
}

int64_t changed_ms(const struct stat& about) { return std::max(ms_of(about.st_mtim), ms_of(about.st_ctim)); }

}  // namespace goma::core
