// SPDX-License-Identifier: Apache-2.0
//
// One pass over the fields of a message. A value is looked at for control bytes and copied only when it has one.
#include "http/h2_fields.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "core/scan.h"
#include "core/text.h"
#include "http/h1_parser.h"

namespace goma::http {

namespace {

constexpr std::string_view names[] = {
    "",
#define GOMA_HEADER(id, name, trailer) name,
#include "http/header_names.def"
#undef GOMA_HEADER
};

constexpr size_t longest_name = 32;

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

constexpr auto make_lower_names() {
  std::array<std::array<char, longest_name>, std::size(names)> table{};
  for (size_t i = 0; i < std::size(names); ++i) {
    for (size_t n = 0; n < names[i].size(); ++n) table[i][n] = lower(names[i][n]);
  }
  return table;
}

constexpr auto lower_names = make_lower_names();

bool stays_behind(const Header& field) {
  switch (field.id) {
    case HeaderId::connection:
    case HeaderId::content_length:
    case HeaderId::host:
    case HeaderId::http2_settings:
    case HeaderId::keep_alive:
    case HeaderId::proxy_connection:
    case HeaderId::transfer_encoding:
    case HeaderId::upgrade: return true;
    case HeaderId::te: return !core::iequals(field.value, "trailers");
    default: return false;
  }
}

// Empty when it is no token.
std::string_view lower_name(core::Arena& arena, std::string_view name) {
  if (!std::all_of(name.begin(), name.end(), is_token_char)) return {};
  if (std::none_of(name.begin(), name.end(), [](char c) { return c >= 'A' && c <= 'Z'; })) return name;
  char* copy = arena.array<char>(name.size());
  std::transform(name.begin(), name.end(), copy, lower);
  return {copy, name.size()};
}

// As in HTTP/1: a control byte becomes a blank.
std::string_view clean_value(core::Arena& arena, std::string_view value) {
  const char* const end = value.data() + value.size();
  if (core::find_control(value.data(), end) == end) return value;
  char* copy = arena.array<char>(value.size());
  std::transform(value.begin(), value.end(), copy, [](char c) { return core::is_control(c) ? ' ' : c; });
  return core::trim({copy, value.size()});
}

// What differs in every message would only push useful entries out of the peer's table.
bool is_unique(HeaderId id) { return id == HeaderId::x_goma_request_id || id == HeaderId::x_request_id; }

uint8_t* bytes(std::string_view text) { return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data())); }

}  // namespace

void H2Fields::put(std::string_view name, std::string_view value, uint8_t flags) {
  constexpr uint8_t in_place = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE;
  list_[size_++] = {bytes(name), bytes(value), name.size(), value.size(), static_cast<uint8_t>(in_place | flags)};
}

void H2Fields::add(std::string_view name, std::string_view value) { put(name, value, 0); }

void H2Fields::add(const Headers& headers) {
  for (const Header& field : headers) {
    if (stays_behind(field)) continue;
    const bool known = field.id != HeaderId::other;
    const size_t id = static_cast<size_t>(field.id);
    const std::string_view name = known ? std::string_view(lower_names[id].data(), names[id].size()) : lower_name(arena_, field.name);
    if (name.empty()) continue;
    put(name, clean_value(arena_, field.value), is_unique(field.id) ? NGHTTP2_NV_FLAG_NO_INDEX : 0);
  }
}

std::string_view decimal(core::Arena& arena, uint64_t number) {
  constexpr size_t most = 20;
  char* const text = arena.array<char>(most);
  size_t at = most;
  do {
    text[--at] = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number != 0);
  return {text + at, most - at};
}

}  // namespace goma::http
