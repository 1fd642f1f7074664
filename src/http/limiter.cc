// SPDX-License-Identifier: Apache-2.0
//
// The arithmetic of buckets and windows, here and as Redis answers it.
#include "http/limiter.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace goma::http {

namespace {

constexpr int64_t second_ns = 1'000'000'000;

int64_t portion(int64_t of, int64_t part, int64_t whole) { return static_cast<int64_t>(static_cast<__int128>(of) * part / whole); }

uint64_t of_window(uint64_t id, uint64_t number) { return id + number * 0x9e3779b97f4a7c15; }

std::string bucket_name(Exchange& x, const LimitQuestion& question) { return "rate:" + question.key->name(x); }

// With a hash tag, so that a window and the one before it are in one slot of a cluster.
std::string window_name(Exchange& x, const LimitQuestion& question, std::string_view period) {
  return fmt::format("{}:{{{}}}:{}", question.kind, question.key->name(x), period);
}

LimitDecision bucket_decision(const LimitQuestion& question, bool taken, int64_t debt_ns) {
  const int64_t room_ns = std::max<int64_t>(question.interval_ns * question.capacity - debt_ns, 0);
  return {taken, false, room_ns / question.interval_ns, debt_ns, taken ? 0 : std::max<int64_t>(debt_ns + question.interval_ns - question.interval_ns * question.capacity, 1)};
}

// count: in this window, with this one when it was taken. before: in the last window.
LimitDecision window_decision(const LimitQuestion& question, bool taken, int64_t count, int64_t before) {
  const int64_t left_ns = question.left_ns;
  const int64_t room = std::max<int64_t>(question.capacity - portion(before, left_ns, question.length_ns), 0);
  if (taken) return {true, false, std::max<int64_t>(room - count, 0), left_ns, 0};
  const int64_t spare = question.capacity - count - 1;
  if (before == 0 || spare < 0) return {false, false, 0, left_ns, left_ns};
  const int64_t enough_ns = portion(spare + 1, question.length_ns, before);  // left over when one more fits
  return {false, false, 0, left_ns, std::max<int64_t>(left_ns - enough_ns, 1)};
}

core::LimitMirror::Bucket bucket_of(const LimitQuestion& question) { return {question.id, question.interval_ns, question.interval_ns * question.capacity}; }

}  // namespace

Limiter::Limiter(std::string_view sync, std::string_view on_failure)
    : sync_(static_cast<Sync>(std::find(std::begin(sync_words), std::end(sync_words), sync) - std::begin(sync_words))),
      on_failure_(static_cast<OnStoreFailure>(std::find(std::begin(on_store_failure_words), std::end(on_store_failure_words), on_failure) - std::begin(on_store_failure_words))) {}

bool Limiter::asks(const HostLimits& limits, const LimitQuestion& question) const {
  if (limits.mirror() == nullptr || !limits.redis().usable()) return false;
  if (sync_ == Sync::exact) return true;
  if (!question.durable) return false;
  const int64_t counted = limits.counted(of_window(question.id, question.number));
  return counted == 0 || (counted < question.capacity && question.capacity - counted <= std::max<int64_t>(question.capacity / 64, 16));
}

LimitDecision Limiter::decide(Exchange& x, HostLimits& limits, const LimitQuestion& question) const {
  core::LimitMirror* mirror = limits.mirror();
  const bool apart = mirror != nullptr && mirror->apart();
  if (apart) limits.count_apart();
  if (apart && on_failure_ == OnStoreFailure::deny) return {.denied = true, .wait_ns = second_ns};
  LimitDecision decision = question.interval_ns != 0 ? from_bucket(x, limits, question) : from_window(x, limits, question);
  if (apart && on_failure_ == OnStoreFailure::allow) decision.taken = true;
  return decision;
}

LimitDecision Limiter::from_bucket(Exchange& x, HostLimits& limits, const LimitQuestion& question) const {
  core::LimitMirror* mirror = limits.mirror();
  const int64_t capacity_ns = question.interval_ns * question.capacity;
  const int64_t price_ns = mirror == nullptr ? question.interval_ns : std::min(question.interval_ns * mirror->share(), capacity_ns);
  const HostLimits::Level level = limits.take(question.id, price_ns, capacity_ns);
  if (level.taken && mirror != nullptr) mirror->took(bucket_of(question), [&] { return bucket_name(x, question); });
  return bucket_decision(question, level.taken, level.debt_ns);
}

// Windows follow the clock that hosts agree on, and begin where people expect a minute to.
LimitDecision Limiter::from_window(Exchange& x, HostLimits& limits, const LimitQuestion& question) const {
  core::LimitMirror* mirror = limits.mirror();
  const bool slides = !question.last_period.empty();
  const uint64_t current = of_window(question.id, question.number);
  const int64_t before = slides ? limits.counted(of_window(question.id, question.number - 1)) : 0;
  const int64_t room = std::max<int64_t>(question.capacity - portion(before, question.left_ns, question.length_ns), 0);
  const int64_t kept_ns = question.left_ns + (slides ? question.length_ns : 0);
  const auto price = static_cast<uint32_t>(mirror == nullptr ? 1 : std::min<int64_t>(mirror->share(), 1'000));
  const std::optional<uint32_t> count = limits.count(current, static_cast<uint32_t>(room), kept_ns, false, price);
  if (count && mirror != nullptr) mirror->counted({current, limits.now_ns() + kept_ns}, [&] { return window_name(x, question, question.period); });
  return window_decision(question, count.has_value(), count ? *count : limits.counted(current), before);
}

// ---------------------------------------------------------------- asking Redis

void SharedTake::start() {
  HostLimits limits(x_);
  core::Redis& redis = limits.redis();
  limits.mirror()->settle(question_.interval_ns != 0 ? question_.id : of_window(question_.id, question_.number));
  const auto seconds = [](int64_t ns) { return fmt::format("{:.9f}", static_cast<double>(ns) / 1e9); };
  if (question_.interval_ns != 0) {
    const std::string key = bucket_name(x_, question_);
    const std::string interval = seconds(question_.interval_ns), capacity = seconds(question_.interval_ns * question_.capacity);
    const std::string known = seconds(limits.mirror()->known_debt_ns(bucket_of(question_), 0));
    const std::string_view keys[] = {key}, arguments[] = {interval, capacity, known};
    return redis.run(core::LimitMirror::take_script(), keys, arguments, call_);
  }
  const int64_t kept_ns = question_.left_ns + question_.length_ns;
  const std::string now = window_name(x_, question_, question_.period), last = window_name(x_, question_, question_.last_period);
  const std::string capacity = std::to_string(question_.capacity), share = seconds(portion(question_.left_ns, second_ns, question_.length_ns));
  const std::string keep = std::to_string(kept_ns / 1'000'000 + 1);
  const std::string_view keys[] = {now, last}, arguments[] = {capacity, share, keep};
  redis.run(core::LimitMirror::count_script(), {keys, question_.last_period.empty() ? size_t{1} : size_t{2}}, arguments, call_);
}

void SharedTake::expire() {
  call_.cancel();
  HostLimits limits(x_);
  complete(limiter_.decide(x_, limits, question_));
}

void SharedTake::on_result(const core::RedisResult& result) {
  HostLimits limits(x_);
  limits.mirror()->judge(result);
  complete(result.ok() ? read(result.reply) : limiter_.decide(x_, limits, question_));
}

// What Redis said is learnt by this host as well, so that it can go on alone from there.
LimitDecision SharedTake::read(const core::RedisReply& reply) {
  HostLimits limits(x_);
  return question_.interval_ns != 0 ? read_bucket(limits, reply) : read_window(limits, reply);
}

LimitDecision SharedTake::read_bucket(HostLimits& limits, const core::RedisReply& reply) {
  double debt = 0;
  const std::string_view text = reply[1].text();
  std::from_chars(text.data(), text.data() + text.size(), debt);
  const auto debt_ns = static_cast<int64_t>(std::clamp(debt, 0.0, 4e9) * 1e9);
  limits.raise(question_.id, debt_ns);
  return bucket_decision(question_, reply[0].integer() != 0, debt_ns);
}

LimitDecision SharedTake::read_window(HostLimits& limits, const core::RedisReply& reply) {
  const int64_t kept_ns = question_.left_ns + (question_.last_period.empty() ? 0 : question_.length_ns);
  limits.set_count(of_window(question_.id, question_.number), reply[1].integer(), kept_ns);
  return window_decision(question_, reply[0].integer() != 0, reply[1].integer(), reply[2].integer());
}

}  // namespace goma::http
