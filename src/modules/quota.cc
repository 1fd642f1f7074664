// SPDX-License-Identifier: Apache-2.0
//
// So many requests per calendar day, week or month, as a contract says it: aligned with the calendar of a time zone,
// common to all hosts, and kept in Redis, so that a quota survives every restart. Without Redis it lives as long as the
// gateway's shared memory.
//
// The one idea: far from its end a quota is a count of this host that settles with the others; the first request of a
// client here, and the last ones of its quota, are decided by Redis.
#include <fmt/format.h>

#include <algorithm>

#include "core/schema.h"
#include "http/calendar.h"
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

struct QuotaConf {
  int64_t requests = 0;
  std::string period = "month";
  std::string time_zone = "UTC";
  http::KeyStrategyConf key;
  std::string sync = "settle";
  std::string on_store_failure = "local";
  bool headers = true;
};

constexpr core::Field fields[] = {
    core::field<&QuotaConf::requests>("requests", "Requests a client may make per period.", core::required, core::range(1, http::HostLimits::max_count), core::example("100000")),
    core::field<&QuotaConf::period>("period", "The calendar's period.", core::one_of_ignoring_case(http::Calendar::period_words)),
    core::field<&QuotaConf::time_zone>("timeZone", "Whose calendar it is.", core::example("Europe/Berlin")),
    core::section<&QuotaConf::key>("keyStrategy", "Whose requests are counted together.", http::key_strategy_section),
    core::field<&QuotaConf::sync>("sync", "How hosts that share a Redis agree: settle decides on the host and tells the others soon after, exact asks Redis for every request.", core::one_of_ignoring_case(http::sync_words)),
    core::field<&QuotaConf::on_store_failure>("onStoreFailure", "Without an answer of Redis: local lets in the host's share of what is left, allow everything, deny nothing (503).", core::one_of_ignoring_case(http::on_store_failure_words)),
    core::field<&QuotaConf::headers>("headers", "Tell clients the quota: RateLimit, RateLimit-Policy, X-RateLimit-Limit, -Remaining and -Reset, Retry-After."),
};

class Quota final : public http::Middleware {
 public:
  Quota(int64_t requests, http::Calendar calendar, http::LimitKey key, http::Limiter limiter, http::LimitAnswer answer)
      : requests_(requests), calendar_(calendar), key_(std::move(key)), limiter_(limiter), answer_(std::move(answer)) {}

  http::Verdict on_request(http::Exchange& x) const override {
    http::HostLimits limits(x);
    if (!limits.open()) return http::Verdict::next();
    const http::LimitQuestion question = question_of(x, limits);
    if (limiter_.asks(limits, question)) return x.await<http::SharedTake>(this, &Quota::judge, limiter_, question);
    return judge(x, limiter_.decide(x, limits, question));
  }

 private:
  http::LimitQuestion question_of(http::Exchange& x, const http::HostLimits& limits) const {
    const int64_t time_ns = limits.time_ns();
    const http::Calendar::Span& span = span_at(time_ns / second_ns);
    return {.id = key_.id(x, limits),
            .key = &key_,
            .capacity = requests_,
            .kind = "quota",
            .period = x.arena().copy(span.name),
            .number = static_cast<uint64_t>(span.begin),
            .length_ns = (span.end - span.begin) * second_ns,
            .left_ns = span.end * second_ns - time_ns,
            .durable = true};
  }

  http::Verdict judge(http::Exchange& x, const http::LimitDecision& decision) const {
    if (decision.denied) return answer_.deny(x, decision);
    answer_.describe(x, decision);
    if (decision.taken) return http::Verdict::next();
    http::HostLimits(x).turned_away("quota");
    return answer_.refuse(x, 429, "429 Too many requests. The quota is used up.", decision.wait_ns);
  }

  // The period changes rarely; what it was last is remembered.
  const http::Calendar::Span& span_at(int64_t second) const {
    if (second < span_.begin || second >= span_.end) span_ = calendar_.at(second);
    return span_;
  }

  int64_t requests_;
  http::Calendar calendar_;
  http::LimitKey key_;
  http::Limiter limiter_;
  http::LimitAnswer answer_;
  mutable http::Calendar::Span span_;
};

std::unique_ptr<http::Middleware> make(http::BuildContext& context) {
  QuotaConf conf;
  if (!http::read_rule(context, fields, &conf)) return nullptr;
  http::LimitKey key(context, conf.key);
  const auto period = static_cast<size_t>(std::find(std::begin(http::Calendar::period_words), std::end(http::Calendar::period_words), conf.period) - std::begin(http::Calendar::period_words));
  const std::optional<http::Calendar> calendar = http::Calendar::of(static_cast<http::Calendar::Period>(period), conf.time_zone);
  if (!calendar) {
    context.problems.error("bad-value", http::rule_place(context, "timeZone"), fmt::format("middleware \"{}\": there is no time zone \"{}\"", context.conf.name.text, conf.time_zone),
                           "zones are named as in /usr/share/zoneinfo (package tzdata), for example Europe/Berlin");
  }
  if (!calendar || !key.ok()) return nullptr;
  constexpr int64_t usual_seconds[] = {3600, 86'400, 7 * 86'400, 30 * 86'400};
  const http::Limiter limiter(conf.sync, conf.on_store_failure);
  http::LimitAnswer answer(context.conf.name.text, conf.requests, usual_seconds[period], conf.requests, conf.headers);
  return std::make_unique<Quota>(conf.requests, *calendar, std::move(key), limiter, std::move(answer));
}

constexpr std::string_view types[] = {"quota"};

}  // namespace

extern const http::ModuleInfo quota_module;
const http::ModuleInfo quota_module = {
    .name = "quota",
    .types = types,
    .doc = "Limits how many requests a client may make per calendar hour, day, week or month.",
    .fields = fields,
    .stage = http::Stage::chain,
    .path_use = http::PathUse::chain,
    .make = make,
};

}  // namespace goma::mod
