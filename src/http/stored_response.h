// SPDX-License-Identifier: Apache-2.0
//
// A response as it lies in the response store: a head made to be read in place, with the fields as offsets into one
// text, and the body in pieces. What answers a request are views into the store; nothing is copied.
//
// Beside responses the store keeps notes that have only a head: by which request fields the responses of a URL differ
// (variants), that asking for something has failed (failure), and that it was changed while it was asked for (change).
//
// The invariant: a head is checked against its own length before any of it is used, and one that another version of
// goma wrote is no head at all.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "core/arena.h"
#include "core/cache_zone.h"
#include "http/exchange.h"
#include "http/freshness.h"
#include "http/headers.h"

namespace goma::http {

using StoreKey = core::CacheZone::Key;

enum class StoredKind : uint32_t { response, variants, failure, change };

// What is known of an entry besides its fields.
struct StoredFacts {
  StoredKind kind = StoredKind::response;
  int status = 0;
  int64_t stored_ms = 0;  // wall clock; when it was received or last validated
  uint64_t purge = 0;     // the number of the last purge that was known when the backend was asked (core/purge.h)
  Freshness freshness;
  uint64_t number = 0;    // variants: another one for every list, so that a new one does not find what an old one led to
};

// A head for core::CacheZone::Draft::publish, in the arena; empty when the fields are too many or too long.
std::string_view encode_stored(core::Arena& arena, const StoredFacts& facts, const Headers& fields, std::span<const StoreKey> tags);

class StoredResponse final : public PlacedBody {
 public:
  // Takes the entry if its head can be read; false: it stays where it is.
  bool open(core::CacheZone::Entry& entry);

  const StoredFacts& facts() const { return facts_; }
  const core::CacheZone::Entry& entry() const { return entry_; }
  // The keys of its tags, in the arena.
  std::span<const StoreKey> copy_tags(core::Arena& arena) const;
  // Adds all fields, as views that live as long as this does.
  void copy_fields(Headers& into) const;

  uint64_t size() const override { return entry_.body_size(); }
  size_t pieces() const override { return entry_.pieces(); }
  std::string_view piece(size_t index) const override { return entry_.piece(index); }

 private:
  core::CacheZone::Entry entry_;
  StoredFacts facts_;
  size_t fields_ = 0;
  size_t tags_ = 0;
};

}  // namespace goma::http
