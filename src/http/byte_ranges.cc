// SPDX-License-Identifier: Apache-2.0
//
// Numbers out of a field, and views into a body.
#include "http/byte_ranges.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "core/text.h"
#include "http/cache_control.h"
#include "http/http_date.h"

namespace goma::http {

namespace {

// Digits; what is larger than any body counts as the largest number.
std::optional<uint64_t> parse_position(std::string_view text) {
  if (text.empty() || !std::all_of(text.begin(), text.end(), core::is_digit)) return std::nullopt;
  return core::parse_u64(text).value_or(UINT64_MAX);
}

// False: it is none. One that does not exist leaves `into` as it is.
bool parse_one(std::string_view spec, uint64_t size, std::vector<ByteRange>& into) {
  const size_t dash = spec.find('-');
  if (dash == std::string_view::npos) return false;
  const std::string_view from = spec.substr(0, dash), to = spec.substr(dash + 1);
  const std::optional<uint64_t> first = parse_position(from), last = parse_position(to);
  if (from.empty()) {
    if (!last) return false;
    if (*last != 0 && size != 0) into.push_back({size - std::min(*last, size), size - 1});
    return true;
  }
  if (!first || (!to.empty() && (!last || *last < *first))) return false;
  if (*first < size) into.push_back({*first, std::min(last.value_or(UINT64_MAX), size - 1)});
  return true;
}

std::string content_range(ByteRange range, uint64_t size) { return fmt::format("bytes {}-{}/{}", range.first, range.last, size); }

void add_fields(const Headers& fields, bool several, Headers& reply) {
  for (const Header& h : fields) {
    const bool of_whole = h.id == HeaderId::content_range || h.id == HeaderId::content_length || (several && h.id == HeaderId::content_type);
    if (!of_whole) reply.add(h.id, h.name, h.value);
  }
}

}  // namespace

RangeWish parse_byte_ranges(std::string_view field, uint64_t size, std::vector<ByteRange>& into) {
  const size_t equals = field.find('=');
  if (equals == std::string_view::npos || !core::iequals(core::trim(field.substr(0, equals)), "bytes")) return RangeWish::whole;
  std::string_view list = field.substr(equals + 1);
  size_t specs = 0;
  bool unclosed = false;
  while (!list.empty()) {
    const std::string_view spec = take_list_item(list, unclosed);
    if (spec.empty()) continue;
    if (++specs > most_byte_ranges || !parse_one(spec, size, into)) return RangeWish::whole;
  }
  if (specs == 0) return RangeWish::whole;
  if (into.empty()) return RangeWish::unsatisfiable;
  uint64_t bytes = 0;
  for (const ByteRange range : into) bytes += range.last - range.first + 1;
  return bytes > size ? RangeWish::whole : RangeWish::parts;  // they overlap
}

bool allows_range(const Headers& request, const Headers& stored) {
  const Header* wanted = request.find(HeaderId::if_range);
  if (wanted == nullptr) return true;
  const std::string_view value = core::trim(wanted->value);
  if (value.starts_with('"')) return value == stored.get(HeaderId::etag);
  if (value.empty() || value.starts_with("W/") || value != stored.get(HeaderId::last_modified)) return false;
  const std::optional<int64_t> modified = parse_http_date(value, 0), date = parse_http_date(stored.get(HeaderId::date), 0);
  return modified && date && *date > *modified;  // RFC 9110 8.8.2.2: it could have changed within that second
}

void PartialBody::add(std::string_view text) {
  if (text.empty()) return;
  pieces_.push_back(text);
  size_ += text.size();
}

void PartialBody::add(const PlacedBody& whole, ByteRange range) {
  uint64_t at = 0;
  for (size_t i = 0; i < whole.pieces() && at <= range.last; ++i) {
    const std::string_view piece = whole.piece(i);
    const uint64_t end = at + piece.size();
    if (end > range.first) {
      const uint64_t from = std::max(range.first, at) - at;
      add(piece.substr(static_cast<size_t>(from), static_cast<size_t>(std::min(range.last + 1, end) - at - from)));
    }
    at = end;
  }
}

Verdict reply_with_parts(Exchange& x, RangeWish wish, const std::vector<ByteRange>& ranges, const PlacedBody& whole, const Headers& fields, std::string_view boundary) {
  core::Arena& arena = x.arena();
  if (wish == RangeWish::unsatisfiable) {
    const Verdict verdict = x.reply(416, "416 Range Not Satisfiable");
    x.reply_headers().add(HeaderId::content_range, arena.copy(fmt::format("bytes */{}", whole.size())));
    return verdict;
  }
  auto* body = arena.make<PartialBody>();
  const bool several = ranges.size() > 1;
  for (const ByteRange range : ranges) {
    if (several) {
      const std::string_view type = fields.get(HeaderId::content_type);
      body->add(arena.join("\r\n--", boundary, type.empty() ? "" : "\r\nContent-Type: ", type));
      body->add(arena.join("\r\nContent-Range: ", arena.copy(content_range(range, whole.size())), "\r\n\r\n"));
    }
    body->add(whole, range);
  }
  if (several) body->add(arena.join("\r\n--", boundary, "--\r\n"));
  const Verdict verdict = x.reply_with(206, *body);
  Headers& reply = x.reply_headers();
  add_fields(fields, several, reply);
  if (several) reply.add(HeaderId::content_type, arena.join("multipart/byteranges; boundary=", boundary));
  else reply.add(HeaderId::content_range, arena.copy(content_range(ranges.front(), whole.size())));
  return verdict;
}

}  // namespace goma::http
