// SPDX-License-Identifier: Apache-2.0
//
// Writing into a cache zone. Every process fills a segment of its own, so appending takes no lock; only who needs
// another segment does, for as long as it takes to choose the oldest that nobody uses.
//
// What was asked for since it was written is copied out of the chosen segment and becomes the first that is written
// into it again. Where that leaves no room another segment is taken, and another, until it does or enough is enough:
// then what was asked for least gives way. So nothing has to be kept in reserve.
#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/cache_zone_shared.h"
#include "core/check.h"

namespace goma::core {

using cache::Chunk;
using cache::ChunkKind;
using cache::Piece;
using cache::Place;
using cache::Record;

namespace {

constexpr uint32_t least_piece = 512;  // less is not worth a chunk at the end of a segment

uint32_t align_up(uint64_t n) { return static_cast<uint32_t>((n + cache::chunk_align - 1) / cache::chunk_align * cache::chunk_align); }

uint32_t next_generation(uint32_t generation) { return (generation & 0xffff) == 0xffff ? generation + 2 : generation + 1; }

constexpr size_t most_taken = 8;  // segments at once

bool is_in(const Piece& piece, const Place& segment) { return piece.segment == segment.segment && (piece.generation & 0xffff) == (segment.generation & 0xffff); }

}  // namespace

// What a segment held that was asked for, while it is made empty.
struct cache::Carried {
  struct Held {
    uint32_t piece;
    std::string bytes;
  };
  uint64_t cell;            // that led to it
  std::string text;         // the record as it lay there
  std::vector<Held> held;   // pieces whose place has gone

  Record& record() { return *reinterpret_cast<Record*>(text.data()); }
  uint32_t asked() const { return reinterpret_cast<const Record*>(text.data())->asked.load(); }
  void hold(CacheZone::Shared& shared, const Place& gone) {
    for (uint32_t i = 0; i < record().pieces; ++i) {
      const Piece& piece = record().piece()[i];
      if (is_in(piece, gone)) held.push_back({i, std::string(shared.bytes(piece.segment) + piece.offset, piece.bytes)});
    }
  }
};

// ---------------------------------------------------------------- segments

std::array<bool, cache::rows> CacheZone::Shared::living() {
  std::array<bool, cache::rows> alive{};
  for (size_t i = 0; i < cache::rows; ++i) alive[i] = row_lives(i);
  return alive;
}

// A row that was free when it was looked at may have been taken since: then its pin counts as well.
bool CacheZone::Shared::is_pinned(size_t index, const std::array<bool, cache::rows>& living) {
  for (size_t i = 0; i < cache::rows; ++i) {
    if (pin(i, index).load() != 0 && (living[i] || row_lives(i))) return true;
  }
  return false;
}

// A process may have been killed between the two that say who fills what, and its row may name a segment that another
// process has taken since: so only segments that name the row are given up, and all of them.
void CacheZone::Shared::clear_row(size_t row_index) {
  for (size_t s = 0; s < segment_count; ++s) {
    pin(row_index, s).store(0);
    uint32_t owner = static_cast<uint32_t>(row_index) + 1;
    segment(s).owner.compare_exchange_strong(owner, 0);
  }
  row[row_index].fills.store(0);
}

bool CacheZone::Shared::choose_segment(size_t row_index, uint32_t& generation) {
  const cache::Hold hold(segments_lock);
  const std::array<bool, cache::rows> alive = living();
  cache::Row& mine = row[row_index];
  if (mine.fills.load() != 0) segment(mine.fills.load() - 1).owner.store(0);
  mine.fills.store(0);
  for (uint64_t above = 0, tried = 0; tried < segment_count; ++tried) {
    uint32_t chosen = 0;
    uint64_t lowest = UINT64_MAX;
    for (uint32_t i = 0; i < segment_count; ++i) {
      const uint32_t owner = segment(i).owner.load();
      const uint64_t rank = segment(i).order.load() * segment_count + i;  // those that were never taken: by their place
      if (rank >= above && rank < lowest && (owner == 0 || !(alive[owner - 1] || row_lives(owner - 1)))) lowest = rank, chosen = i;
    }
    if (lowest == UINT64_MAX) break;
    above = lowest + 1;
    cache::Segment& s = segment(chosen);
    generation = s.generation.load();
    s.generation.store(next_generation(generation));
    if (is_pinned(chosen, alive)) {
      s.generation.store(generation);
      continue;
    }
    s.owner.store(static_cast<uint32_t>(row_index) + 1);
    s.order.store(order.fetch_add(1) + 1);
    mine.fills.store(chosen + 1);
    return true;
  }
  return false;
}

bool CacheZone::Shared::take_segment(size_t row_index) {
  std::vector<cache::Carried> kept;
  bool taken = false;
  for (size_t left = std::clamp<size_t>(segment_count / 4, 1, most_taken); left != 0; --left) {
    uint32_t generation = 0;
    taken = choose_segment(row_index, generation);
    if (!taken) break;
    const uint32_t index = row[row_index].fills.load() - 1;
    std::atomic<uint64_t>& used = segment(index).used;
    collect(row_index, Place{index, generation, 0, 0}, used.exchange(cache::chunk_align), kept);
    put_back(row_index, kept, left == 1 ? segment_bytes / 2 : segment_bytes);
    if (kept.empty() && used.load() <= segment_bytes / 2) break;
  }
  evicted.fetch_add(kept.size());
  return taken;
}

// ---------------------------------------------------------------- what is kept

void CacheZone::Shared::collect(size_t row_index, const Place& gone, uint64_t used, std::vector<cache::Carried>& kept) {
  for (cache::Carried& one : kept) one.hold(*this, gone);
  const char* base = bytes(gone.segment);
  for (uint64_t at = cache::chunk_align; at + sizeof(Chunk) <= std::min<uint64_t>(used, segment_bytes);) {
    const auto& chunk = *reinterpret_cast<const Chunk*>(base + at);
    at = align_up(at + sizeof(Chunk) + chunk.bytes);
    if (chunk.tag != 0) collect_of(row_index, gone, chunk, kept);
  }
}

// The entry of a chunk, unless it is known already: what leads to it is taken away.
void CacheZone::Shared::collect_of(size_t row_index, const Place& gone, const Chunk& chunk, std::vector<cache::Carried>& kept) {
  std::atomic<uint64_t>* cells = bucket(Key{0, chunk.key_low});
  for (size_t i = 0; i < cache::ways; ++i) {
    uint64_t cell = cells[i].load();
    const Place place = Place::from(cell);
    if (cell == 0 || place.tag != chunk.tag || place.segment >= segment_count) continue;
    const bool here = place.segment == gone.segment && place.generation == (gone.generation & 0xffff);
    pin(row_index, place.segment).fetch_add(1);
    if ((here || is_current(place.segment, place.generation)) && is_sound(place)) {
      const Record& record = *this->record(place);
      const bool parts = std::any_of(record.piece(), record.piece() + record.pieces, [&gone](const Piece& piece) { return is_in(piece, gone); });
      if ((here || parts) && record.key.low == chunk.key_low && record.asked.load() != 0) {
        kept.push_back({cell, std::string(reinterpret_cast<const char*>(&record), record.bytes()), {}});
        kept.back().hold(*this, gone);
        cells[i].compare_exchange_strong(cell, 0);
      } else if ((here || parts) && cells[i].compare_exchange_strong(cell, 0)) {
        evicted.fetch_add(1);
      }
    }
    pin(row_index, place.segment).fetch_sub(1);
  }
}

void CacheZone::Shared::put_back(size_t row_index, std::vector<cache::Carried>& kept, uint64_t up_to) {
  std::stable_sort(kept.begin(), kept.end(), [](const cache::Carried& a, const cache::Carried& b) { return a.asked() > b.asked(); });
  std::erase_if(kept, [&](cache::Carried& one) { return put_back_one(row_index, one, up_to); });
}

bool CacheZone::Shared::takes(size_t row_index, uint64_t bytes, uint64_t up_to) {
  const cache::Segment& s = segment(row[row_index].fills.load() - 1);
  return align_up(s.used.load()) + sizeof(Chunk) + bytes <= up_to;
}

// Piece by piece, then the record; whoever stored the key anew meanwhile wins.
bool CacheZone::Shared::put_back_one(size_t row_index, cache::Carried& one, uint64_t up_to) {
  Record& record = one.record();
  const uint32_t index = row[row_index].fills.load() - 1;
  while (!one.held.empty()) {
    const cache::Carried::Held& held = one.held.back();
    const auto size = static_cast<uint32_t>(held.bytes.size());
    if (!takes(row_index, size, up_to)) return false;
    const uint32_t offset = chunk_here(row_index, ChunkKind::piece, size);
    std::memcpy(bytes(index) + offset, held.bytes.data(), size);
    record.piece()[held.piece] = {index, segment(index).generation.load(), offset, size};
    auto* chunk = reinterpret_cast<Chunk*>(bytes(index) + offset - sizeof(Chunk));
    chunk->tag = cache::tag_of(record.key), chunk->key_low = record.key.low;
    one.held.pop_back();
  }
  if (!takes(row_index, one.text.size(), up_to)) return false;
  const std::string_view head(record.head(), record.head_bytes);
  const uint64_t moved = write_record(row_index, record.key, record.piece(), record.pieces, head, record.body_bytes, record.body_sum, record.asked.load() / 2);
  GOMA_CHECK(moved != 0);
  if (insert_if_absent(record.key, moved, row_index)) carried.fetch_add(1);
  pin(row_index, index).fetch_sub(1);
  return true;
}

uint32_t CacheZone::Shared::chunk_here(size_t row_index, ChunkKind kind, uint32_t least) {
  const uint32_t fills = row[row_index].fills.load();
  if (fills == 0 || !takes(row_index, least, segment_bytes)) return 0;
  cache::Segment& s = segment(fills - 1);
  const uint32_t at = align_up(s.used.load());
  *reinterpret_cast<Chunk*>(bytes(fills - 1) + at) = {kind, 0, least, 0};
  s.used.store(uint64_t{at} + sizeof(Chunk) + least);
  return at + static_cast<uint32_t>(sizeof(Chunk));
}

uint32_t CacheZone::Shared::chunk(size_t row_index, ChunkKind kind, uint32_t least) {
  const uint32_t offset = chunk_here(row_index, kind, least);
  return offset != 0 || !take_segment(row_index) ? offset : chunk_here(row_index, kind, least);
}

uint64_t CacheZone::Shared::write_record(size_t row_index, Key key, const Piece* pieces, size_t count, std::string_view head, uint64_t body_bytes, uint64_t body_sum,
                                           uint32_t asked) {
  const size_t total = sizeof(Record) + count * sizeof(Piece) + head.size();
  if (head.size() > max_head_bytes || total > segment_bytes / 2 - 2 * sizeof(Chunk)) return 0;
  const uint32_t offset = chunk(row_index, ChunkKind::record, static_cast<uint32_t>(total));
  if (offset == 0) return 0;
  const uint32_t index = row[row_index].fills.load() - 1;
  pin(row_index, index).fetch_add(1);
  auto* record = reinterpret_cast<Record*>(bytes(index) + offset);
  auto* chunk = reinterpret_cast<Chunk*>(bytes(index) + offset - sizeof(Chunk));
  chunk->tag = cache::tag_of(key), chunk->key_low = key.low;
  record->key = key;
  record->stamp = stamp.fetch_add(1) + 1;
  record->body_bytes = body_bytes;
  record->body_sum = body_sum;
  record->pieces = static_cast<uint32_t>(count);
  record->head_bytes = static_cast<uint32_t>(head.size());
  record->asked.store(asked);
  record->reserved = 0;
  if (count != 0) std::memcpy(static_cast<void*>(record->piece()), pieces, count * sizeof(Piece));
  if (!head.empty()) std::memcpy(const_cast<char*>(record->head()), head.data(), head.size());
  record->head_sum = cache::head_sum_of(*record);
  return Place{index, segment(index).generation.load(), offset, cache::tag_of(key)}.cell();
}

// ---------------------------------------------------------------- a draft

namespace {

struct Writing {
  std::vector<Piece> pieces;
  uint64_t bytes = 0;
};

}  // namespace

static uint64_t body_sum(CacheZone::Layout& layout, const Writing& writing) {
  uint64_t state = 0;
  const char* base = reinterpret_cast<const char*>(&layout) + layout.bytes_at;
  for (const Piece& piece : writing.pieces) state = cache::sum(base + piece.segment * CacheZone::segment_bytes + piece.offset, piece.bytes, state);
  return state;
}

CacheZone::Draft CacheZone::begin() {
  Draft draft;
  if (shared_->row[self()].fills.load() == 0 && !shared_->take_segment(self())) {
    shared_->refused.fetch_add(1);
    return draft;
  }
  draft.zone_ = this;
  draft.writing_ = std::make_unique<Writing>().release();
  return draft;
}

CacheZone::Draft::Draft(Draft&& other) noexcept : zone_(std::exchange(other.zone_, nullptr)), writing_(std::exchange(other.writing_, nullptr)) {}

CacheZone::Draft& CacheZone::Draft::operator=(Draft&& other) noexcept {
  std::swap(zone_, other.zone_);
  std::swap(writing_, other.writing_);
  return *this;
}

CacheZone::Draft::~Draft() {
  if (zone_ == nullptr) return;
  const std::unique_ptr<Writing> writing(static_cast<Writing*>(writing_));
  for (const Piece& piece : writing->pieces) zone_->shared_->pin(zone_->self(), piece.segment).fetch_sub(1);
}

// A piece grows as long as it is the last in its segment; then another begins.
bool CacheZone::Draft::append(std::string_view data) {
  Shared& shared = *zone_->shared_;
  auto& writing = *static_cast<Writing*>(writing_);
  const size_t row = zone_->self();
  bool fits = writing.bytes + data.size() <= shared.segment_count * segment_bytes / 16;
  while (fits && !data.empty()) {
    const uint32_t fills = shared.row[row].fills.load();
    Piece* last = writing.pieces.empty() ? nullptr : &writing.pieces.back();
    const bool grows = last != nullptr && last->segment + 1 == fills && shared.is_current(last->segment, last->generation) && last->bytes < piece_bytes &&
                       shared.segment(last->segment).used.load() == uint64_t{last->offset} + last->bytes && uint64_t{last->offset} + last->bytes < segment_bytes;
    if (!grows) {
      const uint32_t offset = shared.chunk(row, ChunkKind::piece, static_cast<uint32_t>(std::min<size_t>(data.size(), least_piece)));
      if (offset == 0) break;
      const uint32_t index = shared.row[row].fills.load() - 1;
      shared.pin(row, index).fetch_add(1);
      shared.segment(index).used.store(offset);
      writing.pieces.push_back({index, shared.segment(index).generation.load(), offset, 0});
      last = &writing.pieces.back();
    }
    const size_t room = std::min<size_t>(piece_bytes - last->bytes, segment_bytes - last->offset - last->bytes);
    const size_t n = std::min(room, data.size());
    char* base = shared.bytes(last->segment);
    std::memcpy(base + last->offset + last->bytes, data.data(), n);
    last->bytes += static_cast<uint32_t>(n);
    reinterpret_cast<Chunk*>(base + last->offset - sizeof(Chunk))->bytes = last->bytes;
    shared.segment(last->segment).used.store(uint64_t{last->offset} + last->bytes);
    writing.bytes += n;
    data.remove_prefix(n);
  }
  if (data.empty()) return true;
  shared.refused.fetch_add(1);
  *this = Draft();
  return false;
}

uint64_t CacheZone::Draft::body_size() const { return writing_ != nullptr ? static_cast<const Writing*>(writing_)->bytes : 0; }

bool CacheZone::Draft::publish(Key key, std::string_view head) {
  const Draft gone = std::move(*this);
  Shared& shared = *gone.zone_->shared_;
  const auto& writing = *static_cast<const Writing*>(gone.writing_);
  const size_t row = gone.zone_->self();
  const uint64_t cell = shared.write_record(row, key, writing.pieces.data(), writing.pieces.size(), head, writing.bytes, body_sum(shared, writing), 0);
  if (cell == 0) {
    shared.refused.fetch_add(1);
    return false;
  }
  for (const Piece& piece : writing.pieces) {
    auto* chunk = reinterpret_cast<Chunk*>(shared.bytes(piece.segment) + piece.offset - sizeof(Chunk));
    chunk->tag = cache::tag_of(key), chunk->key_low = key.low;
  }
  shared.insert(key, cell, row);
  shared.pin(row, Place::from(cell).segment).fetch_sub(1);
  return true;
}

bool CacheZone::replace_head(Key key, const Entry& entry, std::string_view head) {
  const auto& old = *static_cast<const Record*>(entry.record_);
  uint64_t seen = 0;
  std::atomic<uint64_t>* place = shared_->find(key, self(), seen);
  if (place == nullptr) return false;
  const bool same = shared_->record(Place::from(seen)) == &old;
  shared_->pin(self(), Place::from(seen).segment).fetch_sub(1);
  if (!same) return false;
  const uint64_t cell = shared_->write_record(self(), key, old.piece(), old.pieces, head, old.body_bytes, old.body_sum, old.asked.load());
  if (cell == 0) return false;
  const bool replaced = place->compare_exchange_strong(seen, cell);
  shared_->pin(self(), Place::from(cell).segment).fetch_sub(1);
  return replaced;
}

}  // namespace goma::core
