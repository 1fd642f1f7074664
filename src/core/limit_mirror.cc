// SPDX-License-Identifier: Apache-2.0
//
// Accounts, postings, and what Redis computes. The scripts use one key each (or two of one hash tag), so that they run
// in a cluster as they are, and Redis' own clock, so that the hosts' clocks matter only for where a window begins.
#include "core/limit_mirror.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>

#include "core/check.h"
#include "core/limit_zone.h"
#include "core/presence.h"

namespace goma::core {

namespace {

constexpr int64_t second_ns = 1'000'000'000;
constexpr int64_t longest_ns = 1'000'000 * second_ns;
constexpr int64_t much = 32;               // a posting is due soon when it owes that part of the capacity
constexpr int64_t margin = 4;              // that part of the capacity may be forgotten with a primary
constexpr size_t postings_per_tick = 1024;
constexpr int64_t kept_longer_ms = 60'000;  // than a window lasts, for hosts that post late
constexpr int64_t pending_ns = 60 * second_ns;  // how long a killed worker's unposted requests count on its host

// What a host took of a bucket since `age` seconds ago; how long the bucket will take to be full again. The debt that the
// host knows of otherwise, less a margin, mends what a replica that took over has forgotten. Kept a while longer than it
// is owed, for hosts that post late.
constexpr std::string_view settle_level = R"(
local clock = redis.call('TIME')
local now = clock[1] - 1483228800 + clock[2] / 1000000
local began = now - ARGV[2]
local full = tonumber(redis.call('GET', KEYS[1]) or began)
if full < began then full = began end
if full < now + ARGV[3] then full = now + ARGV[3] end
full = full + ARGV[1]
local debt = full - now
redis.call('SET', KEYS[1], string.format('%.17g', full), 'EX', math.ceil(math.max(debt, 0)) + 5)
return tostring(debt))";

constexpr std::string_view take_level = R"(
local clock = redis.call('TIME')
local now = clock[1] - 1483228800 + clock[2] / 1000000
local full = tonumber(redis.call('GET', KEYS[1]) or now)
if full < now then full = now end
if full < now + ARGV[3] then full = now + ARGV[3] end
local debt = full + ARGV[1] - now
if debt > ARGV[2] + 0.000001 then return {0, tostring(full - now)} end
redis.call('SET', KEYS[1], string.format('%.17g', full + ARGV[1]), 'EX', math.ceil(debt))
return {1, tostring(debt)})";

constexpr std::string_view settle_count = R"(
local last = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0')
if tonumber(ARGV[2]) > last then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('HINCRBY', KEYS[1], 'n', ARGV[3])
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return tonumber(redis.call('HGET', KEYS[1], 'n') or '0'))";

constexpr std::string_view take_count = R"(
local before = 0
if KEYS[2] then before = tonumber(redis.call('HGET', KEYS[2], 'n') or '0') end
local count = tonumber(redis.call('HGET', KEYS[1], 'n') or '0')
if count + 1 > ARGV[1] - math.floor(before * ARGV[2]) then return {0, count, before} end
redis.call('HINCRBY', KEYS[1], 'n', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {1, count + 1, before})";

const RedisScript& settle_level_script() {
  static const RedisScript script(settle_level);
  return script;
}

const RedisScript& settle_count_script() {
  static const RedisScript script(settle_count);
  return script;
}

std::string seconds(int64_t ns) { return fmt::format("{:.9f}", static_cast<double>(ns) / 1e9); }

int64_t nanoseconds(std::string_view seconds) {
  double value = 0;
  std::from_chars(seconds.data(), seconds.data() + seconds.size(), value);
  return static_cast<int64_t>(std::clamp(value, -1e9, 1e9) * 1e9);
}

std::string new_incarnation() {
  uint64_t drawn = 0;
  GOMA_CHECK(::getrandom(&drawn, sizeof drawn, 0) == static_cast<ssize_t>(sizeof drawn));
  return fmt::format("{:x}", drawn);
}

}  // namespace

struct LimitMirror::Account {
  Account(LimitMirror& of, uint64_t of_id, std::string redis_key) : mirror(of), id(of_id), key(std::move(redis_key)) { call.bind<&Account::on_result>(this); }
  void on_result(const RedisResult& result) { mirror.finish(*this, result); }
  bool is_level() const { return interval_ns != 0; }

  LimitMirror& mirror;
  uint64_t id;
  std::string key;
  int64_t interval_ns = 0;  // of a level; 0: a count
  int64_t capacity_ns = 0;
  int64_t until_ns = 0;     // of a count
  bool apart = false;       // some of `taken` was taken while apart
  uint32_t taken = 0;       // not posted
  uint32_t posted = 0;      // on its way
  uint64_t sequence = 0;    // of that posting
  int64_t first_us = 0;     // when the first of `taken` was taken
  int64_t posted_first_us = 0;
  RedisCall call;
  ListHook hook;
};

struct LimitMirror::Lists {
  List<Account, &Account::hook> open;  // oldest first
  List<Account, &Account::hook> idle;  // longest first
};

LimitMirror::LimitMirror(const Parts& parts)
    : loop_(parts.loop),
      redis_(parts.redis),
      zone_(parts.zone),
      presence_(parts.presence),
      metrics_(parts.metrics),
      lists_(std::make_unique<Lists>()),
      incarnation_(new_incarnation()) {
  using Kind = Metrics::Kind;
  metrics_.describe("goma_limit_postings_total", Kind::counter, "What was taken of shared limits, told to Redis: done, or lost because it may have arrived.");
  metrics_.describe("goma_limit_apart", Kind::gauge, "Workers that decide on their host's share of shared limits, because Redis cannot be reached.");
  metrics_.describe("goma_limit_accounts", Kind::gauge, "Keys of shared limits that workers keep an account of.");
  metrics_.describe("goma_limit_accounts_dropped_total", Kind::counter, "Requests that other hosts will not hear of, for lack of room for their accounts.");
  posted_ = metrics_.counter("goma_limit_postings_total", metric_labels({{"outcome", "done"}}));
  lost_ = metrics_.counter("goma_limit_postings_total", metric_labels({{"outcome", "lost"}}));
  apart_gauge_ = metrics_.gauge("goma_limit_apart");
  dropped_ = metrics_.counter("goma_limit_accounts_dropped_total");
  accounts_gauge_ = metrics_.gauge("goma_limit_accounts");
  tick_.bind<&LimitMirror::on_tick>(loop_, this);
  probe_.bind<&LimitMirror::on_probe>(this);
}

LimitMirror::~LimitMirror() = default;

const RedisScript& LimitMirror::take_script() {
  static const RedisScript script(take_level);
  return script;
}

const RedisScript& LimitMirror::count_script() {
  static const RedisScript script(take_count);
  return script;
}

int64_t LimitMirror::share() const { return apart() || loop_.now_us() < share_until_us_ ? presence_.hosts() : 1; }

// ---------------------------------------------------------------- accounts

LimitMirror::Account* LimitMirror::find(uint64_t id) {
  const auto found = accounts_.find(id);
  return found == accounts_.end() ? nullptr : found->second.get();
}

LimitMirror::Account* LimitMirror::open_level(const Bucket& bucket, std::string key) {
  Account* account = open(bucket.id, std::move(key));
  if (account == nullptr) return nullptr;
  account->interval_ns = bucket.interval_ns;
  account->capacity_ns = bucket.capacity_ns;
  return account;
}

LimitMirror::Account* LimitMirror::open_count(const Tally& tally, std::string key) {
  Account* account = open(tally.id, std::move(key));
  if (account == nullptr) return nullptr;
  account->until_ns = tally.until_ns;
  return account;
}

// Somebody who owes nothing makes room; when all do, the newcomer's requests stay unknown to other hosts.
LimitMirror::Account* LimitMirror::open(uint64_t id, std::string key) {
  if (accounts_.size() >= max_accounts) {
    Account* last = lists_->idle.front();
    if (last == nullptr) {
      metrics_.add(dropped_);
      return nullptr;
    }
    forget(*last);
  }
  auto made = std::make_unique<Account>(*this, id, std::move(key));
  Account* account = made.get();
  accounts_.emplace(id, std::move(made));
  metrics_.set(accounts_gauge_, static_cast<int64_t>(accounts_.size()));
  return account;
}

void LimitMirror::forget(Account& account) {
  accounts_.erase(account.id);
  metrics_.set(accounts_gauge_, static_cast<int64_t>(accounts_.size()));
}

uint64_t LimitMirror::pending_id(const Account& account) const { return account.id ^ 0xa0761d6478bd642c; }

void LimitMirror::note(Account& account) {
  if (!account.is_level()) zone_.count(pending_id(account), loop_.now_us() * 1000, LimitZone::max_count, std::min(account.until_ns, loop_.now_us() * 1000 + pending_ns), true);
  account.apart = account.apart || apart();
  if (account.taken++ > 0) return;
  account.first_us = loop_.now_us();
  if (account.posted == 0) gather(account);
}

void LimitMirror::gather(Account& account) {
  account.hook.unlink();
  lists_->open.push_back(account);
  ++owing_;
  if (!tick_.running()) tick_.start(soon_ms);
}

void LimitMirror::rest(Account& account) {
  const bool over = !account.is_level() && account.until_ns <= loop_.now_us() * 1000;
  if (over) return forget(account);
  lists_->idle.push_back(account);
}

// Redis was taken out of the configuration: nobody is to be told any more.
void LimitMirror::forget_all() {
  accounts_.clear();
  owing_ = flying_ = 0;
  failed_ = false;
  share_until_us_ = 0;
  metrics_.set(accounts_gauge_, 0);
  metrics_.set(apart_gauge_, 0);
}

// ---------------------------------------------------------------- postings

// Who is apart and owes nothing asks all the same, to hear when that ends.
void LimitMirror::on_tick() {
  if (!configured()) return forget_all();
  metrics_.set(apart_gauge_, apart() ? 1 : 0);
  constexpr std::string_view ping[] = {"PING"};
  if (apart()) share_until_us_ = loop_.now_us() + return_ms * 1000;
  if (failed_ && owing_ == 0 && !probe_.pending() && redis_.usable()) redis_.send({}, ping, probe_);
  post_due(loop_.now_us() - late_ms * 1000, false);
  if (owing_ > 0 || apart()) tick_.start(soon_ms);
}

void LimitMirror::settle(uint64_t id) {
  Account* account = find(id);
  if (account != nullptr && account->taken > 0 && account->posted == 0 && redis_.usable()) post(*account);
}

void LimitMirror::settle() { post_due(0, true); }

void LimitMirror::post_due(int64_t older_than_us, bool all) {
  if (!redis_.usable()) return;
  size_t left = all ? SIZE_MAX : postings_per_tick;
  for (Account* account = lists_->open.front(); account != nullptr && left > 0;) {
    Account* next = lists_->open.next(*account);
    const bool owes_much = account->is_level() ? account->taken * account->interval_ns * much >= account->capacity_ns : true;
    if (all || owes_much || account->first_us <= older_than_us) {
      post(*account);
      --left;
    }
    account = next;
  }
}

void LimitMirror::post(Account& account) {
  account.hook.unlink();
  --owing_;
  ++flying_;
  if (account.posted == 0) {  // else its answer was lost: the same again
    account.posted = account.taken;
    account.posted_first_us = account.first_us;
    account.taken = 0;
  }
  if (account.is_level()) return post_level(account);
  const std::string_view keys[] = {account.key};
  const std::string n = std::to_string(account.posted);
  if (account.sequence == 0) account.sequence = ++sequence_;
  const std::string sequence = std::to_string(account.sequence);
  const std::string keep = std::to_string(std::max<int64_t>(account.until_ns / 1'000'000 - loop_.now_ms(), 0) + kept_longer_ms);
  const std::string_view arguments[] = {incarnation_, sequence, n, keep};
  redis_.run(settle_count_script(), keys, arguments, account.call);
}

// After a time apart the level of this host, where every request counted for as many as there were hosts, is the best
// guess of the common one: Redis is told that it is at least that, which may be said twice or by several hosts.
void LimitMirror::post_level(Account& account) {
  const Bucket bucket{account.id, account.interval_ns, account.capacity_ns};
  const bool was_apart = std::exchange(account.apart, false);
  const std::string taken = seconds(was_apart ? 0 : account.posted * account.interval_ns);
  const std::string age = seconds(was_apart ? 0 : (loop_.now_us() - account.posted_first_us) * 1000);
  const std::string known = seconds(was_apart ? std::max(zone_.full_at(account.id) - loop_.now_us() * 1000, -longest_ns) : known_debt_ns(bucket, account.posted));
  const std::string_view keys[] = {account.key}, arguments[] = {taken, age, known};
  redis_.run(settle_level_script(), keys, arguments, account.call);
}

// What is taken here and not posted by other workers yet is no debt that Redis forgot: a part of the capacity is left to it.
int64_t LimitMirror::known_debt_ns(const Bucket& bucket, int64_t posted) const {
  const int64_t debt_ns = zone_.full_at(bucket.id) - loop_.now_us() * 1000;
  return std::max(debt_ns - posted * bucket.interval_ns - bucket.capacity_ns / margin, -longest_ns);
}

void LimitMirror::judge(const RedisResult& result) {
  failed_ = !result.ok();
  metrics_.set(apart_gauge_, apart() ? 1 : 0);
  if (failed_ && !tick_.running()) tick_.start(soon_ms);
}

void LimitMirror::finish(Account& account, const RedisResult& result) {
  --flying_;
  judge(result);
  using Outcome = RedisResult::Outcome;
  const bool unsent = result.outcome == Outcome::unavailable || result.outcome == Outcome::overload || result.outcome == Outcome::refused;
  if (result.ok()) {
    metrics_.add(posted_);
    apply(account, result.reply);
    account.posted = 0;
    account.sequence = 0;
  } else if (unsent) {
    account.apart = true;
    account.first_us = account.posted_first_us;
    account.taken += account.posted;
    account.posted = 0;
    account.sequence = 0;
  } else if (account.is_level()) {
    metrics_.add(lost_);
    account.posted = 0;
  }
  // A count that may have arrived is posted again under its number, before anything else of its account.
  if (account.posted > 0) return gather(account);
  account.taken > 0 ? gather(account) : rest(account);
}

void LimitMirror::apply(Account& account, const RedisReply& reply) {
  const int64_t now_ns = loop_.now_us() * 1000;
  if (account.is_level()) {
    const int64_t debt_ns = nanoseconds(reply.text()) + account.taken * account.interval_ns;
    if (debt_ns > 0) zone_.raise(account.id, now_ns, now_ns + debt_ns);
    return;
  }
  zone_.uncount(pending_id(account), now_ns, account.posted);
  const int64_t total = reply.integer() + zone_.counted(pending_id(account), now_ns);
  if (account.until_ns > now_ns) zone_.set_count(account.id, now_ns, static_cast<uint32_t>(std::min<int64_t>(total, LimitZone::max_count)), account.until_ns);
}

}  // namespace goma::core
