// SPDX-License-Identifier: Apache-2.0
//
// Where libevent keeps its small things. It makes a few bytes for every descriptor number it sees and never gives them
// back; between what connections hold, each of them would pin a page of the heap after the connection is gone: 4 MiB
// for a thousand connections. So small pieces come from a range of addresses of their own, in which only touched pages
// cost anything; everything else is malloc's. The address sanitizer gets all of libevent's memory: it looks for pointers
// only where malloc put them, and a piece that is used after its release is seen only there.
#pragma once

#include <cstddef>

namespace goma::core {

// Before libevent is used for the first time. Without the range (no address space, sanitizer) the C library serves.
void give_libevent_its_memory();

namespace loop_memory {

// Has the range from now on; false when there is no address space for it.
bool reserve();
// As malloc(3), realloc(3) and free(3). One thread.
void* allocate(size_t n);
void* reallocate(void* piece, size_t n);
void release(void* piece);
// Whether this lies in the range.
bool is_small(const void* piece);

}  // namespace loop_memory

}  // namespace goma::core
