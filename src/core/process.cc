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
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "core/safe_open.h"

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
  Identity identity;
  if (const ::group* operators = ::getgrnam("goma"); operators != nullptr) identity.operators = operators->gr_gid;
  const passwd* found = ::getpwnam(user.empty() ? "goma" : user.c_str());
  if (found == nullptr && user.empty()) {
    found = ::getpwnam("nobody");
    identity.warning =
        "there is no user \"goma\": workers run as \"nobody\", which other services may be too; make one with "
        "useradd --system --no-create-home --shell /usr/sbin/nologin goma, or name one with -g \"user NAME\"";
  }
  if (found == nullptr) return Error{Code::not_found, fmt::format("there is no user \"{}\"", user.empty() ? "goma" : user), 0};
  identity.user = found->pw_name;
  identity.uid = found->pw_uid;
  identity.gid = found->pw_gid;
  if (!group.empty()) {
    const ::group* named = ::getgrnam(group.c_str());
    if (named == nullptr) return Error{Code::not_found, fmt::format("there is no group \"{}\"", group), 0};
    identity.group = named->gr_name;
    identity.gid = named->gr_gid;
  }
  int count = 64;
  identity.groups.resize(static_cast<size_t>(count));
  if (::getgrouplist(identity.user.c_str(), identity.gid, identity.groups.data(), &count) < 0) {
    identity.groups.resize(static_cast<size_t>(count));
    ::getgrouplist(identity.user.c_str(), identity.gid, identity.groups.data(), &count);
  }
  identity.groups.resize(static_cast<size_t>(count));
  return identity;
}

Result<void> become(const Identity& identity) {
  if (::geteuid() != 0 || identity.user.empty() || identity.uid == 0) return {};
  if (::setgroups(identity.groups.size(), identity.groups.data()) != 0 || ::setgid(identity.gid) != 0 || ::setuid(identity.uid) != 0) {
    return Error::from_errno(Code::refused, fmt::format("cannot become user \"{}\"", identity.user), errno);
  }
  return {};
}

namespace {

// A field of /proc/PID/stat as proc(5) counts them, from 3 on; "" when there is none.
std::string stat_field(pid_t pid, int wanted) {
  const std::string stat = read_small_file(fmt::format("/proc/{}/stat", pid));
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos || name_end + 2 >= stat.size()) return {};
  size_t at = name_end + 2;
  for (int field = 3; field < wanted; ++field) {
    at = stat.find(' ', at);
    if (at == std::string::npos) return {};
    ++at;
  }
  return stat.substr(at, stat.find(' ', at) - at);
}

}  // namespace

char state_of(pid_t pid) {
  const std::string state = stat_field(pid, 3);
  return state.empty() ? '\0' : state.front();
}

pid_t parent_of(pid_t pid) { return static_cast<pid_t>(std::strtol(stat_field(pid, 4).c_str(), nullptr, 10)); }

uint64_t start_time(pid_t pid) {
  const char state = state_of(pid);
  return state == '\0' || state == 'Z' || state == 'X' ? 0 : std::strtoull(stat_field(pid, 22).c_str(), nullptr, 10);
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

void die_with(pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
}

// The handler, not the loop, sets the alarm: the loop may be what hangs.
void last_alarm_after(pid_t parent, unsigned seconds) {
  static unsigned after;
  after = seconds;
  struct sigaction action {};
  action.sa_handler = [](int) { ::alarm(after); };
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGRTMIN, &action, nullptr);
  ::prctl(PR_SET_PDEATHSIG, SIGRTMIN);
  if (::getppid() != parent) ::alarm(after);
}

void wait_for_death_of(pid_t parent) {
  sigset_t death;
  sigemptyset(&death);
  sigaddset(&death, SIGRTMIN);
  ::sigprocmask(SIG_BLOCK, &death, nullptr);
  ::prctl(PR_SET_PDEATHSIG, SIGRTMIN);
  while (::getppid() == parent) ::sigwaitinfo(&death, nullptr);
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

// Asked as a reader, because then only writers are in the way: everybody may lock for reading what everybody may read.
// The process is none when it cannot be named (another pid namespace, a lock of an open file): a signal to "-1" would
// reach everybody.
pid_t holder_of(const std::string& path) {
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW));
  struct flock lock {};
  lock.l_type = F_RDLCK;
  lock.l_whence = SEEK_SET;
  const bool held = fd && ::fcntl(fd.get(), F_GETLK, &lock) == 0 && lock.l_type == F_WRLCK;
  return held && lock.l_pid > 0 ? lock.l_pid : 0;
}

Result<void> PidFile::lock_and_write(int fd) {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  if (::fcntl(fd, F_SETLK, &lock) != 0) {
    const int number = errno;
    const bool known = ::fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && lock.l_pid > 0;
    return Error::from_errno(Code::refused, known ? fmt::format("cannot lock the pid file: process {} ({}) has locked it", lock.l_pid, name_of(lock.l_pid)) : "cannot lock the pid file", number);
  }
  const std::string text = fmt::format("{}\n", ::getpid());
  // In this order nobody ever reads an empty file: the first line is always a master's.
  const auto size = static_cast<ssize_t>(text.size());
  if (::pwrite(fd, text.data(), text.size(), 0) != size || ::ftruncate(fd, size) != 0) {
    return Error::from_errno(Code::internal, "cannot write the pid file", errno);
  }
  return {};
}

Result<void> PidFile::take(const std::string& path) {
  if (const pid_t holder = holder_of(path); holder != 0) {
    return Error{Code::refused, fmt::format("already running (pid {})", holder), 0};
  }
  const Result<Spot> spot = Spot::find(path);
  Result<Descriptor> file = spot.ok() ? spot.value().open(O_RDWR, Spot::Kind::file, 0644) : spot.error();
  if (!file) return Error{Code::refused, fmt::format("cannot write {}", file.error().text), file.error().system};
  if (Result<void> written = lock_and_write(file->get()); !written) return written;
  abandon();
  fd_ = file->release();
  path_ = path;
  return {};
}

Result<void> PidFile::replace(const std::string& path) {
  const std::string fresh = path + ".new";
  remove_safely(fresh);
  if (Result<void> taken = take(fresh); !taken) return taken;
  const Result<Spot> spot = Spot::find(path);
  if (!spot.ok()) return spot.error();
  if (!spot.value().beside(spot.value().name() + ".new").rename(spot.value().name())) return Error::from_errno(Code::refused, fmt::format("cannot write {}", path), errno);
  path_ = path;
  return {};
}

bool PidFile::is_ours() const {
  struct stat mine {};
  struct stat there {};
  return fd_ >= 0 && ::fstat(fd_, &mine) == 0 && ::lstat(path_.c_str(), &there) == 0 && mine.st_dev == there.st_dev && mine.st_ino == there.st_ino;
}

// Looking at a file of ours would cost its lock: a lock goes with any descriptor of the file that is closed.
pid_t PidFile::successor() const { return fd_ < 0 || is_ours() ? 0 : holder_of(path_); }

void PidFile::remove() {
  if (is_ours()) remove_safely(path_);
  abandon();
}

void PidFile::abandon() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
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
