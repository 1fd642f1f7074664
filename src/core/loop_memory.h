// SPDX-License-Identifier: Apache-2.0
//
// Where libevent keeps its small things. It makes a few bytes for every descriptor number it sees and never gives them
// back; between what connections hold, each of them would pin a page of the heap after the connection is gone: 4 MiB
// for a thousand connections. So small pieces come from a range of addresses of their own, in which only touched pages
// cost anything; everything else is malloc's.
#pragma once

#include <cstddef>

namespace goma::core {

// Before libevent is used for the first time. Without the range (no address space) the C library serves.
void give_libevent_its_memory();

namespace loop_memory {

// As malloc(3), realloc(3) and free(3). One thread.
void* allocate(size_t n);
void* reallocate(void* piece, size_t n);
void release(void* piece);
// Whether this lies in the range.
bool is_small(const void* piece);

}  // namespace loop_memory

}  // namespace goma::core
