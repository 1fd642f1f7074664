// SPDX-License-Identifier: Apache-2.0
//
// Small pieces lie in the range, are used again, and grow out of it with what they hold.
#include "core/loop_memory.h"

#include <cstring>

#include "check.h"

namespace memory = goma::core::loop_memory;

namespace {

void small_pieces_lie_in_the_range() {
  CHECK(memory::reserve());
  void* one = memory::allocate(16);
  CHECK(memory::is_small(one));
  memory::release(one);
  CHECK(memory::allocate(32) == one);
  memory::release(one);
}

void large_ones_do_not() {
  void* one = memory::allocate(33);
  CHECK(!memory::is_small(one));
  one = memory::reallocate(one, 100);
  CHECK(one != nullptr);
  memory::release(one);
  memory::release(nullptr);
}

void they_grow() {
  auto* one = static_cast<char*>(memory::reallocate(nullptr, 8));
  CHECK(memory::is_small(one));
  std::memcpy(one, "abcdefg", 8);
  CHECK(memory::reallocate(one, 30) == one);
  auto* larger = static_cast<char*>(memory::reallocate(one, 1000));
  CHECK(!memory::is_small(larger));
  CHECK_EQ(std::strcmp(larger, "abcdefg"), 0);
  memory::release(larger);
}

}  // namespace

GOMA_TESTS(small_pieces_lie_in_the_range, large_ones_do_not, they_grow)
