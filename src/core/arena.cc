// SPDX-License-Identifier: Apache-2.0
//
// The slow paths of the arena: fetching chunks, outsized blocks, and the end.
#include "core/arena.h"

#include <cstdlib>

namespace goma::core {

namespace {

constexpr size_t always_kept = 16;

void* from_system(size_t n) {
  void* memory = std::malloc(n);
  if (memory == nullptr) std::abort();  // out of memory is not survivable (ARCHITECTURE.md, safety)
  return memory;
}

}  // namespace

ChunkPool::~ChunkPool() {
  while (free_ != nullptr) {
    Free* next = free_->next;
    std::free(free_);
    free_ = next;
  }
}

void ChunkPool::shrink() {
  for (size_t spare = least_ > always_kept ? least_ - always_kept : 0; spare != 0; --spare) {
    Free* chunk = free_;
    free_ = chunk->next;
    std::free(chunk);
    --count_;
  }
  least_ = count_;
}

void* ChunkPool::take() {
  if (free_ == nullptr) return from_system(chunk_size);
  Free* chunk = free_;
  free_ = chunk->next;
  if (--count_ < least_) least_ = count_;
  return chunk;
}

void ChunkPool::give(void* chunk) {
  if (count_ >= keep_) {
    std::free(chunk);
    return;
  }
  Free* entry = static_cast<Free*>(chunk);
  entry->next = free_;
  free_ = entry;
  ++count_;
}

void* Arena::allocate_slow(size_t n, size_t align) {
  const size_t need = sizeof(Chunk) + n + align;
  const bool pooled = need <= ChunkPool::chunk_size / 2;  // more would leave the rest of two chunks unused
  const size_t size = pooled ? ChunkPool::chunk_size : need;
  auto* chunk = static_cast<Chunk*>(pooled ? pool_->take() : from_system(size));
  used_ += size;
  chunk->size = size;
  chunk->next = chunks_;
  chunks_ = chunk;
  char* begin = reinterpret_cast<char*>(chunk + 1);
  const size_t padding = (align - (reinterpret_cast<size_t>(begin) & (align - 1))) & (align - 1);
  if (pooled) {  // an outsized block does not replace the chunk that still has room
    next_ = begin + padding + n;
    end_ = reinterpret_cast<char*>(chunk) + size;
  }
  return begin + padding;
}

void Arena::add_destructor(void* object, void (*run)(void*)) {
  auto* entry = static_cast<Destructor*>(allocate(sizeof(Destructor), alignof(Destructor)));
  *entry = Destructor{destructors_, run, object};
  destructors_ = entry;
}

void Arena::reset() {
  while (destructors_ != nullptr) {
    Destructor* entry = destructors_;
    destructors_ = entry->next;  // before the call: a destructor may look at the arena again
    entry->run(entry->object);
  }
  while (chunks_ != nullptr) {
    Chunk* next = chunks_->next;
    if (chunks_->size == ChunkPool::chunk_size) {
      pool_->give(chunks_);
    } else {
      std::free(chunks_);
    }
    chunks_ = next;
  }
  next_ = end_ = nullptr;
  used_ = 0;
}

}  // namespace goma::core
