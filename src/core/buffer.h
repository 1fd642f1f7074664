// SPDX-License-Identifier: Apache-2.0
//
// Buffers that are lent, not owned: a read needs 64 KiB for a moment, a connection needs none while it is idle.
// A BufferPool lends blocks per loop; one that was just given back is lent first, as it is still in the cache. What a
// pool did not need for a while goes back to the system at shrink().
//
// Rule: a view into a lent block dies with the lease. What must outlive it is copied (Arena::copy).
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace goma::core {

// What is kept for the next one who asks. One lies at hand: nearly always somebody has just given it back.
template <class T>
class Stock {
 public:
  explicit Stock(size_t most) : most_(most) {}
  // Null: there is none.
  std::unique_ptr<T> take() {
    if (at_hand_ != nullptr || kept_.empty()) return std::move(at_hand_);
    std::unique_ptr<T> last = std::move(kept_.back());
    kept_.pop_back();
    least_ = std::min(least_, kept_.size());
    return last;
  }
  // Beyond the most it is destroyed.
  void give(std::unique_ptr<T> one) {
    if (at_hand_ == nullptr) at_hand_ = std::move(one);
    else if (kept_.size() + 1 < most_) kept_.push_back(std::move(one));
  }
  // Destroys what was not needed since the last call, but for what lies at hand.
  void shrink() {
    kept_.resize(kept_.size() - least_);
    least_ = kept_.size();
  }
  size_t size() const { return kept_.size() + (at_hand_ != nullptr ? 1 : 0); }

 private:
  std::unique_ptr<T> at_hand_;
  std::vector<std::unique_ptr<T>> kept_;
  size_t most_;
  size_t least_ = 0;  // that kept_ had since the last shrink()
};

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
  void shrink() { free_.shrink(); }

 private:
  std::unique_ptr<char[]> take();
  void give(std::unique_ptr<char[]> block) { free_.give(std::move(block)); }
  static constexpr size_t keep = 16;
  Stock<char[]> free_{keep};
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
  void shrink() { free_.shrink(); }

 private:
  static constexpr size_t keep = 32;
  Stock<Pipe> free_{keep};
};

// What the parts of one loop share for moving bytes.
struct Buffers {
  BufferPool blocks;
  PipePool pipes;
  std::string sealed;  // TLS records on their way out; empty between calls
  // To be called now and then, between calls.
  void shrink();
};

}  // namespace goma::core
