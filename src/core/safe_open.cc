// SPDX-License-Identifier: Apache-2.0
//
// openat, component by component. The kernel has openat2 with RESOLVE_NO_SYMLINKS, but that refuses root's own links
// too; so the walk is done here, with directories held as O_PATH descriptors that no rename can move from under it.
#include "core/safe_open.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace goma::core {

namespace {

constexpr int max_links = 40;       // as the kernel has it
constexpr size_t small_file = 1 << 20;
constexpr int always = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;

bool privileged() { return ::geteuid() == 0; }

// Whether only root (and we) can have put something into this directory.
bool is_guarded(const struct stat& directory) {
  if (directory.st_uid != 0 && directory.st_uid != ::geteuid()) return false;
  if ((directory.st_mode & S_IWOTH) != 0) return false;
  return (directory.st_mode & S_IWGRP) == 0 || directory.st_gid == 0;
}

std::string writers_of(const struct stat& directory) {
  if ((directory.st_mode & S_IWOTH) != 0) return "everybody";
  if (directory.st_uid != 0) return fmt::format("user {}", directory.st_uid);
  return fmt::format("group {}", directory.st_gid);
}

const char* kind_of(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return "a file";
    case S_IFDIR:
      return "a directory";
    case S_IFLNK:
      return "a symbolic link";
    case S_IFIFO:
      return "a FIFO";
    case S_IFSOCK:
      return "a socket";
    case S_IFBLK:
      return "a block device";
    default:
      return "a device";
  }
}

Error failed(const std::string& path, int number) {
  return Error::from_errno(number == ENOENT ? Code::not_found : Code::refused, path, number);
}

// Takes the first component off a path; "" at its end.
std::string next_component(std::string& rest) {
  const size_t begin = rest.find_first_not_of('/');
  if (begin == std::string::npos) return rest.clear(), std::string();
  const size_t end = std::min(rest.find('/', begin), rest.size());
  std::string component = rest.substr(begin, end - begin);
  rest.erase(0, end);
  return component;
}

bool is_last(const std::string& rest) { return rest.find_first_not_of('/') == std::string::npos; }

// A walk under way.
struct Walk {
  std::string path;  // the whole, for messages
  std::string rest;
  Descriptor at;
  std::string shown;  // where `at` is
  int links = 0;

  Result<void> begin(const std::string& from) {
    shown = from;
    at.reset(::open(from.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    return at ? Result<void>() : failed(path, errno);
  }
  // Lets the path go on where this link leads, if it may be believed.
  Result<void> follow(const std::string& name, int link) {
    struct stat here {};
    if (++links > max_links) return failed(path, ELOOP);
    if (::fstat(at.get(), &here) != 0) return failed(path, errno);
    if (privileged() && !is_guarded(here)) {
      return Error{Code::refused,
                   fmt::format("{}: {}/{} is a symbolic link in a directory where {} may write, and root follows none there; write the "
                               "path that it leads to, or take the directory away from others",
                               path, shown == "/" ? "" : shown, name, writers_of(here)), ELOOP};
    }
    char target[4096];
    const ssize_t n = ::readlinkat(link, "", target, sizeof target);
    if (n <= 0 || static_cast<size_t>(n) == sizeof target) return failed(path, n < 0 ? errno : ENAMETOOLONG);
    rest = std::string(target, static_cast<size_t>(n)) + rest;
    return target[0] == '/' ? begin("/") : Result<void>();
  }
  Result<void> enter(const std::string& name) {
    Descriptor next(::openat(at.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    struct stat about {};
    if (!next || ::fstat(next.get(), &about) != 0) return failed(path, errno);
    if (S_ISLNK(about.st_mode)) return follow(name, next.get());
    if (!S_ISDIR(about.st_mode)) return failed(path, ENOTDIR);
    at = std::move(next);
    shown += (shown.ends_with('/') ? "" : "/") + name;
    return {};
  }
  bool is_link(const std::string& name) const {
    struct stat about {};
    return ::fstatat(at.get(), name.c_str(), &about, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(about.st_mode);
  }
};

}  // namespace

Result<Spot> Spot::find(const std::string& path, uid_t owner, Last last) {
  Walk walk{path, path, {}, {}, 0};
  if (Result<void> begun = walk.begin(path.starts_with('/') ? "/" : "."); !begun) return begun.error();
  for (;;) {
    const std::string name = next_component(walk.rest);
    if (name.empty()) return failed(path, path.empty() ? ENOENT : EISDIR);
    const bool dots = name == "." || name == "..";
    if (is_last(walk.rest) && !dots && (last == Last::stays || !walk.is_link(name))) {
      Spot spot;
      spot.directory_ = std::move(walk.at);
      spot.name_ = name;
      spot.path_ = path;
      spot.owner_ = owner;
      return spot;
    }
    if (Result<void> entered = walk.enter(name); !entered) return entered.error();
  }
}

std::optional<struct stat> Spot::look() const {
  struct stat about {};
  if (::fstatat(directory_.get(), name_.c_str(), &about, AT_SYMLINK_NOFOLLOW) != 0) return std::nullopt;
  return about;
}

Result<void> Spot::judge(const struct stat& about, Kind kind) const {
  const bool stream = S_ISFIFO(about.st_mode) || S_ISCHR(about.st_mode);
  if (!S_ISREG(about.st_mode) && !(stream && kind == Kind::file_or_stream)) {
    return Error{Code::refused, fmt::format("{} is {}; it must be a file{}", path_, kind_of(about.st_mode), kind == Kind::file ? "" : ", a FIFO or a terminal"),
                 S_ISDIR(about.st_mode) ? EISDIR : EINVAL};
  }
  if (!privileged() || S_ISCHR(about.st_mode)) return {};
  if (about.st_nlink != 1) {
    return Error{Code::refused, fmt::format("{} is a file with {} names (hard links), and root changes none of those; move it away, and a new one is made", path_, about.st_nlink), EMLINK};
  }
  if (about.st_uid != 0 && about.st_uid != owner_) {
    return Error{Code::refused, fmt::format("{} is {} of user {}, who is neither root nor the user of the workers; chown it, or move it away", path_, kind_of(about.st_mode), about.st_uid), EPERM};
  }
  return {};
}

Result<void> Spot::may_open(Kind kind) const {
  const std::optional<struct stat> about = look();
  if (!about) return failed(path_, errno);
  return judge(*about, kind);
}

Result<void> Spot::may_replace() const {
  return ::faccessat(directory_.get(), ".", W_OK | X_OK, AT_EACCESS) == 0 ? Result<void>() : failed(path_, errno);
}

Result<void> Spot::may_write(Kind kind) const {
  if (!look()) return errno == ENOENT ? may_replace() : failed(path_, errno);
  if (Result<void> allowed = may_open(kind); !allowed) return allowed;
  return ::faccessat(directory_.get(), name_.c_str(), W_OK, AT_EACCESS) == 0 ? Result<void>() : failed(path_, errno);
}

Result<Descriptor> Spot::open_once(int flags, Kind kind) const {
  Descriptor fd(::openat(directory_.get(), name_.c_str(), flags | always));
  const int number = errno;
  if (!fd && number != ENOENT) {
    if (Result<void> allowed = may_open(kind); !allowed) return allowed.error();
  }
  if (!fd) return failed(path_, number);
  struct stat opened {};
  if (::fstat(fd.get(), &opened) != 0) return failed(path_, errno);
  if (Result<void> allowed = judge(opened, kind); !allowed) return allowed.error();
  if (!privileged()) return fd;
  // One look at both says that its only name is here: a name elsewhere that was taken away meanwhile would be missing.
  const std::optional<struct stat> named = look();
  const bool same = named && named->st_ino == opened.st_ino && named->st_dev == opened.st_dev && named->st_nlink == opened.st_nlink;
  return same ? Result<Descriptor>(std::move(fd)) : failed(path_, EAGAIN);
}

Result<Descriptor> Spot::open(int flags, Kind kind, mode_t make) const {
  for (int tries = 0; tries < 8; ++tries) {
    Result<Descriptor> opened = open_once(flags, kind);
    if (opened.ok()) return opened;
    const int why = opened.error().system;
    if (why != EAGAIN && (why != ENOENT || make == 0)) return opened;
    if (why == EAGAIN) continue;
    Descriptor made(::openat(directory_.get(), name_.c_str(), flags | always | O_CREAT | O_EXCL, make));
    if (made) return made;
    if (errno != EEXIST) return failed(path_, errno);
  }
  return failed(path_, EAGAIN);
}

Result<void> Spot::give(uid_t user, gid_t group) const {
  const Result<Descriptor> there = open_once(O_PATH, Kind::file_or_stream);
  if (!there.ok()) return there.error();
  struct stat about {};
  if (::fstat(there.value().get(), &about) != 0) return failed(path_, errno);
  if (S_ISCHR(about.st_mode) || (about.st_uid == user && about.st_gid == group)) return {};
  if (::fchownat(there.value().get(), "", user, group, AT_EMPTY_PATH) == 0) return {};
  return failed(path_, errno);
}

Spot Spot::beside(const std::string& name) const {
  Spot other;
  other.directory_.reset(::fcntl(directory_.get(), F_DUPFD_CLOEXEC, 3));
  other.name_ = name;
  other.path_ = path_.substr(0, path_.size() - name_.size()) + name;
  other.owner_ = owner_;
  return other;
}

Result<void> Spot::write(std::string_view content, mode_t mode) const {
  const Spot fresh = beside(name_ + ".new");
  if (!fresh.remove()) return failed(fresh.path_, errno);
  const Descriptor fd(::openat(fresh.directory(), fresh.name_.c_str(), O_WRONLY | O_CREAT | O_EXCL | always, mode));
  if (!fd) return failed(path_, errno);
  const ssize_t n = ::write(fd.get(), content.data(), content.size());
  int number = n == static_cast<ssize_t>(content.size()) ? 0 : n < 0 ? errno : ENOSPC;
  if (number == 0 && !fresh.rename(name_)) number = errno;
  if (number == 0) return {};
  fresh.remove();
  return failed(path_, number);
}

bool Spot::rename(const std::string& name) const {
  return ::renameat(directory_.get(), name_.c_str(), directory_.get(), name.c_str()) == 0;
}

bool Spot::remove() const { return ::unlinkat(directory_.get(), name_.c_str(), 0) == 0 || errno == ENOENT; }

bool Spot::give_socket(gid_t group) const {
  const Descriptor socket(::openat(directory_.get(), name_.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat about {};
  if (!socket || ::fstat(socket.get(), &about) != 0) return false;
  if (!S_ISSOCK(about.st_mode) || about.st_nlink != 1 || about.st_uid != ::geteuid()) return false;
  return ::fchownat(socket.get(), "", static_cast<uid_t>(-1), group, AT_EMPTY_PATH) == 0;
}

Result<void> write_safely(const std::string& path, std::string_view content, mode_t mode) {
  const Result<Spot> spot = Spot::find(path);
  Result<void> written = spot.ok() ? spot.value().write(content, mode) : spot.error();
  if (written) return {};
  return Error{Code::refused, fmt::format("cannot write {}", written.error().text), written.error().system};
}

void remove_safely(const std::string& path) {
  if (const Result<Spot> spot = Spot::find(path)) spot.value().remove();
}

std::string read_own_file(const std::string& path) {
  const Result<Spot> spot = Spot::find(path);
  if (!spot.ok()) return {};
  const Result<Descriptor> file = spot.value().open(O_RDONLY, Spot::Kind::file);
  if (!file.ok()) return {};
  std::string text(small_file, '\0');
  const ssize_t n = ::pread(file.value().get(), text.data(), text.size(), 0);
  text.resize(n > 0 ? static_cast<size_t>(n) : 0);
  return text;
}

}  // namespace goma::core
