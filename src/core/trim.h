// SPDX-License-Identifier: Apache-2.0
//
// Memory that was freed goes back to the system. The C library keeps it where something that lives lies above it, so
// after a peak a process would stay as large as it was then. Now and then, when the process is larger than it was at
// rest, the library is asked to give back what is free (malloc_trim(3)), on the helper thread: that costs about 0.2 ms for
// each MiB that goes back, less than a millisecond when there is nothing, and who allocates meanwhile may wait for it.
//
// The one idea: asking is the only cheap way to learn how much is free. An answer of little makes the next question
// come later, at most six seconds; so a peak is forgotten within ten also on a machine that has no time for it, and a
// process that is large because it is busy is asked every sixth second.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/helper.h"

namespace goma::core {

// When to ask. Sizes are bytes of the process's own memory.
class TrimPace {
 public:
  // begun: the size before there was anything to do. It is the only one that is known not to be a peak.
  explicit TrimPace(size_t begun) : rest_(begun) {}
  bool due(size_t resident, int64_t now_ms) const;
  // The library was asked: what there was before and after.
  void asked(size_t before, size_t after, int64_t now_ms);
  // Something will be free soon: it is asked then, however long ago that was useful.
  void expect(int64_t now_ms, int64_t delay_ms);

 private:
  size_t rest_;             // the least that there was
  int64_t next_ms_ = 0;
  int64_t interval_ms_ = 0;
};

// Anonymous memory of this process that is in use, in bytes; 0 when the kernel does not tell.
size_t own_memory();

class Trim {
 public:
  Trim(Loop& loop, Helper& helper) : loop_(loop), helper_(helper) {}
  // To be called about once a second.
  void look();
  // A configuration was taken over; the one before is freed soon.
  void configuration_changed();

 private:
  Loop& loop_;
  Helper& helper_;
  TrimPace pace_{own_memory()};
  bool asking_ = false;
};

}  // namespace goma::core
