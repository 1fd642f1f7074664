// SPDX-License-Identifier: Apache-2.0
//
// Memory with one lifetime: everything an exchange needs is bumped out of chunks and given back at once. Objects
// made here have their destructors run in reverse order when the arena ends, so dropping the arena cancels whatever
// is still pending. Chunks come from a per-loop ChunkPool, because an idle connection must hold none.
//
// The one idea: allocation never returns null. Who must bound it asks used() in one place.
#pragma once

#include <cstddef>
#include <cstring>
#include <new>
#include <string_view>
#include <type_traits>
#include <utility>

namespace goma::core {

// A free list of equal chunks. Not thread-safe: one per loop.
class ChunkPool {
 public:
  static constexpr size_t chunk_size = 4096;

  explicit ChunkPool(size_t keep = 1024) : keep_(keep) {}
  ChunkPool(const ChunkPool&) = delete;
  ChunkPool& operator=(const ChunkPool&) = delete;
  ~ChunkPool();

  // A chunk of chunk_size bytes; aborts when there is no memory.
  void* take();
  // Takes the chunk back; beyond `keep` chunks it goes to the system.
  void give(void* chunk);
  // Gives to the system what was not needed since the last call. To be called now and then.
  void shrink();
  size_t kept() const { return count_; }

 private:
  struct Free {
    Free* next;
  };
  Free* free_ = nullptr;
  size_t count_ = 0;
  size_t least_ = 0;  // of count_, since the last shrink()
  size_t keep_;
};

class Arena {
 public:
  explicit Arena(ChunkPool& pool) : pool_(&pool) {}
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() { reset(); }

  // Uninitialised memory of n bytes, valid until reset(). Never null.
  void* allocate(size_t n, size_t align = alignof(std::max_align_t)) {
    const size_t padding = (align - (reinterpret_cast<size_t>(next_) & (align - 1))) & (align - 1);
    if (static_cast<size_t>(end_ - next_) < n + padding) return allocate_slow(n, align);
    char* place = next_ + padding;
    next_ = place + n;
    return place;
  }

  // An object whose destructor runs at reset(), newest first.
  template <class T, class... Args>
  T* make(Args&&... args) {
    T* object = new (allocate(sizeof(T), alignof(T))) T(std::forward<Args>(args)...);
    if constexpr (!std::is_trivially_destructible_v<T>) add_destructor(object, [](void* p) { static_cast<T*>(p)->~T(); });
    return object;
  }

  // n default-initialised elements of a trivial type.
  template <class T>
  T* array(size_t n) {
    static_assert(std::is_trivially_destructible_v<T>);
    return static_cast<T*>(allocate(sizeof(T) * n, alignof(T)));
  }

  // A copy of the text that lives as long as the arena.
  std::string_view copy(std::string_view text) {
    if (text.empty()) return {};
    char* place = static_cast<char*>(allocate(text.size(), 1));
    std::memcpy(place, text.data(), text.size());
    return {place, text.size()};
  }

  // The parts one after the other.
  template <class... Parts>
  std::string_view join(const Parts&... parts) {
    const std::string_view views[] = {std::string_view(parts)...};
    size_t n = 0;
    for (std::string_view v : views) n += v.size();
    char* place = static_cast<char*>(allocate(n, 1));
    char* out = place;
    for (std::string_view v : views) {
      if (!v.empty()) std::memcpy(out, v.data(), v.size());
      out += v.size();
    }
    return {place, n};
  }

  // Bytes taken from the pool and the system so far.
  size_t used() const { return used_; }
  // Runs the destructors and gives all memory back.
  void reset();
  // reset(), but a lone chunk stays for what comes next.
  void rewind() {
    if (chunks_ == nullptr || chunks_->next != nullptr || chunks_->size != ChunkPool::chunk_size || destructors_ != nullptr) return reset();
    next_ = reinterpret_cast<char*>(chunks_ + 1);
  }

 private:
  struct Chunk {
    Chunk* next;
    size_t size;  // chunk_size: from the pool; larger: from the system
  };
  struct Destructor {
    Destructor* next;
    void (*run)(void*);
    void* object;
  };

  void* allocate_slow(size_t n, size_t align);
  void add_destructor(void* object, void (*run)(void*));

  ChunkPool* pool_;
  Chunk* chunks_ = nullptr;
  Destructor* destructors_ = nullptr;
  char* next_ = nullptr;
  char* end_ = nullptr;
  size_t used_ = 0;
};

}  // namespace goma::core
