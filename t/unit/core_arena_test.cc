// SPDX-License-Identifier: Apache-2.0
//
// The arena: what it hands out is aligned, disjoint and stays as written; its end runs destructors newest first and
// returns every chunk.
#include "core/arena.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "check.h"

using goma::core::Arena;
using goma::core::ChunkPool;

namespace {

struct Witness {
  Witness(std::vector<int>& log, int id) : log_(log), id_(id) {}
  ~Witness() { log_.push_back(id_); }
  std::vector<int>& log_;
  int id_;
};

void starts_empty() {
  ChunkPool pool;
  Arena arena(pool);
  CHECK_EQ(arena.used(), 0);
}

void copies_text() {
  ChunkPool pool;
  Arena arena(pool);
  char original[] = "hello";
  const std::string_view copy = arena.copy(original);
  original[0] = 'j';
  CHECK_EQ(copy, "hello");
  CHECK_EQ(arena.copy("").size(), 0);
}

void joins_parts() {
  ChunkPool pool;
  Arena arena(pool);
  CHECK_EQ(arena.join("a", std::string_view(), std::string("bc"), "d"), "abcd");
  CHECK_EQ(arena.join("").size(), 0);
}

void destroys_newest_first() {
  std::vector<int> log;
  ChunkPool pool;
  {
    Arena arena(pool);
    for (int i = 0; i < 3; ++i) arena.make<Witness>(log, i);
    CHECK(log.empty());
  }
  CHECK(log == std::vector<int>{2, 1, 0});
}

void reset_twice_destroys_once() {
  std::vector<int> log;
  ChunkPool pool;
  Arena arena(pool);
  arena.make<Witness>(log, 7);
  arena.reset();
  arena.reset();
  CHECK_EQ(log.size(), 1);
  CHECK_EQ(arena.used(), 0);
}

// A block larger than a chunk must not make the room left in the current chunk unusable.
void outsized_block_keeps_the_chunk() {
  ChunkPool pool;
  Arena arena(pool);
  arena.allocate(16);
  const size_t before = arena.used();
  arena.allocate(3 * ChunkPool::chunk_size);
  const size_t after = arena.used();
  CHECK(after > before + 3 * ChunkPool::chunk_size - 1);
  arena.allocate(16);
  CHECK_EQ(arena.used(), after);
}

void chunks_are_used_again() {
  ChunkPool pool;
  void* first = pool.take();
  pool.give(first);
  void* second = pool.take();
  CHECK_EQ(first, second);
  pool.give(second);
}

struct Block {
  unsigned char* place;
  size_t size;
  unsigned char fill;
};

void check_intact(const std::vector<Block>& blocks) {
  for (const Block& block : blocks) {
    const auto* end = block.place + block.size;
    CHECK(std::all_of(block.place, const_cast<unsigned char*>(end), [&](unsigned char c) { return c == block.fill; }));
  }
}

void blocks_never_overlap() {
  std::mt19937_64 random(goma::test::seed());
  ChunkPool pool(4);
  Arena arena(pool);
  for (int round = 0; round < 50; ++round) {
    std::vector<Block> blocks;
    for (int i = 0; i < 200; ++i) {
      const size_t size = random() % 50 == 0 ? random() % 10000 : random() % 200;
      const size_t align = size_t{1} << random() % 5;
      auto* place = static_cast<unsigned char*>(arena.allocate(size, align));
      CHECK_EQ(reinterpret_cast<uintptr_t>(place) % align, 0);
      const auto fill = static_cast<unsigned char>(random());
      std::fill_n(place, size, fill);
      blocks.push_back({place, size, fill});
    }
    check_intact(blocks);
    arena.reset();
  }
}

void what_a_pool_did_not_need_goes() {
  ChunkPool pool;
  {
    Arena peak(pool);
    for (int i = 0; i < 100; ++i) peak.allocate(ChunkPool::chunk_size / 3);
  }
  const size_t kept = pool.kept();
  CHECK(kept > 40);
  pool.shrink();  // all of it was needed a moment ago
  CHECK_EQ(pool.kept(), kept);
  {
    Arena less(pool);
    for (int i = 0; i < 40; ++i) less.allocate(ChunkPool::chunk_size / 3);
  }
  pool.shrink();
  CHECK(pool.kept() > 20 && pool.kept() < kept);
  pool.shrink();
  pool.shrink();
  CHECK_EQ(pool.kept(), 16u);
}

void a_lone_chunk_stays() {
  ChunkPool pool;
  Arena arena(pool);
  void* first = arena.allocate(100);
  arena.rewind();
  CHECK(arena.allocate(100) == first);
  CHECK_EQ(arena.used(), ChunkPool::chunk_size);
  arena.allocate(10 * ChunkPool::chunk_size);
  arena.rewind();
  CHECK_EQ(arena.used(), 0u);
}

}  // namespace

GOMA_TESTS(what_a_pool_did_not_need_goes, a_lone_chunk_stays, starts_empty, copies_text, joins_parts, destroys_newest_first, reset_twice_destroys_once,
           outsized_block_keeps_the_chunk, chunks_are_used_again, blocks_never_overlap)
