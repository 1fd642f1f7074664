// SPDX-License-Identifier: Apache-2.0
//
// Words and fields. Names come with their fields as constants, so that nothing is looked up for a hit.
#include "http/cache_words.h"

#include <fmt/format.h>

namespace goma::http {

namespace {

constexpr std::string_view words[] = {"HIT", "MISS", "BYPASS", "STALE", "REVALIDATED", "EXPIRED"};
constexpr std::string_view outcomes[] = {"hit", "miss", "bypass", "stale", "revalidated", "expired"};

std::string_view goma_word(CacheWord word) {
  switch (word) {
    case CacheWord::bypass: return "BYPASS";
    case CacheWord::miss:
    case CacheWord::expired: return "MISS";
    default: return "HIT";
  }
}

std::string_view number(core::Arena& arena, int64_t value) {
  const fmt::format_int text(value);
  return arena.copy({text.data(), text.size()});
}

std::string_view cache_status(core::Arena& arena, const CacheReport& r) {
  const std::string_view stored = r.stored ? "; stored" : "";
  const std::string_view collapsed = r.collapsed ? "; collapsed" : "";
  switch (r.word) {
    case CacheWord::bypass: return "goma; fwd=bypass";
    case CacheWord::miss: return arena.join("goma; fwd=uri-miss", stored, collapsed);
    case CacheWord::expired: return arena.join("goma; fwd=stale", stored, collapsed);
    case CacheWord::revalidated: return arena.join("goma; fwd=stale; fwd-status=304", stored);
    default: return arena.join("goma; hit; ttl=", number(arena, r.lifetime_s - r.age_s), collapsed);
  }
}

}  // namespace

std::string_view cache_word(CacheWord word) { return words[static_cast<size_t>(word)]; }
std::string_view cache_outcome(CacheWord word) { return outcomes[static_cast<size_t>(word)]; }

void drop_cache_words(Headers& headers) {
  for (const std::string_view name : {"X-Goma-Cache", "X-Goma-Cache-Max-Age", "X-Goma-Cache-Reason", "X-Cache-Status"}) headers.remove(name);
}

void add_cache_words(core::Arena& arena, const CacheReport& report, bool all_of_it, Headers& into) {
  into.add(HeaderId::other, "X-Goma-Cache", goma_word(report.word));
  if (report.word != CacheWord::bypass) into.add(HeaderId::other, "X-Goma-Cache-Max-Age", number(arena, report.lifetime_s));
  if (!all_of_it) return;
  into.add(HeaderId::other, "X-Cache-Status", cache_word(report.word));
  into.add(HeaderId::other, "Cache-Status", cache_status(arena, report));
  if (!report.reason.empty()) into.add(HeaderId::other, "X-Goma-Cache-Reason", report.reason);
}

}  // namespace goma::http
