// SPDX-License-Identifier: Apache-2.0
//
// Opening a zone, and reading from it. Whoever reads pins first and asks for the generation afterwards; whoever takes a
// segment changes its generation first and asks for pins afterwards. So one of the two sees the other.
#include "core/cache_zone.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/cache_zone_shared.h"
#include "core/check.h"
#include "core/slab.h"

namespace goma::core {

namespace cache {

Hold::Hold(pthread_mutex_t& lock) : lock_(lock) {
  const int result = ::pthread_mutex_lock(&lock);
  if (result == EOWNERDEAD) GOMA_CHECK(::pthread_mutex_consistent(&lock) == 0);
  else GOMA_CHECK(result == 0);
}

Hold::~Hold() { ::pthread_mutex_unlock(&lock_); }

// The 22nd field of its line in /proc; the name before may hold anything, so counted from the last parenthesis.
uint64_t process_started(int32_t pid) {
  char text[1024];
  std::snprintf(text, sizeof text, "/proc/%d/stat", pid);
  const int file = ::open(text, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  const ssize_t n = ::read(file, text, sizeof text - 1);
  ::close(file);
  if (n <= 0) return 0;
  text[n] = 0;
  const char* at = std::strrchr(text, ')');
  for (int field = 2; at != nullptr && field < 22; ++field) at = std::strchr(at + 1, ' ');
  return at != nullptr ? std::strtoull(at + 1, nullptr, 10) : 0;
}

bool process_lives(int32_t pid, uint64_t started) {
  if (pid == 0 || (::kill(pid, 0) != 0 && errno != EPERM)) return false;
  const uint64_t now = started != 0 ? process_started(pid) : 0;
  return now == 0 || now == started;  // where /proc tells nothing, the pid has to do
}

// Two lanes side by side, or each block would wait for the one before.
uint64_t sum(const char* data, size_t n, uint64_t seed) {
  constexpr uint64_t odd = 0x9e3779b97f4a7c15, other = 0xc2b2ae3d27d4eb4f;
  uint64_t left = seed ^ n * odd, right = ~left;
  const auto take = [&](const char* at) {
    uint64_t word[4];
    std::memcpy(word, at, sizeof word);
    left = fold(left ^ word[0], word[1] ^ odd);
    right = fold(right ^ word[2], word[3] ^ other);
  };
  for (; n >= 32; data += 32, n -= 32) take(data);
  char last[32] = {};
  if (n != 0) std::memcpy(last, data, n);
  take(last);
  return fold(left ^ other, right ^ odd);
}

uint64_t head_sum_of(const Record& record) {
  return sum(reinterpret_cast<const char*>(&record.key), record.bytes() - offsetof(Record, key), 0);
}

}  // namespace cache

using cache::Place;
using cache::Record;

// ---------------------------------------------------------------- the zone

namespace {

constexpr std::string_view zone_name = "responses";
constexpr size_t bytes_per_bucket = 8192;

size_t aligned(size_t n) { return (n + Slab::page_size - 1) / Slab::page_size * Slab::page_size; }

void make_lock(pthread_mutex_t& lock) {
  pthread_mutexattr_t attributes;
  ::pthread_mutexattr_init(&attributes);
  ::pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  ::pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  GOMA_CHECK(::pthread_mutex_init(&lock, &attributes) == 0);
  ::pthread_mutexattr_destroy(&attributes);
}

}  // namespace

// Fills in the numbers of a zone for so many segments; how many bytes it takes.
static size_t lay_out(CacheZone::Layout& to, size_t segments) {
  to.segment_count = segments;
  to.bucket_count = std::max<size_t>(segments * CacheZone::segment_bytes / bytes_per_bucket, 64);
  to.cells_at = aligned(to.head_bytes);
  to.segments_at = to.cells_at + aligned(to.bucket_count * cache::ways * sizeof(uint64_t));
  to.pins_at = to.segments_at + aligned(segments * sizeof(cache::Segment));
  to.bytes_at = to.pins_at + aligned(cache::rows * segments * sizeof(uint32_t));
  return to.bytes_at + segments * CacheZone::segment_bytes;
}

bool CacheZone::exists(Slab& slab) {
  bool there = false;
  slab.each_zone([&](std::string_view name, uint64_t) { there = there || name == zone_name; });
  return there;
}

Result<CacheZone> CacheZone::open(Slab& slab, size_t bytes) {
  if (bytes < 4 * segment_bytes) return Error{Code::exhausted, "a store for responses needs at least 4 MiB", 0};
  Layout layout{};
  layout.head_bytes = sizeof(Shared);
  size_t total = lay_out(layout, std::min<size_t>(bytes / segment_bytes, 65'536));
  slab.each_zone([&](std::string_view name, uint64_t there) { total = name == zone_name ? static_cast<size_t>(there) : total; });
  Result<Slab::Zone> zone = slab.zone(zone_name, "cache", cache::layout_version, total);
  if (!zone.ok()) return zone.error();
  auto& shared = *static_cast<Shared*>(zone.value().memory);
  const Slab::Lock lock(slab);
  if (shared.ready.load() == 0) {
    GOMA_CHECK(shared.hash.make_secret());
    make_lock(shared.segments_lock);
    make_lock(shared.notes_lock);
    static_cast<Layout&>(shared) = layout;
    shared.ready.store(1);
  }
  ::madvise(shared.bytes(0), shared.segment_count * segment_bytes, MADV_DONTDUMP);  // others' answers, in nobody's core file
  CacheZone made(shared);
  if (made.self_ == nullptr) return Error{Code::exhausted, "too many processes use the store for responses", 0};
  return made;
}

// Takes a row: a free one, or that of a process that is no more.
CacheZone::CacheZone(Shared& shared) : shared_(&shared) {
  for (size_t i = 0; i < cache::rows && self_ == nullptr; ++i) {
    cache::Row& row = shared.row[i];
    if (shared.row_lives(i)) continue;
    shared.clear_row(i);
    row.started.store(cache::process_started(::getpid()));
    row.pid.store(::getpid());
    self_ = &row;
  }
}

CacheZone::CacheZone(CacheZone&& other) noexcept : shared_(other.shared_), self_(other.self_) { other.self_ = nullptr; }

CacheZone::~CacheZone() {
  if (self_ == nullptr) return;
  auto& row = *static_cast<cache::Row*>(self_);
  shared_->clear_row(self());
  row.pid.store(0);
}

size_t CacheZone::self() const { return static_cast<size_t>(static_cast<const cache::Row*>(self_) - shared_->row); }

CacheZone::Key CacheZone::key(std::string_view text, Key seed) const { return shared_->hash.wide(text, seed); }

// ---------------------------------------------------------------- the index

// What is found may be anything once its segment has gone, so it is looked at under a pin only.
std::atomic<uint64_t>* CacheZone::Shared::find(Key key, size_t row_index, uint64_t& cell) {
  std::atomic<uint64_t>* cells = bucket(key);
  for (size_t i = 0; i < cache::ways; ++i) {
    cell = cells[i].load(std::memory_order_acquire);
    const Place place = Place::from(cell);
    if (cell == 0 || place.tag != cache::tag_of(key) || place.segment >= segment_count) continue;
    std::atomic<uint32_t>& pinned = pin(row_index, place.segment);
    pinned.fetch_add(1);
    if (is_current(place.segment, place.generation) && record(place)->key == key) return &cells[i];
    pinned.fetch_sub(1);
  }
  return nullptr;
}

bool CacheZone::Shared::pin_pieces(const Record& record, size_t row_index) {
  for (uint32_t i = 0; i < record.pieces; ++i) {
    const cache::Piece& piece = record.piece()[i];
    if (piece.segment < segment_count) pin(row_index, piece.segment).fetch_add(1);
    if (is_current(piece.segment, piece.generation)) continue;
    for (uint32_t taken = 0; taken <= i; ++taken) {
      if (record.piece()[taken].segment < segment_count) pin(row_index, record.piece()[taken].segment).fetch_sub(1);
    }
    return false;
  }
  return true;
}

void CacheZone::Shared::unpin_pieces(const Record& record, size_t row_index) {
  for (uint32_t i = 0; i < record.pieces; ++i) pin(row_index, record.piece()[i].segment).fetch_sub(1);
}

// In the place of the key's own, of nothing, of what has gone, or of the oldest.
void CacheZone::Shared::insert(Key key, uint64_t cell, size_t row_index) {
  uint64_t seen = 0;
  std::atomic<uint64_t>* place = find(key, row_index, seen);
  if (place != nullptr) pin(row_index, Place::from(seen).segment).fetch_sub(1);
  std::atomic<uint64_t>* cells = bucket(key);
  uint64_t oldest = UINT64_MAX;
  for (size_t i = 0; i < cache::ways && place == nullptr; ++i) {
    seen = cells[i].load();
    const Place there = Place::from(seen);
    if (seen == 0 || !is_current(there.segment, there.generation)) place = &cells[i];
  }
  for (size_t i = 0; i < cache::ways && place == nullptr; ++i) {
    const uint64_t order_of = segment(Place::from(cells[i].load()).segment).order.load();
    oldest = std::min(oldest, order_of);
  }
  for (size_t i = 0; i < cache::ways && place == nullptr; ++i) {
    seen = cells[i].load();
    if (segment(Place::from(seen).segment).order.load() > oldest) continue;
    place = &cells[i];
    evicted.fetch_add(1);
  }
  if (place == nullptr) place = &cells[key.high % cache::ways];
  place->store(cell);
  for (size_t i = 0; i < cache::ways; ++i) {  // another process may have had the same thought
    uint64_t other = cells[i].load();
    const Place there = Place::from(other);
    if (other == cell || there.tag != cache::tag_of(key) || !is_current(there.segment, there.generation) || !(record(there)->key == key)) continue;
    cells[i].compare_exchange_strong(other, 0);
  }
}

// Whoever inserts looks at the others' cells afterwards, so of two at once at least one sees the other; this one yields.
bool CacheZone::Shared::insert_if_absent(Key key, uint64_t cell, size_t row_index) {
  std::atomic<uint64_t>* cells = bucket(key);
  std::atomic<uint64_t>* place = nullptr;
  for (size_t i = 0; i < cache::ways && place == nullptr; ++i) {
    uint64_t seen = cells[i].load();
    const Place there = Place::from(seen);
    if ((seen == 0 || !is_current(there.segment, there.generation)) && cells[i].compare_exchange_strong(seen, cell)) place = &cells[i];
  }
  if (place == nullptr) return false;
  for (size_t i = 0; i < cache::ways; ++i) {
    const uint64_t other = cells[i].load();
    const Place there = Place::from(other);
    if (other == cell || other == 0 || there.tag != cache::tag_of(key) || there.segment >= segment_count) continue;
    pin(row_index, there.segment).fetch_add(1);
    const bool known = is_current(there.segment, there.generation) && record(there)->key == key;
    pin(row_index, there.segment).fetch_sub(1);
    if (known) return place->compare_exchange_strong(cell, 0), false;
  }
  return true;
}

bool CacheZone::Shared::is_sound(const Place& place) {
  const Record& record = *this->record(place);
  const uint64_t least = uint64_t{place.offset} + sizeof record;
  if (least > segment_bytes || record.head_bytes > max_head_bytes || record.pieces > segment_bytes / sizeof(cache::Piece)) return false;
  if (place.offset + record.bytes() > segment_bytes || cache::head_sum_of(record) != record.head_sum) return false;
  return std::all_of(record.piece(), record.piece() + record.pieces, [this](const cache::Piece& piece) {
    return piece.segment < segment_count && piece.bytes <= piece_bytes && uint64_t{piece.offset} + piece.bytes <= segment_bytes;
  });
}

// The asked-for mark is no part of this: who verifies does not ask.
CacheZone::Entry CacheZone::entry_of(std::atomic<uint64_t>& cell_place, uint64_t cell) {
  const Place place = Place::from(cell);
  const bool sound = shared_->is_sound(place);
  Entry entry;
  if (sound && shared_->pin_pieces(*shared_->record(place), self())) {
    entry.zone_ = this;
    entry.record_ = shared_->record(place);
    return entry;
  }
  if (cell_place.compare_exchange_strong(cell, 0)) (sound ? shared_->evicted : shared_->faulty).fetch_add(1);
  shared_->pin(self(), place.segment).fetch_sub(1);
  return entry;
}

CacheZone::Entry CacheZone::find(Key key) {
  uint64_t cell = 0;
  std::atomic<uint64_t>* place = shared_->find(key, self(), cell);
  if (place == nullptr) return {};
  Entry entry = entry_of(*place, cell);
  if (!entry) return entry;
  auto& asked = shared_->record(Place::from(cell))->asked;
  const uint32_t times = asked.load(std::memory_order_relaxed);
  if (times < cache::asked_most) asked.store(times + 1, std::memory_order_relaxed);
  return entry;
}

bool CacheZone::remove(Key key) {
  uint64_t cell = 0;
  std::atomic<uint64_t>* place = shared_->find(key, self(), cell);
  if (place == nullptr) return false;
  shared_->pin(self(), Place::from(cell).segment).fetch_sub(1);
  return place->compare_exchange_strong(cell, 0);
}

// ---------------------------------------------------------------- an entry

CacheZone::Entry::Entry(Entry&& other) noexcept : zone_(other.zone_), record_(other.record_) { other.zone_ = nullptr; }

CacheZone::Entry& CacheZone::Entry::operator=(Entry&& other) noexcept {
  std::swap(zone_, other.zone_);
  std::swap(record_, other.record_);
  return *this;
}

CacheZone::Entry::~Entry() {
  if (zone_ == nullptr) return;
  const auto& record = *static_cast<const Record*>(record_);
  zone_->shared_->unpin_pieces(record, zone_->self());
  zone_->shared_->pin(zone_->self(), zone_->shared_->index_of(record_)).fetch_sub(1);
}

std::string_view CacheZone::Entry::head() const {
  const auto& record = *static_cast<const Record*>(record_);
  return {record.head(), record.head_bytes};
}

uint64_t CacheZone::Entry::body_size() const { return static_cast<const Record*>(record_)->body_bytes; }

size_t CacheZone::Entry::pieces() const { return static_cast<const Record*>(record_)->pieces; }

std::string_view CacheZone::Entry::piece(size_t index) const {
  const cache::Piece& piece = static_cast<const Record*>(record_)->piece()[index];
  return {zone_->shared_->bytes(piece.segment) + piece.offset, piece.bytes};
}

uint64_t CacheZone::Entry::stamp() const { return static_cast<const Record*>(record_)->stamp; }

}  // namespace goma::core
