// SPDX-License-Identifier: Apache-2.0
//
// Equal pieces, never less than asked for; freed ones form a list.
#include "core/loop_memory.h"

#include <event2/event.h>
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

#include "core/sanitizer.h"

namespace goma::core {

namespace {

constexpr size_t piece_bytes = 32;
constexpr size_t range_bytes = piece_bytes << 20;  // as many descriptors as a process may have, most often

struct Free {
  Free* next;
};

char* begin = nullptr;
char* fresh = nullptr;
Free* freed = nullptr;

char* map_range() {
  void* range = ::mmap(nullptr, range_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return range == MAP_FAILED ? nullptr : static_cast<char*>(range);
}

}  // namespace

namespace loop_memory {

bool reserve() {
  if (begin == nullptr) begin = fresh = map_range();
  return begin != nullptr;
}

bool is_small(const void* piece) { return begin != nullptr && piece >= begin && piece < begin + range_bytes; }

void* allocate(size_t n) {
  if (n > piece_bytes || begin == nullptr) return std::malloc(n);
  if (freed != nullptr) {
    Free* piece = freed;
    freed = piece->next;
    return piece;
  }
  if (fresh == begin + range_bytes) return std::malloc(n);
  char* piece = fresh;
  fresh += piece_bytes;
  return piece;
}

void* reallocate(void* piece, size_t n) {
  if (!is_small(piece)) return piece == nullptr ? allocate(n) : std::realloc(piece, n);
  if (n <= piece_bytes) return piece;
  void* larger = std::malloc(n);
  if (larger == nullptr) return nullptr;
  std::memcpy(larger, piece, piece_bytes);
  release(piece);
  return larger;
}

void release(void* piece) {
  if (!is_small(piece)) return std::free(piece);
  auto* one = static_cast<Free*>(piece);
  one->next = freed;
  freed = one;
}

}  // namespace loop_memory

void give_libevent_its_memory() {
  if (sanitized || begin != nullptr) return;
  if (loop_memory::reserve()) event_set_mem_functions(loop_memory::allocate, loop_memory::reallocate, loop_memory::release);
}

}  // namespace goma::core
