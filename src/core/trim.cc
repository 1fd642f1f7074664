// SPDX-License-Identifier: Apache-2.0
//
// The pace, and the question.
#include "core/trim.h"

#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "core/log.h"

namespace goma::core {

namespace {

constexpr size_t little = size_t{1} << 20;
constexpr int64_t shortest_ms = 2'000;
constexpr int64_t longest_ms = 6'000;
constexpr int64_t freed_after_ms = 2'000;  // the old site, most often

}  // namespace

bool TrimPace::due(size_t resident, int64_t now_ms) const {
  return now_ms >= next_ms_ && resident > rest_ + std::max(little, rest_ / 32);
}

void TrimPace::asked(size_t before, size_t after, int64_t now_ms) {
  const bool useful = before > after + little;
  interval_ms_ = useful ? shortest_ms : std::clamp(2 * interval_ms_, shortest_ms, longest_ms);
  next_ms_ = now_ms + interval_ms_;
  rest_ = std::min(rest_, after);
}

void TrimPace::expect(int64_t now_ms, int64_t delay_ms) {
  interval_ms_ = 0;
  next_ms_ = now_ms + delay_ms;
}

void Trim::configuration_changed() { pace_.expect(loop_.now_ms(), freed_after_ms); }

void Trim::look() {
  const size_t before = own_memory();
  if (asking_ || !pace_.due(before, loop_.now_ms())) return;
  asking_ = true;
  helper_.run([] { ::malloc_trim(0); },
              [this, before] {
                asking_ = false;
                const size_t after = own_memory();
                pace_.asked(before, after, loop_.now_ms());
                log::debug("memory was given back", {{"before_kib", before >> 10}, {"after_kib", after >> 10}});
              });
}

// statm: size resident shared ..., in pages; shared are pages of files and of the slab.
size_t own_memory() {
  char text[128];
  const int fd = ::open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  const ssize_t n = ::read(fd, text, sizeof text - 1);
  ::close(fd);
  if (n <= 0) return 0;
  text[n] = '\0';
  unsigned long resident = 0;
  unsigned long shared = 0;
  if (std::sscanf(text, "%*u %lu %lu", &resident, &shared) != 2 || shared > resident) return 0;
  return (resident - shared) * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace goma::core
