// SPDX-License-Identifier: Apache-2.0
//
// Adapters to the kernel's idea of a process. The title lives where argv and environ lay at the start, which is why
// environ moves to the heap first.
#include "core/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <memory>

extern char** environ;

namespace goma::core::process {

namespace {

char* title_begin = nullptr;
size_t title_size = 0;

// Where the run of adjacent strings that starts at `end` stops.
char* end_of_run(char** strings, char* end) {
  for (char** s = strings; *s != nullptr; ++s) {
    if (*s == end) end = *s + std::strlen(*s) + 1;
  }
  return end;
}

}  // namespace

void remember_arguments(int argc, char** argv) {
  if (argc < 1 || argv[0] == nullptr) return;
  char* end = end_of_run(environ, end_of_run(argv, argv[0]));
  title_begin = argv[0];
  title_size = static_cast<size_t>(end - argv[0]);
  static std::vector<std::string> texts;
  static std::vector<char*> pointers;
  for (char** s = environ; *s != nullptr; ++s) texts.emplace_back(*s);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  environ = pointers.data();
}

void set_title(const std::string& title) {
  ::prctl(PR_SET_NAME, title.substr(0, 15).c_str());
  if (title_size < 2) return;
  const size_t n = std::min(title.size(), title_size - 1);
  std::memcpy(title_begin, title.data(), n);
  std::memset(title_begin + n, 0, title_size - n);
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

Result<Identity> find_identity(const std::string& user, const std::string& group) {
  const passwd* found = ::getpwnam(user.empty() ? "goma" : user.c_str());
  if (found == nullptr && user.empty()) found = ::getpwnam("nobody");
  if (found == nullptr) return Error{Code::not_found, fmt::format("there is no user \"{}\"", user.empty() ? "goma" : user), 0};
  Identity identity{found->pw_name, "", found->pw_uid, found->pw_gid};
  if (!group.empty()) {
    const ::group* named = ::getgrnam(group.c_str());
    if (named == nullptr) return Error{Code::not_found, fmt::format("there is no group \"{}\"", group), 0};
    identity.group = named->gr_name;
    identity.gid = named->gr_gid;
  }
  return identity;
}

Result<void> become(const Identity& identity) {
  if (::geteuid() != 0 || identity.user.empty() || identity.uid == 0) return {};
  if (::initgroups(identity.user.c_str(), identity.gid) != 0 || ::setgid(identity.gid) != 0 || ::setuid(identity.uid) != 0) {
    return Error::from_errno(Code::refused, fmt::format("cannot become user \"{}\"", identity.user), errno);
  }
  return {};
}

uint64_t start_time(pid_t pid) {
  const std::string stat = read_small_file(fmt::format("/proc/{}/stat", pid));
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos || name_end + 2 >= stat.size()) return 0;
  const char* next = stat.c_str() + name_end + 2;
  if (*next == 'Z' || *next == 'X') return 0;
  for (int field = 3; field < 22; ++field) {
    next = std::strchr(next, ' ');
    if (next == nullptr) return 0;
    ++next;
  }
  return std::strtoull(next, nullptr, 10);
}

std::string name_of(pid_t pid) {
  std::string name = read_small_file(fmt::format("/proc/{}/comm", pid));
  while (!name.empty() && name.back() == '\n') name.pop_back();
  return name;
}

void step_back() { ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), 10); }

void close_all_but(std::vector<int> keep) {
  std::sort(keep.begin(), keep.end());
  unsigned first = STDERR_FILENO + 1;
  for (const int fd : keep) {
    if (fd < static_cast<int>(first)) continue;
    const auto kept = static_cast<unsigned>(fd);
    if (kept > first) ::syscall(SYS_close_range, first, kept - 1, 0);
    first = kept + 1;
  }
  ::syscall(SYS_close_range, first, ~0U, 0);
}

void reset_signals() {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) ::sigaction(number, &action, nullptr);
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &action, nullptr);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

void block_signals() {
  sigset_t all;
  sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
}

SignalsBlocked::SignalsBlocked() {
  static_assert(sizeof saved_ >= sizeof(sigset_t));
  ::sigprocmask(SIG_SETMASK, nullptr, reinterpret_cast<sigset_t*>(saved_));
  block_signals();
}

SignalsBlocked::~SignalsBlocked() { ::sigprocmask(SIG_SETMASK, reinterpret_cast<sigset_t*>(saved_), nullptr); }

PidFile::~PidFile() {
  if (fd_ >= 0) ::close(fd_);
}

pid_t holder_of(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return 0;
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  const bool held = ::fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
  ::close(fd);
  return held ? lock.l_pid : 0;
}

Result<void> PidFile::lock_and_write(int fd) {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  if (::fcntl(fd, F_SETLK, &lock) != 0) return Error::from_errno(Code::refused, "cannot lock the pid file", errno);
  const std::string text = fmt::format("{}\n", ::getpid());
  if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    return Error::from_errno(Code::internal, "cannot write the pid file", errno);
  }
  return {};
}

Result<void> PidFile::take(const std::string& path) {
  if (const pid_t holder = holder_of(path); holder != 0) {
    return Error{Code::refused, fmt::format("already running (pid {})", holder), 0};
  }
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return Error::from_errno(Code::refused, fmt::format("cannot write {}", path), errno);
  if (Result<void> written = lock_and_write(fd); !written) {
    ::close(fd);
    return written;
  }
  fd_ = fd;
  path_ = path;
  return {};
}

Result<void> PidFile::replace(const std::string& path) {
  const std::string fresh = path + ".new";
  ::unlink(fresh.c_str());
  if (Result<void> taken = take(fresh); !taken) return taken;
  if (::rename(fresh.c_str(), path.c_str()) != 0) return Error::from_errno(Code::refused, fmt::format("cannot write {}", path), errno);
  path_ = path;
  return {};
}

void PidFile::remove() {
  if (fd_ < 0) return;
  ::unlink(path_.c_str());
  abandon();
}

void PidFile::abandon() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Result<void> write_file(const std::string& path, std::string_view content, mode_t mode) {
  const std::string fresh = path + ".new";
  const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  if (fd < 0) return Error::from_errno(Code::refused, fmt::format("cannot write {}", path), errno);
  const bool written = ::write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size());
  const int number = errno;
  ::close(fd);
  if (written && ::rename(fresh.c_str(), path.c_str()) == 0) return {};
  ::unlink(fresh.c_str());
  return Error::from_errno(Code::refused, fmt::format("cannot write {}", path), written ? errno : number);
}

std::string read_small_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  std::string text;
  char block[4096];
  for (ssize_t n = 0; (n = ::read(fd, block, sizeof block)) > 0;) text.append(block, static_cast<size_t>(n));
  ::close(fd);
  return text;
}

}  // namespace goma::core::process
