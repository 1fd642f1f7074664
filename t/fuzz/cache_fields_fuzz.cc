// SPDX-License-Identifier: Apache-2.0
//
// What messages say about caching: the input is taken as values of Cache-Control, also of the targeted ones, Vary,
// Accept-Encoding and -Language, If-None-Match, Range and dates. Whatever it is, reading ends, numbers stay in their range, and what is doubtful does not become storable.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "core/arena.h"
#include "http/byte_ranges.h"
#include "http/conditions.h"
#include "http/freshness.h"
#include "http/http_date.h"
#include "http/vary.h"

using namespace goma;

namespace {

void must(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  core::ChunkPool pool;
  core::Arena arena(pool);
  http::Headers fields(arena);
  for (size_t from = 0; from <= text.size();) {  // one line, one field
    const size_t end = std::min(text.find('\n', from), text.size());
    const std::string_view line = text.substr(from, end - from);
    for (const http::HeaderId id : {http::HeaderId::cache_control, http::HeaderId::vary, http::HeaderId::accept_encoding, http::HeaderId::accept_language, http::HeaderId::expires, http::HeaderId::age, http::HeaderId::if_none_match}) fields.add(id, line);
    from = end + 1;
  }
  const http::CacheControl cc = http::parse_response_cache_control(fields);
  must(cc.max_age >= http::CacheControl::absent && cc.max_age <= http::CacheControl::longest);
  const http::Freshness f = http::freshness_of(200, cc, fields, {}, {1'000'000'000, 1'000'000'001});
  must(f.age_s >= 0 && f.lifetime_s >= 0 && (cc.max_age != 0 || cc.s_maxage > 0 || f.lifetime_s == 0));
  if (cc.no_store && !cc.must_understand) must(!http::why_not_stored(200, {}, cc, fields, true).empty());
  static_cast<void>(http::parse_http_date(text, 1'000'000'000));
  static_cast<void>(http::is_not_modified(fields, fields, 1'000'000'000));
  std::vector<http::ByteRange> ranges;
  if (http::parse_byte_ranges(text, 1000, ranges) == http::RangeWish::parts) {
    must(!ranges.empty() && ranges.size() <= http::most_byte_ranges);
    for (const http::ByteRange range : ranges) must(range.first <= range.last && range.last < 1000);
  }
  http::drop_named_fields(fields);
  http::Headers targeted(arena);
  targeted.add("CDN-Cache-Control", text);
  const http::CacheControl told = http::parse_response_cache_control(targeted);
  must(told.max_age >= http::CacheControl::absent && told.max_age <= http::CacheControl::longest && (told.targeted || !told.given));
  http::drop_named_fields(targeted);
  http::Headers names(arena);
  http::add_vary_names(arena, fields, {}, names);
  for (const http::Header& h : names) static_cast<void>(http::vary_value(arena, fields, h.name));
  return 0;
}
