// SPDX-License-Identifier: Apache-2.0
//
// prctl, capset, libseccomp. The filter costs a few nanoseconds per call: kernels since 5.11 remember which calls always
// pass, older ones walk a tree.
#include "core/sandbox.h"

#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <sstream>

#ifdef GOMA_HAVE_SECCOMP
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#endif

#include "core/sanitizer.h"

namespace goma::core::sandbox {

namespace {

// Only who may change capabilities can, and who may not has none to inherit either once no_new_privs is set.
void empty_bounding_set() {
  for (unsigned long capability = 0; capability < 64; ++capability) {
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) return;
  }
}

void drop_capabilities() {
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
  ::syscall(SYS_capset, &header, none);
}

#ifdef GOMA_HAVE_SECCOMP

// Of no use to a process that serves. Names that this libseccomp or this machine does not know are passed over.
constexpr const char* refused_calls[] = {
    // other processes and their memory
    "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp", "perf_event_open",
    // the kernel itself
    "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "bpf", "reboot", "syslog", "acct", "lookup_dcookie",
    // namespaces and mounts
    "unshare", "setns", "mount", "umount", "umount2", "pivot_root", "chroot", "open_tree", "open_tree_attr", "move_mount", "fsopen", "fsconfig", "fsmount",
    "fspick", "mount_setattr", "swapon", "swapoff", "quotactl", "quotactl_fd",
    // keys, tricks of exploits, ways around this filter
    "add_key", "request_key", "keyctl", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "modify_ldt", "personality",
    "vmsplice", "name_to_handle_at", "open_by_handle_at", "fanotify_init", "mbind", "set_mempolicy", "migrate_pages", "move_pages", "uselib",
    // users, devices, hardware, the clock
    "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "setfsuid", "setfsgid", "capset", "mknod", "mknodat", "chown",
    "fchown", "lchown", "fchownat", "iopl", "ioperm", "sethostname", "setdomainname", "settimeofday", "stime", "adjtimex", "clock_settime", "clock_adjtime",
    "nfsservctl", "vhangup",
};
// The sanitizer looks for leaks with ptrace, and runs a symbolizer.
constexpr const char* refused_unless_sanitized[] = {"execve", "execveat", "ptrace"};
constexpr uint64_t namespaces[] = {CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET};

// What a filter is made of; libseccomp's errors are negative numbers of errno.
class Filter {
 public:
  Filter() : context_(seccomp_init(SCMP_ACT_ALLOW)) {}
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;
  ~Filter() {
    if (context_ != nullptr) seccomp_release(context_);
  }
  void refuse(const char* name) {
    const int number = seccomp_syscall_resolve_name(name);
    if (number != __NR_SCMP_ERROR) keep(seccomp_rule_add_array(context_, SCMP_ACT_ERRNO(EPERM), number, 0, nullptr));
  }
  void refuse(int call, const scmp_arg_cmp& when) { keep(seccomp_rule_add_array(context_, SCMP_ACT_ERRNO(EPERM), call, 1, &when)); }
  void deny_existence(int call) { keep(seccomp_rule_add_array(context_, SCMP_ACT_ERRNO(ENOSYS), call, 0, nullptr)); }
  // Calls of another word size are refused, not deadly; no penalty on speculation; a tree where the kernel has no cache.
  int load() {
    if (context_ == nullptr) return -ENOMEM;
    keep(seccomp_attr_set(context_, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM)));
    static_cast<void>(seccomp_attr_set(context_, SCMP_FLTATR_CTL_SSB, 1));
    static_cast<void>(seccomp_attr_set(context_, SCMP_FLTATR_CTL_OPTIMIZE, 2));
    return failed_ != 0 ? failed_ : seccomp_load(context_);
  }

 private:
  // A call that this machine does not have is no failure.
  void keep(int result) {
    if (result < 0 && result != -EDOM && failed_ == 0) failed_ = result;
  }
  scmp_filter_ctx context_;
  int failed_ = 0;
};

#endif

}  // namespace

Result<void> give_up_rights(const process::Identity& identity) {
  empty_bounding_set();
  if (Result<void> became = process::become(identity); !became) return became;
  drop_capabilities();
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return {};
}

#ifdef GOMA_HAVE_SECCOMP

Result<void> filter_calls() {
  Filter filter;
  for (const char* name : refused_calls) filter.refuse(name);
  for (const char* name : refused_unless_sanitized) {
    if (!sanitized) filter.refuse(name);
  }
  for (const uint64_t flag : namespaces) filter.refuse(SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, flag, flag));
  filter.deny_existence(SCMP_SYS(clone3));  // its flags lie in memory where a filter cannot look; libc then calls clone
  filter.refuse(SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, TIOCSTI));  // keys typed into the operator's terminal
  filter.refuse(SCMP_SYS(socket), SCMP_A0(SCMP_CMP_GT, AF_NETLINK));                // packet, crypto, bluetooth and the like
  const int result = filter.load();
  return result == 0 ? Result<void>() : Error::from_errno(Code::refused, "cannot install the system call filter", -result);
}

std::string version() {
  const scmp_version* built = seccomp_version();
  return fmt::format("system call filter (libseccomp {}.{}.{})", built->major, built->minor, built->micro);
}

#else

Result<void> filter_calls() { return Error{Code::invalid, "built without a system call filter", 0}; }
std::string version() { return "no system call filter (built without libseccomp)"; }

#endif

State state_of(pid_t pid) {
  State state;
  bool bound = false;
  std::istringstream lines(process::read_small_file(fmt::format("/proc/{}/status", pid)));
  for (std::string line; std::getline(lines, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string key = line.substr(0, colon), value = line.substr(colon + 1);
    if (key.starts_with("Cap") && std::strtoull(value.c_str(), nullptr, 16) != 0) (key == "CapBnd" ? bound : state.capabilities) = true;
    if (key == "NoNewPrivs") state.known = true, state.no_new_privileges = std::atoi(value.c_str()) != 0;
    if (key == "Seccomp") state.filter = std::atoi(value.c_str()) == 2;
  }
  state.capabilities = state.capabilities || (bound && !state.no_new_privileges);
  return state;
}

std::string describe(const State& state) {
  if (!state.known) return "unknown";
  return fmt::format("{}, {}, {}", state.no_new_privileges ? "no new privileges" : "may gain privileges",
                     state.capabilities ? "capabilities" : "no capabilities", state.filter ? "system call filter" : "no system call filter");
}

}  // namespace goma::core::sandbox
