// SPDX-License-Identifier: Apache-2.0
//
// Finding the number of a name: its first and last four letters and its length are hashed into a table without collisions, whose
// multiplier the compiler searches; one comparison then decides.
#include "http/headers.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/text.h"

namespace goma::http {

namespace {

constexpr std::string_view names[] = {
    "",
#define GOMA_HEADER(id, name, trailer) name,
#include "http/header_names.def"
#undef GOMA_HEADER
};
constexpr bool trailers_allowed[] = {
    true,
#define GOMA_HEADER(id, name, trailer) trailer,
#include "http/header_names.def"
#undef GOMA_HEADER
};
static_assert(std::size(names) <= 64, "the set of present names is one word");

constexpr unsigned hash_bits = 10;

// Four letters as one number; setting a bit is cheaper than lower case and does as well.
constexpr uint64_t letters(const char* at) {
  const auto byte = [at](int i) { return static_cast<uint32_t>(static_cast<unsigned char>(at[i])); };
  return (byte(0) | byte(1) << 8 | byte(2) << 16 | byte(3) << 24) | 0x20202020U;  // one load
}

// Requires: name has at least two letters.
constexpr size_t slot_of(std::string_view name, uint64_t multiplier) {
  const size_t n = name.size();
  uint64_t key = n;
  if (n >= 4) key += letters(name.data()) | letters(name.data() + n - 4) << 32;
  else key += static_cast<uint64_t>((name[0] | 0x20) << 8 | (name[1] | 0x20));
  return static_cast<size_t>((key * multiplier) >> (64 - hash_bits));
}

struct Table {
  uint64_t multiplier = 0;
  std::array<uint8_t, 1U << hash_bits> ids{};
};

constexpr bool fill(Table& table) {
  table.ids.fill(0);
  for (size_t i = 1; i < std::size(names); ++i) {
    uint8_t& slot = table.ids[slot_of(names[i], table.multiplier)];
    if (slot != 0) return false;
    slot = static_cast<uint8_t>(i);
  }
  return true;
}

constexpr Table make_table() {
  Table table;
  table.multiplier = 0x9E3779B97F4A7C15;
  while (!fill(table)) table.multiplier = table.multiplier * 6364136223846793005 + 2;
  return table;
}

constexpr Table table = make_table();

template <class Word>
Word load(const char* at) {
  Word word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

// Whether the words are the same but for the case of letters. `known` holds letters, digits and '-': of these only
// letters have bit 0x40, and bit 0x20 is what tells their case.
template <class Word>
bool same_word(const char* known, const char* text) {
  constexpr Word case_bits = static_cast<Word>(0x2020202020202020);
  const Word k = load<Word>(known);
  return ((k ^ load<Word>(text)) & ~(k >> 1 & case_bits)) == 0;
}

// The same for names of one length; words may overlap.
bool same_name(const char* known, const char* text, size_t n) {
  if (n < 4) return core::iequals({known, n}, {text, n});
  if (n < 8) return same_word<uint32_t>(known, text) && same_word<uint32_t>(known + n - 4, text + n - 4);
  size_t at = 0;
  for (; n - at > 8; at += 8) {
    if (!same_word<uint64_t>(known + at, text + at)) return false;
  }
  return same_word<uint64_t>(known + n - 8, text + n - 8);
}

}  // namespace

HeaderId header_id(std::string_view name) {
  if (name.size() < 2) return HeaderId::other;
  const uint8_t id = table.ids[slot_of(name, table.multiplier)];
  const std::string_view known = names[id];
  const bool same = known.size() == name.size() && same_name(known.data(), name.data(), name.size());
  return same ? static_cast<HeaderId>(id) : HeaderId::other;
}

std::string_view header_name(HeaderId id) { return names[static_cast<size_t>(id)]; }

bool allowed_in_trailers(HeaderId id) { return trailers_allowed[static_cast<size_t>(id)]; }

Headers& Headers::operator=(const Headers& other) {
  if (this != &other) copy(other);
  return *this;
}

// The views are shared, the list is not.
void Headers::copy(const Headers& other) {
  used_ = live_ = 0;
  text_bytes_ = 0;
  present_ = 0;
  reserve(other.live_);
  for (const Header& h : other) add(h.id, h.name, h.value);
}

void Headers::take(Headers& other) {
  list_ = other.list_;
  used_ = other.used_;
  capacity_ = other.capacity_;
  live_ = other.live_;
  text_bytes_ = other.text_bytes_;
  present_ = other.present_;
  other.list_ = nullptr;
  other.used_ = other.capacity_ = other.live_ = 0;
  other.text_bytes_ = 0;
  other.present_ = 0;
}

void Headers::reserve(size_t n) {
  if (n > capacity_) grow(n);
}

void Headers::grow(size_t need) {
  const size_t capacity = std::max<size_t>({need, size_t{capacity_} * 2, 12});
  Header* list = arena_->array<Header>(capacity);
  std::copy_n(list_, used_, list);
  list_ = list;
  capacity_ = static_cast<uint32_t>(capacity);
}

bool Headers::is(const Header& header, HeaderId id, std::string_view name) {
  return header.id == id && !header.removed && (id != HeaderId::other || core::iequals(header.name, name));
}

const Header* Headers::find(HeaderId id, std::string_view name) const {
  if ((present_ & bit(id)) == 0) return nullptr;
  for (const Header* h = list_; h != list_ + used_; ++h) {
    if (is(*h, id, name)) return h;
  }
  return nullptr;
}

const Header* Headers::find(std::string_view name) const { return find(header_id(name), name); }

void Headers::set(HeaderId id, std::string_view name, std::string_view value) {
  auto* first = const_cast<Header*>(find(id, name));
  if (first == nullptr) {
    add(id, name, value);
    return;
  }
  first->value = value;
  text_bytes_ += value.size();
  for (Header* h = first + 1; h != list_ + used_; ++h) {
    if (!is(*h, id, name)) continue;
    h->removed = true;
    --live_;
  }
}

void Headers::set(std::string_view name, std::string_view value) { set(header_id(name), name, value); }

size_t Headers::remove(HeaderId id, std::string_view name) {
  if ((present_ & bit(id)) == 0) return 0;
  size_t removed = 0;
  for (Header* h = list_; h != list_ + used_; ++h) {
    if (!is(*h, id, name)) continue;
    h->removed = true;
    ++removed;
  }
  live_ -= static_cast<uint32_t>(removed);
  if (id != HeaderId::other) present_ &= ~bit(id);
  return removed;
}

void Headers::remove_set(uint64_t bits) {
  for (Header* h = list_; h != list_ + used_; ++h) {
    if (h->removed || h->id == HeaderId::other || (bits & bit(h->id)) == 0) continue;
    h->removed = true;
    --live_;
  }
  present_ &= ~bits;
}

size_t Headers::remove(std::string_view name) { return remove(header_id(name), name); }

void Headers::remove(const Header& field) {
  list_[&field - list_].removed = true;
  --live_;
  if (field.id != HeaderId::other && count(field.id) == 0) present_ &= ~bit(field.id);
}

size_t Headers::count(HeaderId id) const {
  if ((present_ & bit(id)) == 0) return 0;
  return static_cast<size_t>(std::count_if(list_, list_ + used_, [&](const Header& h) { return h.id == id && !h.removed; }));
}

}  // namespace goma::http
