// SPDX-License-Identifier: Apache-2.0
//
// How a purge is written, told and applied.
#include "core/purge.h"

#include <fmt/format.h>

#include "core/text.h"

namespace goma::core {

namespace {

constexpr std::string_view kind_words[] = {"url", "prefix", "tag", "all"};
constexpr size_t longest = 4096;
constexpr int64_t clock_margin_ms = 50;  // hosts know the cluster's time about so well

// host/path of a URL, with or without its scheme.
bool split_url(std::string_view what, Purge& purge) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (what.starts_with(scheme)) what.remove_prefix(scheme.size());
  }
  what = what.substr(0, what.find_first_of("?#"));
  const size_t slash = what.find('/');
  purge.host = to_lower(what.substr(0, slash));
  purge.name = slash == std::string_view::npos ? "/" : std::string(what.substr(slash));
  return !purge.host.empty();
}

}  // namespace

std::optional<Purge> Purge::parse(std::string_view kind, std::string_view what) {
  Purge purge;
  if (kind == kind_words[static_cast<size_t>(Kind::all)] && what.empty()) {
    purge.kind = Kind::all;
    return purge;
  }
  if (what.empty() || what.size() > longest) return std::nullopt;
  if (kind == kind_words[static_cast<size_t>(Kind::tag)]) {
    purge.kind = Kind::tag;
    purge.name = what;
    return purge;
  }
  if (!split_url(what, purge)) return std::nullopt;
  if (kind == kind_words[static_cast<size_t>(Kind::url)]) return purge;
  if (kind != kind_words[static_cast<size_t>(Kind::prefix)]) return std::nullopt;
  purge.kind = Kind::prefix;
  if (!purge.name.ends_with('/')) purge.name += '/';
  return purge;
}

std::string Purge::text() const {
  const std::string_view word = kind_words[static_cast<size_t>(kind)];
  return kind == Kind::all ? std::string(word) : fmt::format("{} {}{}", word, host, name);
}

CacheZone::Key Purge::mark(const CacheZone& zone, Kind kind, std::string_view host, std::string_view name) {
  return zone.key(name, zone.key(host, zone.key(kind_words[static_cast<size_t>(kind)])));
}

void Purge::apply(CacheZone& zone, int64_t at_ms) const {
  const int64_t until_ms = at_ms + clock_margin_ms;
  kind == Kind::all ? zone.purge_all(until_ms) : zone.purge(mark(zone, kind, host, name), until_ms);
}

void Purge::announce(Redis& redis, const std::string& own_host) const {
  const std::string said = text(), most = std::to_string(purges_kept), message = own_host + " " + said;
  const std::string_view keep[] = {"XADD", purge_stream, "MAXLEN", "~", most, "*", "p", said};
  const std::string_view tell[] = {"PUBLISH", purge_channel, message};
  redis.post(purge_stream, keep);
  redis.post({}, tell);
}

std::optional<Purge> Purge::heard(std::string_view message, const std::string& own_host) {
  const size_t space = message.find(' ');
  if (space == std::string_view::npos || message.substr(0, space) == own_host) return std::nullopt;
  return read(message.substr(space + 1));
}

std::optional<Purge> Purge::read(std::string_view text) {
  const size_t space = text.find(' ');
  return parse(text.substr(0, space), space == std::string_view::npos ? std::string_view() : text.substr(space + 1));
}

}  // namespace goma::core
