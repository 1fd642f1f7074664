// SPDX-License-Identifier: Apache-2.0
//
// In a child that entered the sandbox: what is refused answers EPERM and ends nothing; what serving needs works.
#include "core/sandbox.h"

#include <netdb.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <thread>

#include "check.h"
#include "core/sanitizer.h"

namespace sandbox = goma::core::sandbox;

namespace {

// The exit code of a child that gave up its rights first; 100: it could not.
int inside(const std::function<int()>& body) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (!sandbox::give_up_rights({}).ok() || (sandbox::filter_calls().ok() == false && sandbox::version().starts_with("system"))) ::_exit(100);
    ::_exit(body());
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

bool has_filter() { return sandbox::version().starts_with("system"); }
bool refused(long result) { return result < 0 && errno == EPERM; }

void what_breaks_in_is_refused() {
  if (!has_filter()) return;
  CHECK_EQ(inside([] {
    if (!goma::core::sanitized && !refused(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr))) return 1;
    if (!goma::core::sanitized && !refused(::execl("/bin/true", "true", nullptr))) return 2;
    if (!refused(::unshare(CLONE_NEWUSER))) return 3;
    if (!refused(::mount("none", "/mnt", "tmpfs", 0, nullptr))) return 4;
    if (!refused(::syscall(SYS_bpf, 0, nullptr, 0))) return 5;
    if (!refused(::syscall(SYS_userfaultfd, 0))) return 6;
    if (!refused(::syscall(SYS_io_uring_setup, 1, nullptr))) return 7;
    if (!refused(::syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, nullptr, nullptr, nullptr, 0))) return 8;
    if (!refused(::setns(0, 0))) return 9;
    if (!refused(::socket(AF_ALG, SOCK_SEQPACKET, 0))) return 10;
    char key = 'x';
    if (!refused(::ioctl(0, TIOCSTI, &key))) return 11;
    return 0;
  }), 0);
}

void what_serving_needs_works() {
  CHECK_EQ(inside([] {
    int ran = 0;
    std::thread([&ran] { ran = 1; }).join();
    if (ran != 1) return 1;
    addrinfo* list = nullptr;
    if (::getaddrinfo("localhost", "80", nullptr, &list) != 0) return 2;
    ::freeaddrinfo(list);
    if (::memfd_create("x", MFD_CLOEXEC) < 0 || ::socket(AF_INET6, SOCK_STREAM, 0) < 0 || ::socket(AF_UNIX, SOCK_STREAM, 0) < 0) return 3;
    void* code = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return code == MAP_FAILED ? 4 : 0;  // regular expressions are compiled to machine code
  }), 0);
}

void what_holds_is_seen() {
  CHECK_EQ(inside([] {
    const sandbox::State state = sandbox::state_of(::getpid());
    return state.known && state.no_new_privileges && state.filter == has_filter() ? 0 : 1;
  }), 0);
  CHECK_EQ(sandbox::describe({true, true, false, true}), "no new privileges, no capabilities, system call filter");
  CHECK_EQ(sandbox::describe(sandbox::state_of(-1)), "unknown");
}

}  // namespace

GOMA_TESTS(what_breaks_in_is_refused, what_serving_needs_works, what_holds_is_seen)
