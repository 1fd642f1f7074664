// SPDX-License-Identifier: Apache-2.0
//
// So many requests of one client per unit of time, exact over all workers of the host and over reloads, crashes and
// upgrades: what was taken lies in the slab (core/limit_zone.h), under the names of route and middleware.
//
// The one idea: a decision is one change of one cell, made before the request goes anywhere. A refused request changes
// nothing, so that who keeps asking does not wait the longer, unless a ban was asked for.
//
// It does not know other hosts.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "core/log.h"
#include "core/schema.h"
#include "core/text.h"
#include "http/client_address.h"
#include "http/exchange.h"
#include "http/field_rules.h"
#include "http/host_limits.h"
#include "http/module.h"

namespace goma::mod {

namespace {

constexpr int64_t second_ns = 1'000'000'000;
constexpr int64_t longest_ns = int64_t{1} << 61;
constexpr int64_t longest_ban_ns = 10 * 365 * 86'400 * second_ns;  // a count can be kept for five times that

struct KeyStrategyConf {
  std::string source = "ip";
  std::string name;
  int ipv6_prefix = 64;
};

struct RateLimitConf {
  std::string unit = "second";
  int64_t requests_per_unit = 0;
  int64_t burst = 0;
  std::string algorithm = "tokenBucket";
  int64_t ban_after = 0;
  core::Duration ban_duration = core::Duration::from_seconds(600);
  bool headers = true;
  KeyStrategyConf key;
};

constexpr std::string_view unit_words[] = {"second", "minute", "hour", "day"};
constexpr std::string_view source_words[] = {"ip", "header", "cookie"};
constexpr std::string_view algorithm_words[] = {"tokenBucket", "fixedWindow", "slidingWindow"};

constexpr core::Field key_fields[] = {
    core::field<&KeyStrategyConf::source>("source", "What tells clients apart.", core::one_of_ignoring_case(source_words)),
    core::field<&KeyStrategyConf::name>("name", "Name of the header field or cookie; a request without it counts for its IP address.", core::example("X-API-Key")),
    core::field<&KeyStrategyConf::ipv6_prefix>("ipv6Prefix", "IPv6 addresses that agree in so many bits are one client.", core::range(1, 128), core::addition),
};
constexpr core::Section key_section = core::section_of<KeyStrategyConf>("rateLimit.keyStrategy", "Whose requests are counted together.", key_fields);

constexpr core::Field fields[] = {
    core::field<&RateLimitConf::unit>("unit", "The unit of time.", core::one_of_ignoring_case(unit_words)),
    core::field<&RateLimitConf::requests_per_unit>("requestsPerUnit", "Requests a client may make per unit.", core::required, core::range(1, 1'000'000'000), core::example("100")),
    core::field<&RateLimitConf::burst>("burst", "Requests beyond that a client that was silent may make at once.", core::range(0, 1'000'000'000)),
    core::field<&RateLimitConf::algorithm>("algorithm", "How requests are counted.", core::one_of_ignoring_case(algorithm_words), core::addition),
    core::field<&RateLimitConf::ban_after>("banAfter", "Refused requests after which a client is banned; 0 means never.", core::range(0, 1'000'000'000)),
    core::field<&RateLimitConf::ban_duration>("banDuration", "How long a ban lasts, and how long refused requests are remembered.", core::example("10m")),
    core::field<&RateLimitConf::headers>("headers", "Tell clients the limit: RateLimit, RateLimit-Policy, X-RateLimit-Limit, -Remaining and -Reset, Retry-After.", core::addition),
    core::section<&RateLimitConf::key>("keyStrategy", "Whose requests are counted together.", key_section),
};

enum class Algorithm : unsigned char { token_bucket, fixed_window, sliding_window };
enum class Source : unsigned char { ip, header, cookie };

struct Settings {
  std::string name;
  int64_t unit_ns = second_ns;
  int64_t rate = 0;      // per unit
  int64_t capacity = 0;  // rate and burst
  int64_t interval_ns = 0;
  Algorithm algorithm = Algorithm::token_bucket;
  Source source = Source::ip;
  std::string key_name;
  int ipv6_prefix = 64;
  uint32_t ban_after = 0;
  int64_t ban_ns = 0;
  bool headers = true;
  std::string limit_text;   // X-RateLimit-Limit
  std::string policy_text;  // RateLimit-Policy
  std::string quoted_name;
};

struct Decision {
  bool taken = false;
  int64_t remaining = 0;
  int64_t reset_ns = 0;  // until all of it is there again
  int64_t wait_ns = 0;   // until one more is, when there is none
};

class RateLimit final : public http::Middleware {
 public:
  explicit RateLimit(Settings settings) : s_(std::move(settings)) {}

  http::Verdict on_request(http::Exchange& x) const override {
    http::HostLimits limits(x);
    if (!limits.open()) return http::Verdict::next();
    const uint64_t id = id_of(x, limits);
    const int64_t banned_ns = s_.ban_after != 0 ? limits.banned_ns(id) : 0;
    if (banned_ns != 0) {
      limits.turned_away("banned");
      return refuse(x, 403, "403 Forbidden: Client temporarily banned due to repeated abuse", banned_ns);
    }
    const Decision decision = s_.algorithm == Algorithm::token_bucket ? from_bucket(limits, id) : from_window(limits, id);
    if (s_.headers) describe(x, decision);
    if (decision.taken) return http::Verdict::next();
    strike(x, limits, id);
    limits.turned_away("refused");
    return refuse(x, 429, "429 Too many requests. Try again later.", decision.wait_ns);
  }

 private:
  uint64_t id_of(http::Exchange& x, const http::HostLimits& limits) const;
  Decision from_bucket(http::HostLimits& limits, uint64_t id) const;
  Decision from_window(http::HostLimits& limits, uint64_t id) const;
  void describe(http::Exchange& x, const Decision& decision) const;
  void strike(http::Exchange& x, http::HostLimits& limits, uint64_t id) const;
  http::Verdict refuse(http::Exchange& x, int status, std::string_view message, int64_t wait_ns) const;
  static std::string_view seconds(http::Exchange& x, int64_t ns);

  Settings s_;
};

// ---------------------------------------------------------------- who it is

std::string_view cookie(const http::Headers& headers, std::string_view name) {
  for (const http::Header& header : headers) {
    if (header.id != http::HeaderId::cookie) continue;
    for (const std::string_view pair : core::split(header.value, ';')) {
      const std::string_view trimmed = core::trim(pair);
      const size_t equals = trimmed.find('=');
      if (equals != std::string_view::npos && trimmed.substr(0, equals) == name) return trimmed.substr(equals + 1);
    }
  }
  return {};
}

uint64_t RateLimit::id_of(http::Exchange& x, const http::HostLimits& limits) const {
  const uint64_t limiter = limits.id(x.route_name(), s_.name);
  std::string_view value;
  if (s_.source == Source::header) {
    const http::Header* found = x.request().headers.find(s_.key_name);
    if (found != nullptr) value = found->value;
  } else if (s_.source == Source::cookie) {
    value = cookie(x.request().headers, s_.key_name);
  }
  if (!value.empty()) return limits.id(s_.key_name, value, limiter);
  return limits.id({}, http::network_of(x.client().ip, s_.ipv6_prefix, x.arena()), limiter);
}

// ---------------------------------------------------------------- how much is left

Decision RateLimit::from_bucket(http::HostLimits& limits, uint64_t id) const {
  const int64_t capacity_ns = s_.interval_ns * s_.capacity;
  const http::HostLimits::Level level = limits.take(id, s_.interval_ns, capacity_ns);
  const int64_t room_ns = capacity_ns - level.debt_ns;
  return {level.taken, room_ns / s_.interval_ns, level.debt_ns, level.taken ? 0 : s_.interval_ns - room_ns};
}

// Windows follow the wall clock, as people expect of a minute. What was taken in the window before counts, for the
// sliding kind, as far as it still lies within one unit from now.
Decision RateLimit::from_window(http::HostLimits& limits, uint64_t id) const {
  const int64_t wall_ns = limits.wall_ns();
  const int64_t left_ns = s_.unit_ns - wall_ns % s_.unit_ns;
  const auto of_window = [id](int64_t number) { return id + static_cast<uint64_t>(number) * 0x9e3779b97f4a7c15; };
  const uint64_t current = of_window(wall_ns / s_.unit_ns);
  const bool slides = s_.algorithm == Algorithm::sliding_window;
  const int64_t before = slides ? limits.counted(of_window(wall_ns / s_.unit_ns - 1)) : 0;
  const auto carried = static_cast<int64_t>(static_cast<__int128>(before) * left_ns / s_.unit_ns);
  const int64_t room = std::max<int64_t>(s_.capacity - carried, 0);
  const std::optional<uint32_t> count = limits.count(current, static_cast<uint32_t>(room), left_ns + (slides ? s_.unit_ns : 0));
  if (count) return {true, room - *count, left_ns, 0};
  const int64_t spare = s_.capacity - limits.counted(current) - 1;
  if (before == 0 || spare < 0) return {false, 0, left_ns, left_ns};
  const auto enough_ns = static_cast<int64_t>(static_cast<__int128>(spare + 1) * s_.unit_ns / before);  // left over when one more fits
  return {false, 0, left_ns, std::max<int64_t>(left_ns - enough_ns, 1)};
}

// ---------------------------------------------------------------- what is said

std::string_view number(core::Arena& arena, int64_t value) {
  const fmt::format_int text(value);
  return arena.copy({text.data(), text.size()});
}

// Whole seconds, rounded up: who waits that long is let in.
std::string_view RateLimit::seconds(http::Exchange& x, int64_t ns) { return number(x.arena(), (ns + second_ns - 1) / second_ns); }

// draft-ietf-httpapi-ratelimit-headers-10, and the names that clients knew before it.
void RateLimit::describe(http::Exchange& x, const Decision& decision) const {
  core::Arena& arena = x.arena();
  const std::string_view remaining = number(arena, decision.remaining);
  const std::string_view reset = seconds(x, decision.taken ? decision.reset_ns : decision.wait_ns);
  x.add_response_header("RateLimit-Policy", s_.policy_text);
  x.add_response_header("RateLimit", arena.join(s_.quoted_name, ";r=", remaining, ";t=", reset));
  x.add_response_header("X-RateLimit-Limit", s_.limit_text);
  x.add_response_header("X-RateLimit-Remaining", remaining);
  x.add_response_header("X-RateLimit-Reset", reset);
}

// A ban is told once, with the address; what else tells the client apart may be a secret.
void RateLimit::strike(http::Exchange& x, http::HostLimits& limits, uint64_t id) const {
  if (s_.ban_after == 0) return;
  const std::optional<uint32_t> strikes = limits.count(id, s_.ban_after, s_.ban_ns, true);
  if (strikes && *strikes < s_.ban_after) return;
  limits.ban(id, s_.ban_ns);
  limits.forget_count(id);
  core::log::warn("a client is banned", {{"route", x.route_name()}, {"middleware", s_.name}, {"client", x.client().ip}, {"seconds", s_.ban_ns / second_ns}});
}

http::Verdict RateLimit::refuse(http::Exchange& x, int status, std::string_view message, int64_t wait_ns) const {
  const http::Verdict verdict = x.reply(status, message);
  if (s_.headers) x.reply_header("Retry-After", seconds(x, wait_ns));
  return verdict;
}

// ---------------------------------------------------------------- the rule

template <size_t N>
size_t index_of(const std::string_view (&words)[N], std::string_view word) {
  return static_cast<size_t>(std::find(std::begin(words), std::end(words), word) - std::begin(words));
}

// A structured-field string (RFC 8941 3.3.3); what it cannot hold becomes "_".
std::string quoted(std::string_view name) {
  std::string text = "\"";
  for (const char c : name) text += c < ' ' || c > '~' || c == '"' || c == '\\' ? '_' : c;
  return text + "\"";
}

// False after telling what is wrong with the rule beyond single values.
bool check(http::BuildContext& context, const RateLimitConf& conf, const Settings& settings) {
  const std::string who = fmt::format("middleware \"{}\": ", context.conf.name.text);
  if (settings.source != Source::ip && conf.key.name.empty()) {
    context.problems.error("missing-key", http::rule_place(context, "keyStrategy"), fmt::format("{}keyStrategy.name is missing", who),
                           fmt::format("source \"{}\" needs the name of the {}", conf.key.source, conf.key.source == "cookie" ? "cookie" : "header field"));
    return false;
  }
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
  settings.source = static_cast<Source>(index_of(source_words, conf.key.source));
  settings.key_name = conf.key.name;
  settings.ipv6_prefix = conf.key.ipv6_prefix;
  settings.ban_after = static_cast<uint32_t>(conf.ban_after);
  settings.ban_ns = conf.ban_duration.nanoseconds;
  settings.headers = conf.headers;
  settings.limit_text = std::to_string(settings.capacity);
  settings.quoted_name = quoted(settings.name);
  settings.policy_text = fmt::format("{};q={};w={}", settings.quoted_name, settings.rate, settings.unit_ns / second_ns);
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
    .uses_paths = true,
    .make = make,
};

}  // namespace goma::mod
