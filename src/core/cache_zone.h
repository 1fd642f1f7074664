// SPDX-License-Identifier: Apache-2.0
//
// Bytes under keys, shared by all workers of a host and outliving each of them: what a response cache keeps. A zone of
// the slab has an index of buckets of eight cells, changed by compare-and-swap like those of core/limit_zone.h, and
// segments that entries are appended to, written once and read in place.
//
// The one idea: only whole segments are given up. A segment has a generation; what points into it names the generation
// it was written in, and is as good as absent when that has passed. So nobody keeps a free list, nothing has to be
// unlinked, and a worker that is killed at any instant leaves at worst some bytes that nobody points to, until their
// segment's turn comes. Entries that were read since they were written are carried over when their segment goes, so
// that what stays is what is asked for.
//
// The invariant: bytes of a published entry never change, and their segment is not reused while an Entry pins it. A
// pin belongs to a process; those of one that is dead do not count.
//
// It does not know what an entry means, when it is stale, or what HTTP is.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/keyed_hash.h"
#include "core/result.h"

namespace goma::core {

class Slab;

class CacheZone {
 public:
  static constexpr size_t segment_bytes = size_t{1} << 20;
  static constexpr size_t piece_bytes = size_t{64} << 10;  // the longest run of body bytes in one piece
  static constexpr size_t max_head_bytes = size_t{32} << 10;

  using Key = KeyedHash::Wide;

  // The zone of this slab, which must outlive it; made with room for `bytes` when there is none. An existing zone keeps
  // its size. Error: exhausted (no room in the slab, or too small: at least 4 segments), busy (too many processes).
  static Result<CacheZone> open(Slab& slab, size_t bytes);
  // Whether this slab has one.
  static bool exists(Slab& slab);
  CacheZone(CacheZone&& other) noexcept;
  CacheZone& operator=(CacheZone&&) = delete;
  // Gives up the pins of this process.
  ~CacheZone();

  // A key for a text, under the zone's secret: no client can aim at another's. seed chains.
  Key key(std::string_view text, Key seed = {}) const;

  // ---------------------------------------------------------------- reading

  // A published entry, pinned: its bytes stay in place as long as this lives. Empty: a miss.
  class Entry {
   public:
    Entry() = default;
    Entry(Entry&& other) noexcept;
    Entry& operator=(Entry&& other) noexcept;
    ~Entry();
    explicit operator bool() const { return zone_ != nullptr; }
    std::string_view head() const;         // what publish() was given
    uint64_t body_size() const;
    size_t pieces() const;
    std::string_view piece(size_t index) const;  // of the body, in order
    uint64_t stamp() const;                // another one for every publish: tells two entries of a key apart

   private:
    friend class CacheZone;
    CacheZone* zone_ = nullptr;
    const void* record_ = nullptr;
  };

  // The entry of a key, and that it was asked for is remembered; empty when there is none. One whose head does not agree
  // with its checksum is dropped, counted as faulty, and not given.
  Entry find(Key key);

  // ---------------------------------------------------------------- writing

  // An entry being written. Bytes are visible to nobody until publish; dropping it abandons them.
  class Draft {
   public:
    Draft() = default;
    Draft(Draft&& other) noexcept;
    Draft& operator=(Draft&& other) noexcept;
    ~Draft();
    explicit operator bool() const { return zone_ != nullptr; }
    // Appends body bytes. False, and the draft is empty then: there is no room (every segment is pinned, or the entry
    // would be larger than a sixteenth of the zone).
    bool append(std::string_view data);
    uint64_t body_size() const;
    // Makes it the entry of the key in one step, in place of the one before. False: no room for the head; nothing has
    // changed. The draft is empty afterwards.
    bool publish(Key key, std::string_view head);

   private:
    friend class CacheZone;
    CacheZone* zone_ = nullptr;
    void* writing_ = nullptr;
  };

  // Begins an entry. Empty: no room.
  Draft begin();
  // Gives the key the body of an existing entry under another head (a response that was validated, RFC 9111 4.3.4).
  // False: no room, or the key has another entry by now.
  bool replace_head(Key key, const Entry& entry, std::string_view head);
  // False: there was none.
  bool remove(Key key);

  // ---------------------------------------------------------------- one at a time

  // Whether the caller is the one that fetches this key, until until_ms (CLOCK_MONOTONIC); false: somebody else is. A
  // lease of a process that died is free again.
  bool lease(Key key, int64_t now_ms, int64_t until_ms);
  bool is_leased(Key key, int64_t now_ms) const;
  void release(Key key);

  // ---------------------------------------------------------------- purging

  // Purges are numbered in the order in which they were ordered, and an entry goes by the highest number that was known
  // when its content was asked for: it is gone when a mark of its own has a higher one. No clock decides.

  // What carries this mark and was asked for before the purge of this number is gone. A mark is the key of a URL, a prefix
  // or a tag. Of several numbers the highest counts; 0 stands for the next one of this host. The number.
  //
  // There is room for 245,760 marks, in groups of 15 that a key's hash chooses. One more in a full group takes the place of
  // the oldest there, and what belongs to that group and was asked for before that one is gone with it: nothing that is
  // younger than it, and one in 16,384 of what is older. 100,000 marks meet a full group about 20 times.
  uint64_t purge(Key mark, uint64_t number = 0);
  uint64_t purge_all(uint64_t number = 0);
  // The highest number that was heard of: what is asked for from now on goes by it. 0: nothing was purged yet.
  uint64_t last_purge() const;
  // Whether what carries the mark and goes by the number `known` is gone. Takes no lock.
  bool is_purged(Key mark, uint64_t known) const;

  // Purges that other hosts are yet to be told of, in the words of the caller; they outlive every process. Of more than 64,
  // or one of more than 1,000 bytes, only `all` is left, which must stand for any of them.
  struct Owed {
    std::string purge;
    uint64_t number = 0;
    uint64_t turn = 0;  // for paid()
  };
  void owe(std::string_view purge, uint64_t number, std::string_view all);
  std::optional<Owed> owed() const;  // the oldest
  void paid(const Owed& owed);

  // ---------------------------------------------------------------- how it is

  struct Usage {
    uint64_t segments = 0;       // there are
    uint64_t used_segments = 0;  // hold something
    uint64_t pinned_segments = 0;
    uint64_t bytes = 0;          // room for entries
    uint64_t entries = 0;        // that can be found
    uint64_t entry_bytes = 0;    // of these
    uint64_t evicted = 0;        // entries that gave way, since the zone was made
    uint64_t carried = 0;        // entries that were asked for and therefore moved on
    uint64_t refused = 0;        // drafts without room
    uint64_t faulty = 0;         // found damaged by verify() or find(), and dropped
  };
  // Walks the index: for a scrape, not for a request.
  Usage usage() const;
  // Reads every entry and compares it with its checksum; drops what does not agree. Asks for nothing: what would be given
  // up is given up all the same.
  Usage verify();

  struct Layout;
  struct Shared;  // core/cache_zone_shared.h

 private:
  explicit CacheZone(Shared& shared);
  size_t self() const;
  // The entry of a record whose segment is pinned already, which is given up when there is none. Drops what is damaged.
  Entry entry_of(std::atomic<uint64_t>& place, uint64_t cell);
  Shared* shared_;
  void* self_ = nullptr;  // this process's row of pins
};

}  // namespace goma::core
