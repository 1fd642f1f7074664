// SPDX-License-Identifier: Apache-2.0
//
// How a cache zone lies in shared memory: for the parts of core/cache_zone.h only. Numbers and offsets, no pointers.
//
//   Shared | buckets of cells | segments' states | pins, a row per process | segments
//
// A segment is a row of chunks; a chunk holds a piece of a body or a record, which describes an entry. A cell of the
// index is one word: where a record lies, and the generation its segment had then.
#pragma once

#include <pthread.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "core/cache_zone.h"

namespace goma::core {

namespace cache {

constexpr size_t rows = 128;  // processes: as many as the process table has
constexpr size_t ways = 8;
constexpr size_t lease_places = 8192;
constexpr size_t mark_groups = 16'384;
constexpr size_t marks_per_group = 15;
constexpr size_t chunk_align = 16;
constexpr uint32_t layout_version = 5;  // of everything here, and of how keys and sums are made
constexpr uint32_t asked_most = 7;  // counted no further: what is read all the time is not written to

struct Row {
  std::atomic<int32_t> pid;    // 0: free
  std::atomic<uint32_t> fills;  // the segment it fills, plus one
  std::atomic<uint64_t> started;  // when the process began: a pid is used again
};

struct Segment {
  std::atomic<uint32_t> generation;
  std::atomic<uint32_t> owner;  // the row that fills it, plus one; 0: nobody
  std::atomic<uint64_t> used;
  std::atomic<uint64_t> order;  // when it was taken; 0: never
};

enum class ChunkKind : uint16_t { piece = 0x7069, record = 0x7265 };

// Tells of a piece, too, which bucket knows its entry: so what is given up is found from either side.
struct Chunk {
  ChunkKind kind;
  uint16_t tag;    // of the key; 0: no entry has it yet
  uint32_t bytes;  // behind this header
  uint64_t key_low;
};

struct Piece {
  uint32_t segment, generation, offset, bytes;
};

// Behind it: the pieces, then the head.
struct Record {
  uint64_t head_sum;  // of all from the key on, pieces and head too
  std::atomic<uint32_t> asked;
  uint32_t reserved;
  CacheZone::Key key;
  uint64_t stamp;
  uint64_t body_bytes;
  uint64_t body_sum;
  uint32_t pieces;
  uint32_t head_bytes;

  const Piece* piece() const { return reinterpret_cast<const Piece*>(this + 1); }
  Piece* piece() { return reinterpret_cast<Piece*>(this + 1); }
  const char* head() const { return reinterpret_cast<const char*>(piece() + pieces); }
  size_t bytes() const { return sizeof *this + pieces * sizeof(Piece) + head_bytes; }
};

struct Lease {
  CacheZone::Key key;
  int64_t until_ms;
  uint64_t started;
  int32_t pid;
  uint32_t reserved;
};

// What was purged, by one half of its key; the other half chooses the group. Written under a lock and read without: a
// place gets its number after its key, and a mark whose place is wanted leaves its number as the floor before.
struct MarkGroup {
  std::atomic<uint64_t> newest;  // the highest number here: who knew it has nothing to look for
  std::atomic<uint64_t> floor;   // whatever belongs here and was asked for before is gone
  struct Mark {
    std::atomic<uint64_t> key;
    std::atomic<uint64_t> number;  // 0: free
  } mark[marks_per_group];

  void add(uint64_t key, uint64_t number);
  bool purges(uint64_t key, uint64_t known) const;
};
static_assert(sizeof(MarkGroup) == 256);

struct Owed {
  uint64_t number;
  uint32_t bytes;
  char text[1012];
};
constexpr size_t owed_places = 64;

// Where a record lies, in one word.
struct Place {
  uint32_t segment, generation, offset;
  uint16_t tag;

  static Place from(uint64_t cell) {
    return {static_cast<uint32_t>(cell >> 48), static_cast<uint32_t>(cell >> 16 & 0xffff), static_cast<uint32_t>(cell >> 32 & 0xffff) * static_cast<uint32_t>(chunk_align),
            static_cast<uint16_t>(cell)};
  }
  uint64_t cell() const {
    return uint64_t{segment} << 48 | uint64_t{offset / chunk_align} << 32 | uint64_t{generation & 0xffff} << 16 | tag;
  }
};

// Held by one process at a time, and taken over from one that died.
class Hold {
 public:
  explicit Hold(pthread_mutex_t& lock);
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;
  ~Hold();

 private:
  pthread_mutex_t& lock_;
};

// When a process began, in ticks since the machine did; 0: not known.
uint64_t process_started(int32_t pid);
// Whether this very process lives, and not another that got its pid.
bool process_lives(int32_t pid, uint64_t started);
inline uint16_t tag_of(CacheZone::Key key) { return static_cast<uint16_t>(key.high | 1); }
struct Carried;
uint64_t sum(const char* data, size_t n, uint64_t seed);
uint64_t head_sum_of(const Record& record);

}  // namespace cache

// Where things lie, from the beginning of Shared.
struct CacheZone::Layout {
  uint64_t head_bytes;
  uint64_t segment_count, bucket_count;
  uint64_t cells_at, segments_at, pins_at, bytes_at;
};

struct CacheZone::Shared : CacheZone::Layout {
  std::atomic<uint32_t> ready;
  KeyedHash hash;
  pthread_mutex_t segments_lock;
  pthread_mutex_t notes_lock;  // leases, marks, what is owed
  std::atomic<uint64_t> stamp, order, evicted, carried, refused, faulty;
  std::atomic<uint64_t> last_purge, all_purged;  // numbers: of any purge, of one of everything
  cache::Row row[cache::rows];
  cache::Lease lease[cache::lease_places];
  uint64_t owed_begin, owed_end;  // turns; their places are modulo owed_places
  cache::Owed owed[cache::owed_places];
  alignas(64) cache::MarkGroup marks[cache::mark_groups];

  template <class T>
  T* at(uint64_t offset) {
    return reinterpret_cast<T*>(reinterpret_cast<char*>(this) + offset);
  }
  cache::MarkGroup& marks_of(Key mark) { return marks[mark.low % cache::mark_groups]; }
  std::atomic<uint64_t>* bucket(Key key) { return at<std::atomic<uint64_t>>(cells_at) + key.low % bucket_count * cache::ways; }
  cache::Segment& segment(size_t index) { return at<cache::Segment>(segments_at)[index]; }
  std::atomic<uint32_t>& pin(size_t row_index, size_t index) { return at<std::atomic<uint32_t>>(pins_at)[row_index * segment_count + index]; }
  char* bytes(size_t index) { return at<char>(bytes_at) + index * segment_bytes; }
  size_t index_of(const void* address) const {
    return static_cast<size_t>(static_cast<const char*>(address) - (reinterpret_cast<const char*>(this) + bytes_at)) / segment_bytes;
  }
  cache::Record* record(const cache::Place& place) { return reinterpret_cast<cache::Record*>(bytes(place.segment) + place.offset); }

  // The number that a purge gets which is told this one; 0: the next of this host. Requires: notes_lock is held.
  uint64_t numbered(uint64_t number) const { return number != 0 ? number : last_purge.load() + 1; }

  // The cell that leads to the record of a key, its segment pinned by the row; null: there is none.
  std::atomic<uint64_t>* find(Key key, size_t row_index, uint64_t& cell);
  // Whether a record in a pinned segment is as it was written, and its pieces lie where pieces can.
  bool is_sound(const cache::Place& place);
  // Pins what the record needs besides its own segment. False, nothing pinned: some of it has gone.
  bool pin_pieces(const cache::Record& record, size_t row_index);
  void unpin_pieces(const cache::Record& record, size_t row_index);
  void insert(Key key, uint64_t cell, size_t row_index);
  // False: the key has an entry already, or there is no free cell.
  bool insert_if_absent(Key key, uint64_t cell, size_t row_index);
  bool row_lives(size_t row_index) { return cache::process_lives(row[row_index].pid.load(), row[row_index].started.load()); }
  // Which rows belong to live processes: asking is a system call or three.
  std::array<bool, cache::rows> living();
  // Whether a live process reads or writes in it.
  bool is_pinned(size_t index, const std::array<bool, cache::rows>& living);
  // Nothing is pinned or filled by the row any more, wherever its process was when it ended.
  void clear_row(size_t row_index);
  // Makes the oldest segment that nobody uses the one the row fills; false: all of them are in use.
  bool choose_segment(size_t row_index, uint32_t& generation);
  // The same, and what is asked for in it is kept. At least half of the new one is free then.
  bool take_segment(size_t row_index);
  // Where the record was written; 0: no room. Its segment stays pinned by the row.
  uint64_t write_record(size_t row_index, Key key, const cache::Piece* pieces, size_t count, std::string_view head, uint64_t body_bytes, uint64_t body_sum, uint32_t asked);
  // A chunk of the segment the row fills, with room for at least `least` bytes; its offset, 0: no room.
  uint32_t chunk(size_t row_index, cache::ChunkKind kind, uint32_t least);
  // The same, only in the segment it fills now.
  uint32_t chunk_here(size_t row_index, cache::ChunkKind kind, uint32_t least);
  // Takes what is asked for and lies, wholly or in part, in a segment that is being given up.
  void collect(size_t row_index, const cache::Place& gone, uint64_t used, std::vector<cache::Carried>& kept);
  void collect_of(size_t row_index, const cache::Place& gone, const cache::Chunk& chunk, std::vector<cache::Carried>& kept);
  // Writes as much of it as there is room for, most asked for first; what did not fit stays in kept.
  void put_back(size_t row_index, std::vector<cache::Carried>& kept, uint64_t up_to);
  bool put_back_one(size_t row_index, cache::Carried& one, uint64_t up_to);
  bool takes(size_t row_index, uint64_t bytes, uint64_t up_to);

  bool is_current(uint32_t index, uint32_t generation) {
    return index < segment_count && (segment(index).generation.load() & 0xffff) == (generation & 0xffff);
  }
};

}  // namespace goma::core
