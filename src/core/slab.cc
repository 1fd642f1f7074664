// SPDX-License-Identifier: Apache-2.0
//
// The header (version, lock, zone table, page bitmap) lies at offset 0; everything behind it is pages. Every change is
// ordered so that a process killed in the middle leaks pages at worst: pages are marked taken before a zone
// names them, and a zone exists from the moment the table's count includes it.
#include "core/slab.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "core/check.h"
#include "core/log.h"

namespace goma::core {

namespace {

constexpr char magic[8] = {'g', 'o', 'm', 'a', 's', 'l', 'a', 'b'};
constexpr uint32_t layout_version = 1;
constexpr size_t smallest = size_t{1} << 20;
constexpr size_t largest = size_t{64} << 30;

constexpr size_t pages_for(size_t bytes) { return (bytes + Slab::page_size - 1) / Slab::page_size; }

}  // namespace

struct Slab::ZoneEntry {
  char name[32];
  char type[16];
  uint32_t version;
  uint32_t reserved;
  uint64_t offset;
  uint64_t bytes;
};

struct Slab::Header {
  char magic[8];
  uint32_t layout;
  uint32_t page;
  uint64_t size;
  uint64_t pages;
  uint64_t taken;      // pages, header included
  uint64_t recovered;
  pthread_mutex_t lock;
  uint32_t lock_size;  // another C library may see the lock differently
  uint32_t zones;
  ZoneEntry zone[max_zones];
  uint64_t bitmap[1];  // one bit per page, continues behind the struct
};

// ---------------------------------------------------------------- the lock

Slab::Lock::Lock(Slab& slab) : slab_(slab) {
  Header& header = slab.header();
  const int result = ::pthread_mutex_lock(&header.lock);
  if (result == EOWNERDEAD) {
    GOMA_CHECK(::pthread_mutex_consistent(&header.lock) == 0);
    __atomic_add_fetch(&header.recovered, 1, __ATOMIC_RELAXED);
    return;
  }
  GOMA_CHECK(result == 0);
}

Slab::Lock::~Lock() { ::pthread_mutex_unlock(&slab_.header().lock); }

// ---------------------------------------------------------------- life

Slab::Slab(Slab&& other) noexcept : fd_(std::move(other.fd_)), base_(other.base_), size_(other.size_) { other.base_ = nullptr; }

Slab& Slab::operator=(Slab&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(base_, other.base_);
  std::swap(size_, other.size_);
  return *this;
}

Slab::~Slab() {
  if (base_ != nullptr) ::munmap(base_, size_);
}

Result<Slab> Slab::map(Descriptor fd, size_t size) {
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd.get(), 0);
  if (memory == MAP_FAILED) return Error::from_errno(Code::exhausted, "cannot map the shared memory", errno);
  Slab slab;
  slab.fd_ = std::move(fd);
  slab.base_ = static_cast<char*>(memory);
  slab.size_ = size;
  return slab;
}

size_t Slab::ample_size() {
  const auto pages = static_cast<size_t>(std::max(::sysconf(_SC_PHYS_PAGES), 0L));
  return std::clamp(pages * static_cast<size_t>(::sysconf(_SC_PAGESIZE)) / 2, 4 * default_size, largest);
}

Result<Slab> Slab::create(size_t size) {
  size = pages_for(std::clamp(size, smallest, largest)) * page_size;
  Descriptor fd(::memfd_create("goma-slab", MFD_CLOEXEC));
  if (!fd) return Error::from_errno(Code::exhausted, "cannot make shared memory", errno);
  if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) return Error::from_errno(Code::exhausted, "cannot size the shared memory", errno);
  Result<Slab> slab = map(std::move(fd), size);
  if (slab.ok()) slab.value().initialise(size);
  return slab;
}

void Slab::initialise(size_t size) {
  Header& h = header();
  h.layout = layout_version;
  h.page = page_size;
  h.size = size;
  h.pages = size / page_size;
  h.lock_size = sizeof h.lock;
  pthread_mutexattr_t attributes;
  ::pthread_mutexattr_init(&attributes);
  ::pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  ::pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  GOMA_CHECK(::pthread_mutex_init(&h.lock, &attributes) == 0);
  ::pthread_mutexattr_destroy(&attributes);
  mark(0, pages_for(offsetof(Header, bitmap) + (h.pages + 63) / 64 * 8), true);
  std::memcpy(h.magic, magic, sizeof magic);
}

Result<Slab> Slab::attach(int fd) {
  Descriptor owned(fd);
  set_close_on_exec(fd, true);
  struct stat status {};
  const bool readable = ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size >= static_cast<off_t>(smallest);
  if (!readable) return Error{Code::invalid, "the inherited descriptor is no shared memory of goma", 0};
  Result<Slab> slab = map(std::move(owned), static_cast<size_t>(status.st_size));
  if (!slab.ok()) return slab;
  const Header& h = slab.value().header();
  const bool ours = std::memcmp(h.magic, magic, sizeof magic) == 0;
  if (!ours) return Error{Code::invalid, "the inherited descriptor is no shared memory of goma", 0};
  const bool same = h.layout == layout_version && h.page == page_size && h.size == slab.value().size_ && h.lock_size == sizeof h.lock;
  if (!same) return Error{Code::invalid, "the inherited shared memory has layout " + std::to_string(h.layout) + ", not " + std::to_string(layout_version), 0};
  return slab;
}

// ---------------------------------------------------------------- zones

Slab::Zone Slab::zone_at(size_t index) const {
  const ZoneEntry& entry = header().zone[index];
  return Zone{base_ + entry.offset, static_cast<size_t>(entry.bytes), static_cast<int>(index), false};
}

size_t Slab::zone_count() const { return __atomic_load_n(&header().zones, __ATOMIC_ACQUIRE); }

std::string_view Slab::zone_name(size_t index) const { return header().zone[index].name; }

Result<Slab::Zone> Slab::zone(std::string_view name, std::string_view type, uint32_t version, size_t bytes) {
  GOMA_CHECK(name.size() < sizeof ZoneEntry::name && type.size() < sizeof ZoneEntry::type && bytes > 0);
  const Lock lock(*this);
  Header& h = header();
  bool had_another = false;
  for (size_t i = 0; i < h.zones; ++i) {
    const ZoneEntry& entry = h.zone[i];
    had_another = had_another || name == entry.name;
    if (name != entry.name || type != entry.type || version != entry.version) continue;
    if (entry.bytes >= bytes) return zone_at(i);
    return Error{Code::invalid, "shared memory zone " + std::string(name) + " has " + std::to_string(entry.bytes) + " bytes, " + std::to_string(bytes) + " are needed", 0};
  }
  if (h.zones == max_zones) return Error{Code::exhausted, "no room for another shared memory zone", 0};
  const uint64_t offset = take_locked(pages_for(bytes));
  if (offset == 0) return Error{Code::exhausted, "no room for shared memory zone " + std::string(name) + " of " + std::to_string(bytes) + " bytes", 0};
  ZoneEntry& entry = h.zone[h.zones];
  entry = ZoneEntry{};
  name.copy(entry.name, name.size());
  type.copy(entry.type, type.size());
  entry.version = version;
  entry.offset = offset;
  entry.bytes = bytes;
  __atomic_store_n(&h.zones, h.zones + 1, __ATOMIC_RELEASE);  // for those who look without the lock
  Zone made = zone_at(h.zones - 1);
  made.fresh = true;
  if (had_another) log::warn("a zone of shared memory starts empty: this build lays it out in another way", {{"zone", name}, {"version", version}, {"bytes", bytes}});
  return made;
}

// ---------------------------------------------------------------- pages

bool Slab::is_taken(uint64_t page) const { return (header().bitmap[page / 64] >> (page % 64) & 1) != 0; }

void Slab::mark(uint64_t first, size_t pages, bool taken) {
  Header& h = header();
  for (uint64_t page = first; page < first + pages; ++page) {
    const uint64_t bit = uint64_t{1} << (page % 64);
    if (taken) {
      h.bitmap[page / 64] |= bit;
    } else {
      h.bitmap[page / 64] &= ~bit;
    }
  }
  h.taken += taken ? pages : -pages;
}

// The first page of the first free run; 0 when there is none.
uint64_t Slab::find_run(size_t pages) const {
  const uint64_t end = header().pages;
  uint64_t run = 0;
  for (uint64_t page = 1; page < end; ++page) {
    run = is_taken(page) ? 0 : run + 1;
    if (run == pages) return page + 1 - pages;
  }
  return 0;
}

uint64_t Slab::take_locked(size_t pages) {
  const uint64_t first = find_run(pages);
  if (first == 0) return 0;
  mark(first, pages, true);
  return first * page_size;
}

uint64_t Slab::take_pages(size_t pages) {
  const Lock lock(*this);
  return pages == 0 ? 0 : take_locked(pages);
}

void Slab::give_pages(uint64_t offset, size_t pages) {
  GOMA_CHECK(offset % page_size == 0 && offset / page_size + pages <= header().pages);
  const Lock lock(*this);
  // The next owner finds zeros, and the system has its memory back.
  const int punched = ::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset), static_cast<off_t>(pages * page_size));
  if (punched != 0) std::memset(base_ + offset, 0, pages * page_size);
  mark(offset / page_size, pages, false);
}

Slab::Usage Slab::usage() const {
  const Header& h = header();
  return {h.size, __atomic_load_n(&h.taken, __ATOMIC_RELAXED) * page_size, __atomic_load_n(&h.recovered, __ATOMIC_RELAXED)};
}

// ---------------------------------------------------------------- the process table

Result<ProcessTable> ProcessTable::open(Slab& slab) {
  const Result<Slab::Zone> zone = slab.zone("processes", "process-table", 2, sizeof(Entry) * capacity);
  if (!zone.ok()) return zone.error();
  return ProcessTable(slab, static_cast<Entry*>(zone.value().memory));
}

bool ProcessTable::enter(Role role, int slot, int64_t now_ms) {
  const Slab::Lock lock(*slab_);
  own_ = nullptr;
  for (size_t i = 0; i < capacity; ++i) {
    Entry& entry = entries_[i];
    // Nobody may have been left to strike it out.
    if (role == Role::master && entry.pid != 0 && ::kill(entry.pid, 0) != 0 && errno == ESRCH) __atomic_store_n(&entry.pid, 0, __ATOMIC_RELEASE);
    if (entry.pid == 0 && own_ == nullptr) own_ = &entry;
  }
  if (own_ == nullptr) return false;
  *own_ = Entry{};
  own_->role = role;
  own_->slot = slot;
  own_->started_ms = now_ms;
  __atomic_store_n(&own_->pid, static_cast<int32_t>(::getpid()), __ATOMIC_RELEASE);
  return true;
}

void ProcessTable::set_generation(uint64_t generation) {
  if (own_ != nullptr) __atomic_store_n(&own_->generation, generation, __ATOMIC_RELAXED);
}

void ProcessTable::beat(int64_t now_ms) {
  if (own_ != nullptr) __atomic_store_n(&own_->beat_ms, now_ms, __ATOMIC_RELAXED);
}

void ProcessTable::set_frames(void* const* frames, size_t n) {
  if (own_ == nullptr || own_->frames != 0) return;
  n = std::min(n, max_frames);
  for (size_t i = 0; i < n; ++i) own_->frame[i] = reinterpret_cast<uintptr_t>(frames[i]);
  __atomic_store_n(&own_->frames, static_cast<uint32_t>(n), __ATOMIC_RELEASE);
}

void ProcessTable::set_status(std::string_view text) {
  if (own_ == nullptr) return;
  const size_t n = std::min(text.size(), max_status);
  std::memcpy(own_->status, text.data(), n);
  own_->status[n] = '\0';
}

void ProcessTable::leave(int32_t pid) {
  const Slab::Lock lock(*slab_);
  for (size_t i = 0; i < capacity; ++i) {
    if (entries_[i].pid == pid) __atomic_store_n(&entries_[i].pid, 0, __ATOMIC_RELEASE);
  }
}

const ProcessTable::Entry* ProcessTable::find(int32_t pid) const {
  for (size_t i = 0; i < capacity; ++i) {
    if (entries_[i].pid == pid) return &entries_[i];
  }
  return nullptr;
}

std::string ProcessTable::status_of(int32_t pid) const {
  const Entry* entry = find(pid);
  if (entry == nullptr) return {};
  std::string text(entry->status, ::strnlen(entry->status, max_status));
  // It may have been cut off in mid-write, and a client chose most of it.
  for (char& c : text) {
    if (c < ' ' || c > '~') c = '?';
  }
  return text;
}

}  // namespace goma::core
