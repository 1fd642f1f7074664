// SPDX-License-Identifier: Apache-2.0
//
// So many requests of one client per unit of time, exact over all workers of the host and over reloads, crashes and
// upgrades: what was taken lies in the slab (core/limit_zone.h), under the names of route and middleware.
//
// The one idea: a decision is one change of one cell, made before the request goes anywhere. A refused request changes
// nothing, so that who keeps asking does not wait the longer, unless a ban was asked for. How it agrees with other
// hosts is the limiter's business (http/limiter.h).
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "core/log.h"
#include "core/schema.h"
#include "core/text.h"
#include "http/exchange.h"
#include "http/field_rules.h"
#include "http/host_limits.h"
#include "http/limit_answer.h"
#include "http/limit_key.h"
#include "http/limiter.h"
#include "http/module.h"

namespace goma::mod {

namespace {

constexpr int64_t second_ns = 1'000'000'000;
constexpr int64_t longest_ns = int64_t{1} << 61;
constexpr int64_t longest_ban_ns = 10 * 365 * 86'400 * second_ns;  // a count can be kept for five times that

struct RateLimitConf {
  std::string unit = "second";
  int64_t requests_per_unit = 0;
  int64_t burst = 0;
  std::string algorithm = "tokenBucket";
  int64_t ban_after = 0;
  core::Duration ban_duration = core::Duration::from_seconds(600);
  bool headers = true;
  http::KeyStrategyConf key;
  std::string sync = "settle";
  std::string on_store_failure = "local";
};

constexpr std::string_view unit_words[] = {"second", "minute", "hour", "day"};
constexpr std::string_view algorithm_words[] = {"tokenBucket", "fixedWindow", "slidingWindow"};

constexpr core::Field fields[] = {
    core::field<&RateLimitConf::unit>("unit", "The unit of time.", core::one_of_ignoring_case(unit_words)),
    core::field<&RateLimitConf::requests_per_unit>("requestsPerUnit", "Requests a client may make per unit.", core::required, core::range(1, 1'000'000'000), core::example("100")),
    core::field<&RateLimitConf::burst>("burst", "Requests beyond that a client that was silent may make at once.", core::range(0, 1'000'000'000)),
    core::field<&RateLimitConf::algorithm>("algorithm", "How requests are counted.", core::one_of_ignoring_case(algorithm_words), core::addition),
    core::field<&RateLimitConf::ban_after>("banAfter", "Refused requests after which a client is banned; 0 means never.", core::range(0, 1'000'000'000)),
    core::field<&RateLimitConf::ban_duration>("banDuration", "How long a ban lasts, and how long refused requests are remembered.", core::example("10m")),
    core::field<&RateLimitConf::headers>("headers", "Tell clients the limit: RateLimit, RateLimit-Policy, X-RateLimit-Limit, -Remaining and -Reset, Retry-After.", core::addition),
    core::section<&RateLimitConf::key>("keyStrategy", "Whose requests are counted together.", http::key_strategy_section),
    core::field<&RateLimitConf::sync>("sync", "How hosts that share a Redis agree: settle decides on the host and tells the others soon after, exact asks Redis for every request.", core::one_of_ignoring_case(http::sync_words), core::addition),
    core::field<&RateLimitConf::on_store_failure>("onStoreFailure", "Without an answer of Redis: local lets in the host's share of the limit, allow everything, deny nothing (503).", core::one_of_ignoring_case(http::on_store_failure_words), core::addition),
};

enum class Algorithm : unsigned char { token_bucket, fixed_window, sliding_window };

struct Settings {
  std::string name;
  int64_t unit_ns = second_ns;
  int64_t rate = 0;      // per unit
  int64_t capacity = 0;  // rate and burst
  int64_t interval_ns = 0;
  std::string unit_letter;
  Algorithm algorithm = Algorithm::token_bucket;
  http::LimitKey key;
  http::Limiter limiter;
  uint32_t ban_after = 0;
  int64_t ban_ns = 0;
  http::LimitAnswer answer;
};

class RateLimit final : public http::Middleware {
 public:
  explicit RateLimit(Settings settings) : s_(std::move(settings)) {}

  http::Verdict on_request(http::Exchange& x) const override {
    http::HostLimits limits(x);
    if (!limits.open()) return http::Verdict::next();
    const uint64_t id = s_.key.id(x, limits);
    const int64_t banned_ns = s_.ban_after != 0 ? limits.banned_ns(id) : 0;
    if (banned_ns != 0) {
      limits.turned_away("banned");
      return s_.answer.refuse(x, 403, "403 Forbidden: Client temporarily banned due to repeated abuse", banned_ns);
    }
    const http::LimitQuestion question = question_of(x, limits, id);
    if (s_.limiter.asks(limits, question)) return x.await<http::SharedTake>(this, &RateLimit::judge, s_.limiter, question);
    return judge(x, s_.limiter.decide(x, limits, question));
  }

 private:
  http::LimitQuestion question_of(http::Exchange& x, const http::HostLimits& limits, uint64_t id) const;
  http::Verdict judge(http::Exchange& x, const http::LimitDecision& decision) const;
  void strike(http::Exchange& x, http::HostLimits& limits) const;

  Settings s_;
};

// ---------------------------------------------------------------- how much is left

http::LimitQuestion RateLimit::question_of(http::Exchange& x, const http::HostLimits& limits, uint64_t id) const {
  if (s_.algorithm == Algorithm::token_bucket) return {.id = id, .key = &s_.key, .capacity = s_.capacity, .interval_ns = s_.interval_ns};
  const int64_t time_ns = limits.time_ns();
  const int64_t number = time_ns / s_.unit_ns;
  const auto period = [&](int64_t n) { return x.arena().join(s_.unit_letter, fmt::format_int(n).str()); };
  return {.id = id,
          .key = &s_.key,
          .capacity = s_.capacity,
          .kind = "rate",
          .period = period(number),
          .last_period = s_.algorithm == Algorithm::sliding_window ? period(number - 1) : std::string_view(),
          .number = static_cast<uint64_t>(number),
          .length_ns = s_.unit_ns,
          .left_ns = s_.unit_ns - time_ns % s_.unit_ns};
}

http::Verdict RateLimit::judge(http::Exchange& x, const http::LimitDecision& decision) const {
  http::HostLimits limits(x);
  if (decision.denied) return s_.answer.deny(x, decision);
  s_.answer.describe(x, decision);
  if (decision.taken) return http::Verdict::next();
  strike(x, limits);
  limits.turned_away("refused");
  return s_.answer.refuse(x, 429, "429 Too many requests. Try again later.", decision.wait_ns);
}

// A ban is told once, with the address; what else tells the client apart may be a secret.
void RateLimit::strike(http::Exchange& x, http::HostLimits& limits) const {
  if (s_.ban_after == 0) return;
  const uint64_t id = s_.key.id(x, limits);
  const std::optional<uint32_t> strikes = limits.count(id, s_.ban_after, s_.ban_ns, true);
  if (strikes && *strikes < s_.ban_after) return;
  const core::Ban ban = s_.key.ban(x);
  limits.ban(ban, s_.ban_ns);
  limits.forget_count(id);
  core::log::warn("a client is banned", {{"route", x.route_name()}, {"middleware", s_.name}, {"client", x.client().ip}, {"seconds", s_.ban_ns / second_ns}});
}

// ---------------------------------------------------------------- the rule

template <size_t N>
size_t index_of(const std::string_view (&words)[N], std::string_view word) {
  return static_cast<size_t>(std::find(std::begin(words), std::end(words), word) - std::begin(words));
}

// False after telling what is wrong with the rule beyond single values.
bool check(http::BuildContext& context, const RateLimitConf& conf, const Settings& settings) {
  const std::string who = fmt::format("middleware \"{}\": ", context.conf.name.text);
  if (!settings.key.ok()) return false;
  const bool windows = settings.algorithm != Algorithm::token_bucket;
  const __int128 longest = static_cast<__int128>(settings.unit_ns) * settings.capacity / settings.rate;
  if (windows ? settings.capacity > http::HostLimits::max_count : longest > longest_ns) {
    context.problems.error("bad-value", http::rule_place(context, "burst"), fmt::format("{}burst is too large for this rate", who),
                           windows ? "requestsPerUnit and burst may be 1073741823 together" : "it would take more than 70 years to earn");
    return false;
  }
  if (conf.ban_duration.nanoseconds <= 0 || conf.ban_duration.nanoseconds > longest_ban_ns) {
    context.problems.error("bad-value", http::rule_place(context, "banDuration"), fmt::format("{}banDuration must be more than 0 and at most 87600h", who), "for example 10m");
    return false;
  }
  return true;
}

std::unique_ptr<http::Middleware> make(http::BuildContext& context) {
  RateLimitConf conf;
  if (!http::read_rule(context, fields, &conf)) return nullptr;
  constexpr int64_t unit_seconds[] = {1, 60, 3600, 86'400};
  Settings settings;
  settings.name = context.conf.name.text;
  settings.unit_ns = unit_seconds[index_of(unit_words, conf.unit)] * second_ns;
  settings.rate = conf.requests_per_unit;
  settings.capacity = conf.requests_per_unit + conf.burst;
  settings.interval_ns = settings.unit_ns / settings.rate;
  settings.algorithm = static_cast<Algorithm>(index_of(algorithm_words, conf.algorithm));
  settings.unit_letter = conf.unit.substr(0, 1);
  settings.key = http::LimitKey(context, conf.key);
  settings.limiter = http::Limiter(conf.sync, conf.on_store_failure);
  settings.ban_after = static_cast<uint32_t>(conf.ban_after);
  settings.ban_ns = conf.ban_duration.nanoseconds;
  settings.answer = http::LimitAnswer(settings.name, settings.rate, settings.unit_ns / second_ns, settings.capacity, conf.headers);
  if (!check(context, conf, settings)) return nullptr;
  return std::make_unique<RateLimit>(std::move(settings));
}

constexpr std::string_view types[] = {"rateLimit", "ratelimit"};

}  // namespace

extern const http::ModuleInfo rate_limit_module;
const http::ModuleInfo rate_limit_module = {
    .name = "rateLimit",
    .types = types,
    .doc = "Limits how many requests a client may make per unit of time.",
    .fields = fields,
    .stage = http::Stage::chain,
    .path_use = http::PathUse::chain,
    .make = make,
};

}  // namespace goma::mod
