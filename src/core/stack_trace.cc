// SPDX-License-Identifier: Apache-2.0
//
// The handler unwinds and stores, no more; afterwards the signal does what it always does, a core dump included.
#include "core/stack_trace.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

namespace goma::core::stack_trace {

namespace {

constexpr int own_frames = 2;  // the handler and the trampoline of the kernel

ProcessTable* table = nullptr;

void aborted(int number) {
  const int saved = errno;
  void* frames[ProcessTable::max_frames + own_frames];
  const int n = ::backtrace(frames, static_cast<int>(std::size(frames)));
  if (n > own_frames) table->set_frames(frames + own_frames, static_cast<size_t>(n - own_frames));
  errno = saved;
  ::raise(number);  // the default action, once this returns
}

// The program's own path is no longer where the loader found it: the title of the process lies there.
std::string_view module_name(const Dl_info& info) {
  Dl_info own{};
  if (::dladdr(reinterpret_cast<void*>(&module_name), &own) != 0 && own.dli_fbase == info.dli_fbase) return "goma";
  const std::string_view path(info.dli_fname);
  return path.substr(path.rfind('/') + 1);
}

std::string describe_one(uint64_t address) {
  Dl_info info{};
  const uint64_t call = address - 1;  // a return address may be the first of another function
  if (::dladdr(reinterpret_cast<void*>(call), &info) == 0) return fmt::format("{:#x}", address);
  if (info.dli_sname != nullptr) return fmt::format("{}+{:#x}", info.dli_sname, address - reinterpret_cast<uintptr_t>(info.dli_saddr));
  return fmt::format("{}+{:#x}", module_name(info), address - reinterpret_cast<uintptr_t>(info.dli_fbase));
}

}  // namespace

void leave_in(ProcessTable& into) {
  table = &into;
  void* frame = nullptr;
  ::backtrace(&frame, 1);  // loads what it needs now, not in the handler
  struct sigaction action {};
  action.sa_handler = &aborted;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  ::sigaction(SIGABRT, &action, nullptr);
}

std::string describe(const ProcessTable::Entry& entry) {
  const size_t n = std::min<size_t>(__atomic_load_n(&entry.frames, __ATOMIC_ACQUIRE), ProcessTable::max_frames);
  std::string text;
  for (size_t i = 0; i < n; ++i) text += (i == 0 ? "" : " ") + describe_one(entry.frame[i]);
  return text;
}

}  // namespace goma::core::stack_trace
