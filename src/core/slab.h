// SPDX-License-Identifier: Apache-2.0
//
// Memory that all processes of an instance share and that outlives every one of them: a memfd, mapped before fork,
// handed on by an upgrade. A page allocator gives pieces of it to named zones; who asks for a zone by the same name,
// type and version gets the same memory, after a reload, a crash or an upgrade.
//
// The invariant: inside are plain structs and offsets, never pointers, and whoever changes the header holds a robust
// lock. A process that is killed with the lock in its hands costs at most the pages it was just taking.
//
// Pages cost memory when they are touched, not when they are taken.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "core/result.h"
#include "core/descriptor.h"

namespace goma::core {

class Slab {
 public:
  static constexpr size_t page_size = 4096;
  static constexpr size_t default_size = size_t{64} << 20;
  static constexpr size_t max_zones = 64;

  struct Usage {
    uint64_t size = 0;       // bytes of the slab
    uint64_t taken = 0;      // bytes given to zones and the header
    uint64_t recovered = 0;  // how often a lock was taken over from a dead process
  };
  struct Zone {
    void* memory = nullptr;
    size_t bytes = 0;
    int id = -1;        // stable for the life of the slab
    bool fresh = false; // just made: all bytes are zero
  };

  Slab() = default;
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;
  Slab(Slab&& other) noexcept;
  Slab& operator=(Slab&& other) noexcept;
  ~Slab();

  // Bytes for an instance that has this machine: half of its memory. What nobody touches costs nothing, and zones whose
  // size is configured are asked for after the slab was made.
  static size_t ample_size();
  // A new slab of at least this many bytes. Error: exhausted.
  static Result<Slab> create(size_t size = default_size);
  // The slab behind an inherited descriptor, which is taken. Error: invalid, when it is none or of another layout.
  static Result<Slab> attach(int fd);

  // For handing on; close-on-exec is set.
  int fd() const { return fd_.get(); }

  // The zone of that name (at most 31 bytes), type (at most 15) and version, made when there is none. A zone that
  // exists keeps its size: invalid when it is smaller than asked. Error: exhausted.
  Result<Zone> zone(std::string_view name, std::string_view type, uint32_t version, size_t bytes);
  // The same as a struct.
  template <class T>
  Result<T*> zone_of(std::string_view name, std::string_view type, uint32_t version) {
    static_assert(std::is_standard_layout_v<T> && std::is_trivially_destructible_v<T>);
    Result<Zone> found = zone(name, type, version, sizeof(T));
    if (!found.ok()) return found.error();
    return static_cast<T*>(found.value().memory);
  }

  // Contiguous pages for a zone that grows; the offset of the first, 0 when there is no room. All bytes are zero.
  uint64_t take_pages(size_t pages);
  // Gives them back to the system.
  void give_pages(uint64_t offset, size_t pages);
  // Requires: an offset inside the slab.
  void* at(uint64_t offset) const { return base_ + offset; }

  Usage usage() const;

  // What there is, for people: calls visit(name, bytes) for every zone, oldest first.
  template <class Visit>
  void each_zone(Visit visit) const {
    for (size_t i = 0; i < zone_count(); ++i) visit(zone_name(i), zone_at(i).bytes);
  }

  // The one lock of the slab, held for as long as this lives. Short work only.
  class Lock {
   public:
    explicit Lock(Slab& slab);
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;
    ~Lock();

   private:
    Slab& slab_;
  };

 private:
  struct Header;
  struct ZoneEntry;

  static Result<Slab> map(Descriptor fd, size_t size);
  void initialise(size_t size);
  Zone zone_at(size_t index) const;
  size_t zone_count() const;
  std::string_view zone_name(size_t index) const;
  uint64_t take_locked(size_t pages);
  uint64_t find_run(size_t pages) const;
  void mark(uint64_t first, size_t pages, bool taken);
  bool is_taken(uint64_t page) const;
  Header& header() const { return *reinterpret_cast<Header*>(base_); }

  Descriptor fd_;
  char* base_ = nullptr;
  size_t size_ = 0;
};

// Who runs, in a zone of the slab: one entry per process of the instance. A process writes what it is doing and when its
// loop turned last, and the master reads it: all the time, and after a crash. Entries are found by pid, because during a reload or upgrade two processes may serve
// the same slot.
class ProcessTable {
 public:
  static constexpr size_t capacity = 128;
  static constexpr size_t max_status = 255;
  static constexpr size_t max_frames = 24;

  enum class Role : uint32_t { none, master, worker, manager };
  struct Entry {
    int32_t pid;            // 0: free
    Role role;
    int32_t slot;
    uint32_t frames;        // how many there are, when it was aborted (core/stack_trace.h)
    uint64_t generation;    // of the configuration it serves
    int64_t started_ms;     // wall clock
    int64_t beat_ms;        // monotonic clock: its loop turned then
    uint64_t frame[max_frames];   // addresses, the innermost first
    char status[max_status + 1];  // the last request line, terminated
  };

  static Result<ProcessTable> open(Slab& slab);

  // Enters this process (its own pid) and makes its entry the one that the setters write. A master strikes out processes
  // that do not exist any more; nobody else does, as it reads what its children left once they are gone. False when the
  // table is full.
  bool enter(Role role, int slot, int64_t now_ms);
  void set_generation(uint64_t generation);
  void beat(int64_t now_ms);
  // Where it is being aborted. Safe in a signal handler; the first count.
  void set_frames(void* const* frames, size_t n);
  // Cuts to max_status. Cheap enough for every request.
  void set_status(std::string_view text);
  // Strikes a process out; harmless when it is not there.
  void leave(int32_t pid);
  // What a process has written, printable, or an empty text.
  std::string status_of(int32_t pid) const;
  // The entry of a process, or null. May change under the reader's eyes.
  const Entry* find(int32_t pid) const;
  // Calls visit(const Entry&) for everyone.
  template <class Visit>
  void each(Visit visit) const {
    for (size_t i = 0; i < capacity; ++i) {
      if (entries_[i].pid != 0) visit(entries_[i]);
    }
  }

 private:
  ProcessTable(Slab& slab, Entry* entries) : slab_(&slab), entries_(entries) {}
  Slab* slab_;
  Entry* entries_;
  Entry* own_ = nullptr;
};

}  // namespace goma::core
