// SPDX-License-Identifier: Apache-2.0
//
// What messages say about caching: the input is taken as values of Cache-Control, Vary, Accept-Encoding, If-None-Match
// and dates. Whatever it is, reading ends, numbers stay in their range, and what is doubtful does not become storable.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/arena.h"
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
    for (const http::HeaderId id : {http::HeaderId::cache_control, http::HeaderId::vary, http::HeaderId::accept_encoding, http::HeaderId::expires, http::HeaderId::age, http::HeaderId::if_none_match}) fields.add(id, line);
    from = end + 1;
  }
  const http::CacheControl cc = http::parse_response_cache_control(fields);
  must(cc.max_age >= http::CacheControl::absent && cc.max_age <= http::CacheControl::longest);
  const http::Freshness f = http::freshness_of(200, cc, fields, {}, {1'000'000'000, 1'000'000'001});
  must(f.age_s >= 0 && f.lifetime_s >= 0 && (cc.max_age != 0 || cc.s_maxage > 0 || f.lifetime_s == 0));
  if (cc.no_store && !cc.must_understand) must(!http::why_not_stored(200, {}, cc, fields, true).empty());
  static_cast<void>(http::parse_http_date(text, 1'000'000'000));
  static_cast<void>(http::is_not_modified(fields, fields, 1'000'000'000));
  http::Headers names(arena);
  http::add_vary_names(arena, fields, {}, names);
  for (const http::Header& h : names) static_cast<void>(http::vary_value(arena, fields, h.name));
  return 0;
}
