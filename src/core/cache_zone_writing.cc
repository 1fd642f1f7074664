// SPDX-License-Identifier: Apache-2.0
//
// Writing into a cache zone. Every process fills a segment of its own, so appending takes no lock; only who needs
// another segment does, for as long as it takes to choose the oldest that nobody uses.
//
// What was asked for since it was written is copied out of the chosen segment and becomes the first that is written
// into it again, up to half of it: so nothing has to be kept in reserve.
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

uint16_t tag_of(CacheZone::Key key) { return static_cast<uint16_t>(key.high | 1); }

// What a segment held that was asked for, while it is made empty.
struct Carried {
  CacheZone::Key key;
  uint64_t cell;
  std::string record;             // as it lay there
  std::vector<std::string> bytes;  // of its pieces in the same segment, in order
};

uint32_t next_generation(uint32_t generation) { return (generation & 0xffff) == 0xffff ? generation + 2 : generation + 1; }

}  // namespace

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

bool CacheZone::Shared::take_segment(size_t row_index) {
  uint32_t chosen = 0, generation = 0;
  {
    const cache::Hold hold(segments_lock);
    const std::array<bool, cache::rows> alive = living();
    cache::Row& mine = row[row_index];
    if (mine.fills.load() != 0) segment(mine.fills.load() - 1).owner.store(0);
    mine.fills.store(0);
    bool found = false;
    for (uint64_t above = 0, tried = 0; !found && tried < segment_count; ++tried) {
      uint64_t lowest = UINT64_MAX;
      for (uint32_t i = 0; i < segment_count; ++i) {
        const cache::Segment& s = segment(i);
        const uint32_t owner = s.owner.load();
        const uint64_t rank = s.order.load() * segment_count + i;  // those that were never taken: by their place
        if (rank >= above && rank < lowest && (owner == 0 || !(alive[owner - 1] || row_lives(owner - 1)))) lowest = rank, chosen = i;
      }
      if (lowest == UINT64_MAX) break;
      above = lowest + 1;
      cache::Segment& s = segment(chosen);
      generation = s.generation.load();
      s.generation.store(next_generation(generation));
      found = !is_pinned(chosen, alive);
      if (!found) s.generation.store(generation);
    }
    if (!found) return false;
    cache::Segment& s = segment(chosen);
    s.owner.store(static_cast<uint32_t>(row_index) + 1);
    s.order.store(order.fetch_add(1) + 1);
    mine.fills.store(chosen + 1);
  }
  const uint64_t used = segment(chosen).used.exchange(cache::chunk_align);
  carry(row_index, chosen, generation, used);
  return true;
}

// The records of a segment that is being given up: those that are asked for go on in it, the others are gone.
void CacheZone::Shared::carry(size_t row_index, uint32_t index, uint32_t generation, uint64_t used) {
  std::vector<Carried> kept;
  size_t room = segment_bytes / 2;
  const char* base = bytes(index);
  for (uint64_t at = cache::chunk_align; at + sizeof(Chunk) + sizeof(Record) <= std::min<uint64_t>(used, segment_bytes);) {
    const auto& chunk = *reinterpret_cast<const Chunk*>(base + at);
    const auto offset = static_cast<uint32_t>(at + sizeof(Chunk));
    at = align_up(offset + uint64_t{chunk.bytes});
    if (chunk.kind != ChunkKind::record || chunk.bytes < sizeof(Record) || offset + uint64_t{chunk.bytes} > segment_bytes) continue;
    const auto& record = *reinterpret_cast<const Record*>(base + offset);
    const uint64_t cell = Place{index, generation, offset, tag_of(record.key)}.cell();
    std::atomic<uint64_t>* cells = bucket(record.key);
    const bool known = std::any_of(cells, cells + cache::ways, [cell](const std::atomic<uint64_t>& c) { return c.load() == cell; });
    if (!known || record.bytes() > chunk.bytes) continue;
    Carried one{record.key, cell, std::string(reinterpret_cast<const char*>(&record), record.bytes()), {}};
    size_t size = one.record.size() + 2 * sizeof(Chunk);
    bool whole = record.asked.load() != 0;
    for (uint32_t i = 0; i < record.pieces && whole; ++i) {
      const Piece& piece = record.piece()[i];
      const bool here = piece.segment == index && (piece.generation & 0xffff) == (generation & 0xffff);
      whole = (here && uint64_t{piece.offset} + piece.bytes <= segment_bytes) || (!here && is_current(piece.segment, piece.generation));
      if (whole && here) one.bytes.emplace_back(base + piece.offset, piece.bytes);
      if (whole && here) size += piece.bytes + 2 * sizeof(Chunk);
    }
    if (!whole || size > room) {
      evicted.fetch_add(1);
      continue;
    }
    room -= size;
    kept.push_back(std::move(one));
  }
  for (Carried& one : kept) {
    auto* record = reinterpret_cast<Record*>(one.record.data());
    size_t next = 0;
    for (uint32_t i = 0; i < record->pieces; ++i) {
      Piece& piece = record->piece()[i];
      if (piece.segment != index || (piece.generation & 0xffff) != (generation & 0xffff)) continue;
      const std::string& text = one.bytes[next++];
      const uint32_t offset = this->chunk(row_index, ChunkKind::piece, static_cast<uint32_t>(text.size()));
      GOMA_CHECK(offset != 0);
      std::memcpy(bytes(index) + offset, text.data(), text.size());
      piece = {index, segment(index).generation.load(), offset, static_cast<uint32_t>(text.size())};
    }
    const std::string_view head(record->head(), record->head_bytes);
    const uint64_t moved = write_record(row_index, one.key, record->piece(), record->pieces, head, record->body_bytes, record->body_sum);
    GOMA_CHECK(moved != 0);
    std::atomic<uint64_t>* cells = bucket(one.key);
    for (size_t i = 0; i < cache::ways; ++i) {
      uint64_t old = one.cell;
      if (cells[i].compare_exchange_strong(old, moved)) break;
    }
    pin(row_index, index).fetch_sub(1);
    carried.fetch_add(1);
  }
}

uint32_t CacheZone::Shared::chunk(size_t row_index, ChunkKind kind, uint32_t least) {
  for (int attempt = 0; attempt < 2; ++attempt) {
    const uint32_t fills = row[row_index].fills.load();
    if (fills != 0) {
      cache::Segment& s = segment(fills - 1);
      const uint32_t at = align_up(s.used.load());
      if (uint64_t{at} + sizeof(Chunk) + least <= segment_bytes) {
        *reinterpret_cast<Chunk*>(bytes(fills - 1) + at) = {kind, least, 0};
        s.used.store(uint64_t{at} + sizeof(Chunk) + least);
        return at + static_cast<uint32_t>(sizeof(Chunk));
      }
    }
    if (attempt != 0 || !take_segment(row_index)) break;
  }
  return 0;
}

uint64_t CacheZone::Shared::write_record(size_t row_index, Key key, const Piece* pieces, size_t count, std::string_view head, uint64_t body_bytes, uint64_t body_sum) {
  const size_t total = sizeof(Record) + count * sizeof(Piece) + head.size();
  if (head.size() > max_head_bytes || total > segment_bytes / 2) return 0;
  const uint32_t offset = chunk(row_index, ChunkKind::record, static_cast<uint32_t>(total));
  if (offset == 0) return 0;
  const uint32_t index = row[row_index].fills.load() - 1;
  pin(row_index, index).fetch_add(1);
  auto* record = reinterpret_cast<Record*>(bytes(index) + offset);
  record->key = key;
  record->stamp = stamp.fetch_add(1) + 1;
  record->body_bytes = body_bytes;
  record->body_sum = body_sum;
  record->pieces = static_cast<uint32_t>(count);
  record->head_bytes = static_cast<uint32_t>(head.size());
  record->asked.store(0);
  record->reserved = 0;
  if (count != 0) std::memcpy(static_cast<void*>(record->piece()), pieces, count * sizeof(Piece));
  if (!head.empty()) std::memcpy(const_cast<char*>(record->head()), head.data(), head.size());
  record->head_sum = cache::head_sum_of(*record);
  return Place{index, segment(index).generation.load(), offset, tag_of(key)}.cell();
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
  const uint64_t cell = shared.write_record(row, key, writing.pieces.data(), writing.pieces.size(), head, writing.bytes, body_sum(shared, writing));
  if (cell == 0) {
    shared.refused.fetch_add(1);
    return false;
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
  const uint64_t cell = shared_->write_record(self(), key, old.piece(), old.pieces, head, old.body_bytes, old.body_sum);
  if (cell == 0) return false;
  const bool replaced = place->compare_exchange_strong(seen, cell);
  shared_->pin(self(), Place::from(cell).segment).fetch_sub(1);
  return replaced;
}

}  // namespace goma::core
