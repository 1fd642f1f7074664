// SPDX-License-Identifier: Apache-2.0
//
// Buffers that are lent, not owned: a read needs 64 KiB for a moment, a connection needs none while it is idle.
// A BufferPool lends blocks per loop; the most recently used one is lent first, so that it is still in the cache.
//
// Rule: a view into a lent block dies with the lease. What must outlive it is copied (Arena::copy).
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace goma::core {

class BufferPool {
 public:
  static constexpr size_t block_size = 64 * 1024;

  class Lease {
   public:
    explicit Lease(BufferPool& pool) : pool_(pool), block_(pool.take()) {}
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease() { pool_.give(std::move(block_)); }
    char* data() { return block_.get(); }
    size_t size() const { return block_size; }

   private:
    BufferPool& pool_;
    std::unique_ptr<char[]> block_;
  };

 private:
  std::unique_ptr<char[]> take();
  void give(std::unique_ptr<char[]> block);
  static constexpr size_t keep = 16;
  std::vector<std::unique_ptr<char[]>> free_;
};

// A pipe for splice(2) with the number of bytes inside.
class Pipe {
 public:
  static constexpr int capacity = 256 * 1024;
  Pipe() = default;
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe();
  // Opens both ends; false when the process has no descriptors left.
  bool open();
  int in() const { return ends_[1]; }
  int out() const { return ends_[0]; }
  size_t inside = 0;

 private:
  int ends_[2] = {-1, -1};
};

// Pipes are expensive to make and cheap to keep; one loop keeps a few empty ones.
class PipePool {
 public:
  // An empty pipe, or null when there are no descriptors.
  std::unique_ptr<Pipe> take();
  // A pipe that still has bytes inside is closed.
  void give(std::unique_ptr<Pipe> pipe);

 private:
  static constexpr size_t keep = 32;
  std::vector<std::unique_ptr<Pipe>> free_;
};

// What the parts of one loop share for moving bytes.
struct Buffers {
  BufferPool blocks;
  PipePool pipes;
  std::string sealed;  // TLS records on their way out; empty between calls
};

}  // namespace goma::core
