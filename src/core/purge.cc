// SPDX-License-Identifier: Apache-2.0
//
// How a purge is written, told and applied.
#include "core/purge.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/idn.h"
#include "core/text.h"

namespace goma::core {

namespace {

constexpr std::string_view kind_words[] = {"url", "prefix", "tag", "all"};
constexpr size_t longest = 4096;

// A number has the milliseconds of its entry, the sequence number, and eight bits that are 0 in those of Redis.
constexpr int sequence_bits = 12;
constexpr int own_bits = 8;

// Keeps, numbers and tells a purge. The entry comes after ARGV[1]-ARGV[2] also where this server's clock, or what it
// remembers of the stream, is behind. Entries are counted from 1, so that who reads them sees whether some have gone.
constexpr std::string_view announce_text = R"(
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', '1')[1]
local n = last and (tonumber(last[2][4]) or 1) + 1 or 1
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], '*', 'p', ARGV[5], 'n', n)
local ms, sequence = string.match(id, '(%d+)-(%d+)')
local least_ms, least = tonumber(ARGV[1]), tonumber(ARGV[2])
if tonumber(ms) < least_ms or (tonumber(ms) == least_ms and tonumber(sequence) <= least) then
  redis.call('XDEL', KEYS[1], id)
  id = redis.call('XADD', KEYS[1], ARGV[1] .. '-' .. (least + 1), 'p', ARGV[5], 'n', n)
end
redis.call('PEXPIRE', KEYS[1], ARGV[6])
redis.call('PUBLISH', ARGV[4], id .. ' ' .. ARGV[5])
return id)";

// host/path of a URL, with or without its scheme.
bool split_url(std::string_view what, Purge& purge) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (what.starts_with(scheme)) what.remove_prefix(scheme.size());
  }
  what = what.substr(0, what.find_first_of("?#"));
  const size_t slash = what.find('/');
  const Result<std::string> host = to_a_label(what.substr(0, slash));
  if (!host) return false;
  purge.host = host.value();
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

uint64_t Purge::apply(CacheZone& zone, uint64_t number) const {
  if (kind == Kind::all) return zone.purge_all(number);
  std::string read = name;
  if (kind != Kind::tag) read.resize(decode_path(name, read.data()));
  return zone.purge(mark(zone, kind, host, read), number);
}

void Purge::announce(Redis& redis, uint64_t after, RedisCall& call) const {
  static const RedisScript script(announce_text);
  const std::string said = text(), channel = redis.named(purge_channel), most = std::to_string(purges_kept), kept = std::to_string(purges_kept_ms);
  const std::string least_ms = std::to_string(after >> (sequence_bits + own_bits));
  const std::string least = std::to_string(after >> own_bits & ((1 << sequence_bits) - 1));
  const std::string_view keys[] = {purge_stream}, arguments[] = {least_ms, least, most, channel, said, kept};
  redis.run(script, keys, arguments, call);
}

std::optional<std::pair<Purge, uint64_t>> Purge::heard(std::string_view message) {
  const size_t space = message.find(' ');
  const uint64_t number = number_of(message.substr(0, space));
  const std::optional<Purge> purge = space == std::string_view::npos ? std::nullopt : read(message.substr(space + 1));
  if (!purge || number == 0) return std::nullopt;
  return std::pair{*purge, number};
}

uint64_t Purge::number_of(std::string_view entry) {
  const size_t dash = entry.find('-');
  if (dash == std::string_view::npos) return 0;
  uint64_t ms = 0, sequence = 0;
  const auto whole = [](std::string_view text, uint64_t& into) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
    return error == std::errc() && end == text.data() + text.size();
  };
  if (!whole(entry.substr(0, dash), ms) || !whole(entry.substr(dash + 1), sequence)) return 0;
  const uint64_t last = (uint64_t{1} << sequence_bits) - 1;  // more in one millisecond share its last number
  return ((ms << sequence_bits) + std::min(sequence, last)) << own_bits;
}

std::optional<Purge> Purge::read(std::string_view text) {
  const size_t space = text.find(' ');
  return parse(text.substr(0, space), space == std::string_view::npos ? std::string_view() : text.substr(space + 1));
}

}  // namespace goma::core
