// SPDX-License-Identifier: Apache-2.0
//
// The end of a process that found itself in a state it cannot be in. Writes with write(2) only: the heap and the
// log may be what is broken.
#include "core/check.h"

#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace goma::core {

void invariant_broken(const char* expression, const char* file, int line) {
  char text[512];
  const int n = std::snprintf(text, sizeof text, "goma: invariant broken: %s at %s:%d\n", expression, file, line);
  pollfd room{2, POLLOUT, 0};  // nobody who does not read keeps a broken process alive
  if (n > 0 && ::poll(&room, 1, 0) == 1) {
    const ssize_t ignored = ::write(2, text, static_cast<size_t>(n) < sizeof text ? static_cast<size_t>(n) : sizeof text - 1);
    static_cast<void>(ignored);
  }
  std::abort();
}

}  // namespace goma::core
