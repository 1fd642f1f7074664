// SPDX-License-Identifier: Apache-2.0
//
// Signing the roll, hearing of bans, and what operators are told. Scripts use the clock of Redis, so that hosts whose clocks
// differ agree on who lives.
#include "core/host_link.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/log.h"

namespace goma::core {

namespace {

// What was purged after an entry of the stream, and whether nothing is missing in between: the entry is still there, or
// the first one is the first that there was.
constexpr std::string_view purges_text = R"(
local news = redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', '1')
local known = 1
if #news > 0 and news[1][1] == ARGV[1] then
  table.remove(news, 1)
elseif #first > 0 and first[1][2][4] ~= '1' then
  known = 0
end
return {known, news})";

constexpr size_t purges_at_once = 1000;
constexpr std::string_view purges_text_count = "1000";
constexpr std::string_view hosts_key = "goma:{hosts}";
constexpr std::string_view flush_key = "goma:{hosts}:flush";  // in the same slot

// Signs the roll, strikes out who has not for a while, and counts.
constexpr std::string_view beat_text = R"(
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[2] * 4)
return {redis.call('ZCARD', KEYS[1]), now})";

// Whether this host is the one that empties the database: nobody else lives, and nobody else is at it.
constexpr std::string_view alone_text = R"(
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZREM', KEYS[1], ARGV[1])
if redis.call('ZCOUNT', KEYS[1], now - ARGV[2], '+inf') > 0 then return 0 end
return redis.call('SET', KEYS[2], '1', 'NX', 'EX', '60') and 1 or 0)";

// Deletes what begins with the prefix of this installation, of those who share a Redis.
constexpr std::string_view flush_own_text = R"(
local at = '0'
repeat
  local found = redis.call('SCAN', at, 'MATCH', ARGV[1], 'COUNT', '1000')
  at = found[1]
  for _, key in ipairs(found[2]) do redis.call('DEL', key) end
until at == '0'
return 1)";

std::string quoted(std::string_view text) {
  std::string out;
  log::append_json_string(out, text);
  return out;
}

std::string node_text(const RedisState::Node& node) {
  std::string text = fmt::format("  {:<24} {:<9} {:<13} {:>4} in flight, {} us", node.address, node.role, node.state, node.in_flight, node.latency_us);
  if (!node.slots.empty()) text += fmt::format(", slots {}", node.slots);
  if (!node.problem.empty()) text += fmt::format(": {}", node.problem);
  return text + "\n";
}

std::string node_json(const RedisState::Node& node) {
  return fmt::format("{{\"address\":{},\"role\":{},\"state\":{},\"problem\":{},\"inFlight\":{},\"latencyMicroseconds\":{},\"slots\":{}}}", quoted(node.address),
                     quoted(node.role), quoted(node.state), quoted(node.problem), node.in_flight, node.latency_us, quoted(node.slots));
}

}  // namespace

HostLink::HostLink(Context& context)
    : loop_(*context.loop),
      slab_(*context.slab),
      resolver_(*context.loop, *context.wheel, Resolver::Options()),
      redis_({*context.loop, *context.wheel, buffers_, resolver_, context.metrics}) {
  timer_.bind<&HostLink::beat>(loop_, this);
  beat_.bind<&HostLink::on_beat>(this);
  flush_.bind<&HostLink::on_flushed>(this);
  read_bans_.bind<&HostLink::on_bans>(this);
  read_purges_.bind<&HostLink::on_purges>(this);
  telling_.bind<&HostLink::on_told>(this);
  leaving_.bind<&HostLink::on_left>(this);
  if (Result<Presence> presence = Presence::open(slab_)) presence_.emplace(std::move(presence).value());
  if (Result<LimitZone> zone = LimitZone::open(slab_)) zone_.emplace(std::move(zone).value());
  if (!zone_) return;
  if (Result<Bans> bans = Bans::open(slab_, *zone_)) bans_.emplace(std::move(bans).value());
}

HostLink::~HostLink() { redis_.unsubscribe(*this); }

void HostLink::configure(std::shared_ptr<const RedisSettings> settings) {
  settings_ = std::move(settings);
  redis_.configure(settings_);
  // Only the first configuration of a master's life is a start; a reload never empties anything.
  if (presence_ && presence_->first_time()) flush_wanted_ = settings_ && settings_->flush_on_startup;
  if (!settings_ || !presence_) {
    if (presence_) presence_->forget_time();
    for (RedisCall* call : {&beat_, &flush_, &read_bans_, &read_purges_, &telling_}) call->cancel();
    return timer_.stop();
  }
  if (!subscribed_) redis_.subscribe(ban_channel, *this);
  if (!subscribed_) redis_.subscribe(purge_channel, *this);
  subscribed_ = true;
  beat();
}

// ---------------------------------------------------------------- life signs

void HostLink::beat() {
  static const RedisScript beats(beat_text), alone(alone_text);
  timer_.start(beat_ms);
  read_purges();
  tell_owed();
  if (beat_.pending() || flush_.pending() || !redis_.usable()) return;
  const std::string name = presence_->name(), alive = std::to_string(Presence::alive_ms);
  const std::string_view keys[] = {hosts_key, flush_key}, arguments[] = {name, alive};
  if (flush_wanted_) return redis_.run(alone, keys, arguments, flush_, 5'000);
  redis_.run(beats, std::span(keys).first(1), arguments, beat_, beat_ms);
}

void HostLink::on_beat(const RedisResult& result) {
  if (!result.ok()) return;
  presence_->set_hosts(result.reply[0].integer(), loop_.now_ms());
  presence_->set_time(result.reply[1].integer(), loop_.now_ms());
}

void HostLink::leave(std::function<void()> done) {
  timer_.stop();
  if (leaving_.pending()) return;
  if (!settings_ || !presence_ || !redis_.usable()) return done();
  left_ = std::move(done);
  const std::string name = presence_->name();
  const std::string_view words[] = {"ZREM", hosts_key, name};
  redis_.send(hosts_key, words, leaving_);
}

void HostLink::on_flushed(const RedisResult& result) {
  if (!result.ok()) {  // the next beat tries again
    return log::error("flushOnStartup: Redis was not emptied", {{"outcome", outcome_name(result.outcome)}, {"detail", result.detail}});
  }
  flush_wanted_ = false;
  if (result.reply.integer() != 0) {
    const std::string pattern = redis_.named("*");
    const std::string_view everything[] = {"FLUSHDB"}, own[] = {"EVAL", flush_own_text, "0", pattern};
    redis_.post_to_primaries(settings_->key_prefix.empty() ? std::span<const std::string_view>(everything) : own);
    log::warn("flushOnStartup: Redis was emptied", {{"keys", pattern}, {"place", settings_->place}});
  } else {
    log::info("flushOnStartup: other hosts live, nothing was emptied");
  }
  beat();
}

// ---------------------------------------------------------------- bans

void HostLink::on_subscribed() {
  read_purges();
  if (read_bans_.pending()) return;
  const std::string now = std::to_string(presence_->time_ms(loop_));
  const std::string_view old[] = {"ZREMRANGEBYSCORE", ban_set, "-inf", now};
  redis_.post(ban_set, old);
  const std::string_view words[] = {"ZRANGEBYSCORE", ban_set, now, "+inf", "WITHSCORES", "LIMIT", "0", "4096"};
  redis_.send(ban_set, words, read_bans_, 1'000);
}

void HostLink::on_bans(const RedisResult& result) {
  for (size_t i = 0; result.ok() && i + 1 < result.reply.size(); i += 2) impose(result.reply[i].text(), std::atoll(std::string(result.reply[i + 1].text()).c_str()));
}

void HostLink::on_message(std::string_view channel, std::string_view message) {
  if (channel == purge_channel) {
    if (const auto heard = Purge::heard(message)) apply(heard->first, heard->second);
    return;
  }
  const std::optional<BanNews> news = BanNews::parse(message);
  if (!news || !presence_ || news->host == presence_->name()) return;
  if (!news->lifted) return impose(news->identity, news->until_ms);
  const std::optional<Ban> ban = Ban::from_identity(news->identity);
  if (ban && bans_) bans_->lift(*ban, now_ns());
}

void HostLink::impose(std::string_view identity, int64_t until_ms) {
  const std::optional<Ban> ban = Ban::from_identity(identity);
  const int64_t left_ms = until_ms - presence_->time_ms(loop_);
  if (!ban || !bans_ || left_ms <= 0 || zone_->banned_until(ban->number(*zone_), now_ns()) != 0) return;
  bans_->impose(*ban, now_ns(), now_ns() + left_ms * 1'000'000);
  log::warn("a client is banned, says another host", {{"route", ban->route}, {"middleware", ban->middleware}, {"client", ban->shown}, {"seconds", left_ms / 1000}});
}

std::string HostLink::lift(const std::string& shown, bool json) {
  size_t lifted = 0;
  for (const Bans::Listed& listed : bans_ ? bans_->list(now_ns()) : std::vector<Bans::Listed>()) {
    if (shown != "all" && listed.ban.shown != shown) continue;
    lifted += bans_->lift(listed.ban, now_ns()) ? 1 : 0;
    const std::optional<std::string> identity = listed.ban.identity();
    if (!redis_.configured() || !identity) continue;
    const std::string_view forget[] = {"ZREM", ban_set, *identity}, unmark[] = {"DEL", listed.ban.mark};
    redis_.post(ban_set, forget);
    redis_.post(listed.ban.mark, unmark);
    const std::string message = BanNews{presence_->name(), true, 0, *identity}.message();
    const std::string_view tell[] = {"PUBLISH", ban_channel, message};
    redis_.post({}, tell);
    log::warn("a ban is lifted by an operator", {{"route", listed.ban.route}, {"middleware", listed.ban.middleware}, {"client", listed.ban.shown}});
  }
  if (json) return fmt::format("{{\"lifted\":{}}}\n", lifted);
  return fmt::format("{} ban{} lifted\n", lifted, lifted == 1 ? "" : "s");
}

// ---------------------------------------------------------------- purges

CacheZone* HostLink::cache() {
  if (cache_ || !CacheZone::exists(slab_)) return cache_ ? &*cache_ : nullptr;
  if (Result<CacheZone> zone = CacheZone::open(slab_, CacheZone::segment_bytes * 4)) cache_.emplace(std::move(zone).value());
  return cache_ ? &*cache_ : nullptr;
}

void HostLink::apply(const Purge& purge, uint64_t number) {
  if (CacheZone* zone = cache()) purge.apply(*zone, number);
}

// What was published may have been missed: the stream is read every second.
void HostLink::read_purges() {
  if (read_purges_.pending() || !redis_.usable() || cache() == nullptr) return;
  static const RedisScript script(purges_text);
  const std::string_view keys[] = {purge_stream}, arguments[] = {last_purge_, purges_text_count};
  redis_.run(script, keys, arguments, read_purges_, beat_ms);
}

// What this manager read last is no longer there, and older entries have been given up: then nobody knows what else was,
// up to the first that is left. A new manager asks for all; what the host has heard of may reach that far.
void HostLink::on_purges(const RedisResult& result) {
  CacheZone* zone = cache();
  if (!result.ok() || zone == nullptr || !presence_) return;
  const RedisReply news = result.reply[1];
  const bool gap = result.reply[0].integer() == 0;
  const uint64_t first = news.size() != 0 ? Purge::number_of(news[0][0].text()) : 0;
  if (gap && (last_purge_ != "0-0" || first > zone->last_purge())) zone->purge_all(first - 1);
  for (size_t i = 0; i < news.size(); ++i) {
    last_purge_ = news[i][0].text();
    const std::optional<Purge> purge = Purge::read(news[i][1][1].text());
    if (purge) purge->apply(*zone, Purge::number_of(last_purge_));
  }
  if (news.size() + 1 >= purges_at_once) return read_purges();  // there may be more
  presence_->set_knows_purges(loop_.now_ms());
}

std::string HostLink::purge(const std::string& what, bool json) {
  const std::optional<Purge> purge = Purge::read(what);
  if (!purge) return json ? "{\"ok\":false}\n" : "purge wants url URL, prefix HOST/PATH/, tag TAG, or all\n";
  CacheZone* zone = cache();
  if (zone == nullptr) return json ? "{\"ok\":false}\n" : "nothing is purged: no middleware of type httpCache is configured here\n";
  const uint64_t number = purge->apply(*zone);
  if (redis_.configured()) zone->owe(purge->text(), number, "all");
  tell_owed();
  log::info("responses are purged by an operator", {{"what", purge->text()}});
  const bool late = redis_.configured() && !redis_.usable();
  const std::string_view where = !redis_.configured() ? "on this host" : late ? "on this host, and on the others as soon as Redis can be used" : "on all hosts";
  return json ? fmt::format("{{\"ok\":true,\"purged\":{},\"toldOthers\":{}}}\n", quoted(purge->text()), !late) : fmt::format("purged {}: {}\n", where, purge->text());
}

// One after the other, until all are told; again with the next beat where Redis did not take one.
void HostLink::tell_owed() {
  CacheZone* zone = cache();
  if (zone == nullptr || telling_.pending() || !redis_.usable()) return;
  told_ = zone->owed();
  if (!told_) return;
  if (const std::optional<Purge> purge = Purge::read(told_->purge)) purge->announce(redis_, told_->number, telling_);
}

void HostLink::on_told(const RedisResult& result) {
  if (!result.ok()) return;
  cache()->paid(*told_);
  tell_owed();
}

// ---------------------------------------------------------------- for operators

std::string HostLink::describe_bans(bool json) const {
  std::vector<Bans::Listed> bans = bans_ ? bans_->list(now_ns()) : std::vector<Bans::Listed>();
  std::sort(bans.begin(), bans.end(), [](const Bans::Listed& a, const Bans::Listed& b) { return a.left_ns > b.left_ns; });
  std::string rows;
  for (const Bans::Listed& b : bans) {
    const int64_t left_s = b.left_ns / 1'000'000'000 + 1;
    rows += json ? fmt::format("{}{{\"client\":{},\"route\":{},\"middleware\":{},\"secondsLeft\":{}}}", rows.empty() ? "" : ",", quoted(b.ban.shown), quoted(b.ban.route), quoted(b.ban.middleware), left_s)
                 : fmt::format("  {:<40} {:>8} s left   route {}, middleware {}\n", b.ban.shown, left_s, b.ban.route, b.ban.middleware);
  }
  const uint64_t in_force = zone_ ? zone_->usage(now_ns()).bans : 0;
  const int64_t hosts = presence_ ? presence_->hosts() : 1;
  if (json) return fmt::format("{{\"hosts\":{},\"bansInForce\":{},\"bans\":[{}]}}\n", hosts, in_force, rows);
  return fmt::format("{} host{} share{} the limits; {} ban{} in force{}\n{}", hosts, hosts == 1 ? "" : "s", hosts == 1 ? "s" : "", in_force, in_force == 1 ? "" : "s",
                     in_force > bans.size() ? fmt::format(", {} of them not listed for lack of room", in_force - bans.size()) : "", rows);
}

std::string HostLink::describe_redis(bool json) const {
  const RedisState state = redis_.state();
  const int64_t hosts = presence_ ? presence_->hosts() : 1;
  std::string nodes;
  for (const RedisState::Node& node : state.nodes) nodes += json ? (nodes.empty() ? "" : ",") + node_json(node) : node_text(node);
  const int64_t since_s = (loop_.now_ms() - state.since_ms) / 1000;
  const bool knows_purges = presence_ && presence_->knows_purges(loop_.now_ms());
  if (json) {
    return fmt::format("{{\"configured\":{},\"usable\":{},\"mode\":{},\"problem\":{},\"secondsSince\":{},\"hosts\":{},\"knowsPurges\":{},\"nodes\":[{}]}}\n", state.configured, state.usable,
                       quoted(state.mode), quoted(state.problem), since_s, hosts, knows_purges, nodes);
  }
  if (!state.configured) return "no Redis is configured: limits and cache are this host's own\n";
  const std::string how = state.usable ? fmt::format("usable for {} s", since_s) : fmt::format("not usable for {} s: {}", since_s, state.problem);
  const std::string_view unread = state.usable && !knows_purges && CacheZone::exists(slab_) ? "; purges are not read yet: stored responses are not taken from it" : "";
  return fmt::format("{}, {}; {} host{} known{}\n{}", state.mode, how, hosts, hosts == 1 ? "" : "s", unread, nodes);
}

}  // namespace goma::core
