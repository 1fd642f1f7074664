// SPDX-License-Identifier: Apache-2.0
//
// The form of a head: Form, then keys of tags, then a FieldForm per field, then the text. Nothing is aligned, so all of
// it is copied in and out.
#include "http/stored_response.h"

#include <cstring>

namespace goma::http {

namespace {

// Numbers of field names are part of the form: it is another one when the list of names is.
constexpr uint64_t fingerprint() {
  uint64_t hash = 0xcbf29ce484222325;
  const auto add = [&hash](std::string_view text) {
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  };
  add("goma stored response 3;");
#define GOMA_HEADER(id, name, trailer) add(name), add(";");
#include "http/header_names.def"
#undef GOMA_HEADER
  return hash;
}

constexpr uint64_t form = fingerprint();

constexpr unsigned must_revalidate_flag = 1, for_anyone_flag = 2;

struct HeadForm {
  uint64_t form;
  int64_t stored_ms;
  uint64_t purge;
  int64_t age_s, lifetime_s, while_revalidate_s, if_error_s;
  uint64_t number;
  uint32_t kind;
  uint16_t status;
  uint16_t flags;
  uint16_t fields;
  uint16_t tags;
  uint32_t text_bytes;
};

struct FieldForm {
  uint32_t name_at;  // in the text; the value follows
  uint16_t name_bytes;
  uint16_t value_bytes;
  uint32_t id;
};

static_assert(core::CacheZone::max_head_bytes <= UINT16_MAX + size_t{1});

template <class T>
T load(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

size_t tags_at() { return sizeof(HeadForm); }
size_t fields_at(size_t tags) { return tags_at() + tags * sizeof(StoreKey); }
size_t text_at(size_t tags, size_t fields) { return fields_at(tags) + fields * sizeof(FieldForm); }

HeadForm form_of(const StoredFacts& facts) {
  HeadForm f{};
  f.form = form;
  f.stored_ms = facts.stored_ms;
  f.purge = facts.purge;
  f.age_s = facts.freshness.age_s;
  f.lifetime_s = facts.freshness.lifetime_s;
  f.while_revalidate_s = facts.freshness.stale_while_revalidate_s;
  f.if_error_s = facts.freshness.stale_if_error_s;
  f.flags = static_cast<uint16_t>((facts.freshness.must_revalidate ? must_revalidate_flag : 0) | (facts.freshness.for_anyone ? for_anyone_flag : 0));
  f.number = facts.number;
  f.kind = static_cast<uint32_t>(facts.kind);
  f.status = static_cast<uint16_t>(facts.status);
  return f;
}

StoredFacts facts_of(const HeadForm& f) {
  StoredFacts facts;
  facts.kind = static_cast<StoredKind>(f.kind);
  facts.status = f.status;
  facts.stored_ms = f.stored_ms;
  facts.purge = f.purge;
  facts.freshness = {f.age_s, f.lifetime_s, f.while_revalidate_s, f.if_error_s, (f.flags & must_revalidate_flag) != 0, (f.flags & for_anyone_flag) != 0};
  facts.number = f.number;
  return facts;
}

// Whether every field lies inside the text.
bool fields_fit(const char* head, const HeadForm& f) {
  const char* at = head + fields_at(f.tags);
  for (size_t i = 0; i < f.fields; ++i, at += sizeof(FieldForm)) {
    const auto field = load<FieldForm>(at);
    if (uint64_t{field.name_at} + field.name_bytes + field.value_bytes > f.text_bytes || field.id > 63) return false;
  }
  return true;
}

}  // namespace

std::string_view encode_stored(core::Arena& arena, const StoredFacts& facts, const Headers& fields, std::span<const StoreKey> tags) {
  HeadForm f = form_of(facts);
  size_t text = 0;
  for (const Header& h : fields) text += h.name.size() + h.value.size();
  const size_t total = text_at(tags.size(), fields.size()) + text;
  if (total > core::CacheZone::max_head_bytes) return {};
  f.fields = static_cast<uint16_t>(fields.size());
  f.tags = static_cast<uint16_t>(tags.size());
  f.text_bytes = static_cast<uint32_t>(text);
  char* head = static_cast<char*>(arena.allocate(total, 1));
  std::memcpy(head, &f, sizeof f);
  if (!tags.empty()) std::memcpy(head + tags_at(), tags.data(), tags.size_bytes());
  char* form_out = head + fields_at(tags.size());
  char* const text_begin = head + text_at(tags.size(), fields.size());
  char* out = text_begin;
  for (const Header& h : fields) {
    const FieldForm field{static_cast<uint32_t>(out - text_begin), static_cast<uint16_t>(h.name.size()), static_cast<uint16_t>(h.value.size()),
                          static_cast<uint32_t>(h.id)};
    std::memcpy(form_out, &field, sizeof field);
    form_out += sizeof field;
    if (!h.name.empty()) std::memcpy(out, h.name.data(), h.name.size());
    out += h.name.size();
    if (!h.value.empty()) std::memcpy(out, h.value.data(), h.value.size());
    out += h.value.size();
  }
  return {head, total};
}

bool StoredResponse::open(core::CacheZone::Entry& entry) {
  const std::string_view head = entry.head();
  if (head.size() < sizeof(HeadForm)) return false;
  const auto f = load<HeadForm>(head.data());
  const auto kind = static_cast<StoredKind>(f.kind);
  const bool known = f.kind <= static_cast<uint32_t>(StoredKind::change) && f.status <= 599 && (f.status >= 200 || kind != StoredKind::response);
  if (!known || f.form != form || text_at(f.tags, f.fields) + f.text_bytes != head.size() || !fields_fit(head.data(), f)) return false;
  facts_ = facts_of(f);
  fields_ = f.fields;
  tags_ = f.tags;
  entry_ = std::move(entry);
  return true;
}

std::span<const StoreKey> StoredResponse::copy_tags(core::Arena& arena) const {
  if (tags_ == 0) return {};
  auto* tags = static_cast<StoreKey*>(arena.allocate(tags_ * sizeof(StoreKey), alignof(StoreKey)));
  std::memcpy(tags, entry_.head().data() + tags_at(), tags_ * sizeof(StoreKey));
  return {tags, tags_};
}

void StoredResponse::copy_fields(Headers& into) const {
  const char* head = entry_.head().data();
  const char* at = head + fields_at(tags_);
  const char* text = head + text_at(tags_, fields_);
  into.reserve(into.size() + fields_ + 8);
  for (size_t i = 0; i < fields_; ++i, at += sizeof(FieldForm)) {
    const auto field = load<FieldForm>(at);
    const char* name = text + field.name_at;
    into.add(static_cast<HeaderId>(field.id), {name, field.name_bytes}, {name + field.name_bytes, field.value_bytes});
  }
}

}  // namespace goma::http
