// SPDX-License-Identifier: Apache-2.0
//
// The fields of one message (RFC 9110 5), in the order they came, duplicates kept. Names that goma knows carry a
// small number; a word of bits says which numbers are present, so asking for an absent field costs one test.
//
// Names and values are views: whoever adds a field guarantees that its text lives as long as the arena. Removing
// marks; nothing moves, so a field may be removed while the list is walked. Adding while walking is not allowed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "core/arena.h"

namespace goma::http {

enum class HeaderId : uint8_t {
  other,  // a name without a number
#define GOMA_HEADER(id, name, trailer) id,
#include "http/header_names.def"
#undef GOMA_HEADER
};

// The number of a field name, whatever its case; `other` when it has none.
HeaderId header_id(std::string_view name);
// The canonical spelling; empty for `other`.
std::string_view header_name(HeaderId id);
// Whether a field of this number may stand in a trailer section (RFC 9110 6.5.1). True for `other`.
bool allowed_in_trailers(HeaderId id);

struct Header {
  std::string_view name;   // as received or as set
  std::string_view value;  // without white space at the ends
  HeaderId id;
  bool removed;
};

// Some of the numbered names.
class HeaderSet {
 public:
  constexpr HeaderSet(std::initializer_list<HeaderId> ids) {
    for (const HeaderId id : ids) add(id);
  }
  constexpr void add(HeaderId id) { bits_ |= uint64_t{1} << static_cast<unsigned>(id); }
  constexpr bool has(HeaderId id) const { return (bits_ >> static_cast<unsigned>(id) & 1) != 0; }

 private:
  friend class Headers;
  uint64_t bits_ = 0;
};

class Headers {
 public:
  explicit Headers(core::Arena& arena) : arena_(&arena) {}
  Headers(const Headers& other) : arena_(other.arena_) { copy(other); }
  Headers& operator=(const Headers& other);

  // Room for n fields without growing.
  void reserve(size_t n);
  // Appends a field. `id` must be header_id(name).
  void add(HeaderId id, std::string_view name, std::string_view value) {
    if (used_ == capacity_) grow(used_ + 1);
    list_[used_++] = Header{name, value, id, false};
    present_ |= bit(id);
    ++live_;
    text_bytes_ += name.size() + value.size();
  }
  void add(HeaderId id, std::string_view value) { add(id, header_name(id), value); }
  void add(std::string_view name, std::string_view value) { add(header_id(name), name, value); }

  // The first field of that name, or null.
  const Header* find(HeaderId id) const { return (present_ & bit(id)) == 0 ? nullptr : find(id, header_name(id)); }
  const Header* find(std::string_view name) const;
  // The value of the first field of that name; empty when there is none.
  std::string_view get(HeaderId id) const {
    const Header* header = find(id);
    return header != nullptr ? header->value : std::string_view();
  }
  // Whether there is a field of one of these names.
  bool has_any(const HeaderSet& names) const { return (present_ & names.bits_) != 0; }
  // One field of that name with that value: the first keeps its place, further ones are removed.
  void set(HeaderId id, std::string_view value) {
    if ((present_ & bit(id)) == 0) add(id, header_name(id), value);
    else set(id, header_name(id), value);
  }
  void set(std::string_view name, std::string_view value);
  // Removes all fields of that name; how many there were.
  size_t remove(HeaderId id) { return (present_ & bit(id)) == 0 ? 0 : remove(id, header_name(id)); }
  // Removes all fields of these names.
  void remove(const HeaderSet& names) {
    if ((present_ & names.bits_) != 0) remove_set(names.bits_);
  }
  size_t remove(std::string_view name);
  // Removes this one, which is of this list.
  void remove(const Header& field);
  size_t count(HeaderId id) const;
  // The fields that were not removed.
  size_t size() const { return live_; }
  // Bytes that are enough for all fields as lines of HTTP/1.1. What was removed still counts.
  size_t room() const { return text_bytes_ + used_ * size_t{4}; }
  // Takes over the fields of another list of the same arena, which is empty afterwards. What was here is gone.
  void take(Headers& other);

  class Iterator {
   public:
    Iterator(const Header* at, const Header* end) : at_(at), end_(end) { skip(); }
    const Header& operator*() const { return *at_; }
    const Header* operator->() const { return at_; }
    Iterator& operator++() {
      ++at_;
      skip();
      return *this;
    }
    bool operator!=(const Iterator& other) const { return at_ != other.at_; }

   private:
    void skip() {
      while (at_ != end_ && at_->removed) ++at_;
    }
    const Header* at_;
    const Header* end_;
  };
  Iterator begin() const { return Iterator(list_, list_ + used_); }
  Iterator end() const { return Iterator(list_ + used_, list_ + used_); }

 private:
  static uint64_t bit(HeaderId id) { return uint64_t{1} << static_cast<unsigned>(id); }
  // Whether the entry is a live field of that name. Requires: id == header_id(name).
  static bool is(const Header& header, HeaderId id, std::string_view name);
  const Header* find(HeaderId id, std::string_view name) const;
  void set(HeaderId id, std::string_view name, std::string_view value);
  size_t remove(HeaderId id, std::string_view name);
  void remove_set(uint64_t bits);
  void grow(size_t need);
  void copy(const Headers& other);

  core::Arena* arena_;
  Header* list_ = nullptr;
  uint32_t used_ = 0;
  uint32_t capacity_ = 0;
  uint32_t live_ = 0;
  size_t text_bytes_ = 0;  // of all names and values that were given
  uint64_t present_ = 0;  // one bit per HeaderId; a clear bit: no such field
};

}  // namespace goma::http
