// SPDX-License-Identifier: Apache-2.0
//
// Answers from stored responses: what is configured. The cache itself is http/response_cache.h.
//
// A configuration of Goma's means what it meant, with two exceptions: a response that tells how long it is fresh is
// believed, and the query is part of what is stored unless the file says otherwise.
#include "http/response_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "core/schema.h"
#include "core/text.h"
#include "http/exchange.h"
#include "http/field_rules.h"
#include "http/module.h"

namespace goma::mod {

namespace {

constexpr int64_t goma_max_ttl = 300;
constexpr int64_t longest_s = 10 * 365 * 86'400;
constexpr int goma_excludes[] = {301, 302, 307, 308};  // of those below 400

struct HttpCacheConf {
  std::optional<int64_t> max_ttl;
  int64_t max_stale = 0;
  core::Size memory_limit{uint64_t{64} << 20};
  bool disable_cache_status_header = false;
  std::vector<int> cacheable_status_codes;
  std::vector<std::string> excluded_response_codes;
  std::optional<bool> include_query_in_key;
  std::vector<std::string> query_params_to_cache;
  bool cache_private_responses = false;
  std::vector<std::string> ignore_vary;
  std::optional<std::string> ttl_policy;
  core::TextMap negative_ttl;
  std::optional<core::Duration> stale_while_revalidate;
  std::optional<core::Duration> stale_if_error;
  core::Duration coalesce = core::Duration::from_seconds(5);
  std::optional<core::Size> max_entry_size;
  std::vector<std::string> tag_headers = {"Cache-Tag", "Surrogate-Key"};
  bool ignore_request_directives = false;
  std::string purge_token;
  bool shared = true;
  core::Size shared_max_entry_size{uint64_t{256} << 10};
};

constexpr std::string_view policies[] = {"rfc", "goma", "override"};

constexpr core::Field fields[] = {
    core::field<&HttpCacheConf::max_ttl>("maxTtl", "The most seconds that a response is fresh, and how long one is that says nothing, unless ttlPolicy is rfc.", core::range(1, longest_s)),
    core::field<&HttpCacheConf::max_stale>("maxStale", "Seconds after that in which it may be served stale: while it is validated, on errors of the backend, and for requests with max-stale.", core::range(0, longest_s)),
    core::field<&HttpCacheConf::memory_limit>("memoryLimit", "Shared memory for responses; that of all caches is one store of the host.", core::example("256Mi")),
    core::field<&HttpCacheConf::disable_cache_status_header>("disableCacheStatusHeader", "Do not send X-Cache-Status, X-Goma-Cache-Reason and Cache-Status."),
    core::field<&HttpCacheConf::cacheable_status_codes>("cacheableStatusCodes", "Only responses with these statuses are stored.", core::range(200, 599)),
    core::field<&HttpCacheConf::excluded_response_codes>("excludedResponseCodes", "Statuses, or ranges of them, that are not stored; 301, 302, 307 and 308 when nothing is written and ttlPolicy is not rfc.", core::example("500-599")),
    core::field<&HttpCacheConf::include_query_in_key>("includeQueryInKey", "Whether the query makes a difference; it does unless this is false."),
    core::field<&HttpCacheConf::query_params_to_cache>("queryParamsToCache", "Only these parameters of the query make a difference.", core::example("lang")),
    core::field<&HttpCacheConf::cache_private_responses>("cachePrivateResponses", "Store responses to requests with credentials too, for each client's own."),
    core::field<&HttpCacheConf::ignore_vary>("ignoreVary", "Request fields that make no difference although responses say so in Vary.", core::example("User-Agent")),
    core::field<&HttpCacheConf::ttl_policy>("ttlPolicy", "rfc: as RFC 9111 says, and where there is no maxTtl; goma: responses are believed, those that say nothing are fresh for maxTtl, and where there is one; override: always maxTtl.", core::one_of(policies), core::addition),
    core::field<&HttpCacheConf::negative_ttl>("negativeTtl", "Seconds that responses with a status are fresh, which are then stored too.", core::addition),
    core::field<&HttpCacheConf::stale_while_revalidate>("staleWhileRevalidate", "How long a stale response may be served while it is validated, where responses do not say; maxStale when nothing is written.", core::example("30s"), core::addition),
    core::field<&HttpCacheConf::stale_if_error>("staleIfError", "How long a stale response may stand in for an error of the backend, where responses do not say; maxStale when nothing is written.", core::example("1h"), core::addition),
    core::field<&HttpCacheConf::coalesce>("coalesce", "How long requests for the same wait for the one that fetches it; 0s: they do not.", core::addition),
    core::field<&HttpCacheConf::max_entry_size>("maxEntrySize", "Larger bodies are not stored; never more than a sixteenth of the store.", core::example("1Mi"), core::addition),
    core::field<&HttpCacheConf::tag_headers>("tagHeaders", "Response fields whose words a purge may name.", core::addition),
    core::field<&HttpCacheConf::ignore_request_directives>("ignoreRequestDirectives", "Do not follow Cache-Control and Pragma of requests.", core::addition),
    core::field<&HttpCacheConf::purge_token>("purgeToken", "Requests with the method PURGE and this bearer token purge what is stored.", core::as(core::Kind::secret), core::addition),
    core::field<&HttpCacheConf::shared>("shared", "Share responses with other hosts through gateway.redis, where there is one.", core::addition),
    core::field<&HttpCacheConf::shared_max_entry_size>("sharedMaxEntrySize", "Larger bodies are not put into Redis.", core::example("1Mi"), core::addition),
};

class HttpCache final : public http::Middleware {
 public:
  HttpCache(http::ResponseCacheRule rule, uint64_t bytes) : cache_(std::move(rule)), bytes_(bytes) {}
  http::Verdict on_request(http::Exchange& x) const override { return cache_.on_request(x); }
  http::Verdict on_response(http::Exchange& x) const override { return cache_.on_response(x); }
  http::BodyFilter* filter_body(http::Exchange& x) const override { return cache_.filter_body(x); }
  uint64_t store_bytes() const override { return bytes_; }

 private:
  http::ResponseCache cache_;
  uint64_t bytes_;
};

// Goma caches nothing without paths.
class Idle final : public http::Middleware {};

// ---------------------------------------------------------------- the rule

struct Range {
  int from = 0, to = 0;
};

// "404" or "500-599".
std::optional<Range> parse_range(std::string_view text) {
  const size_t dash = text.find('-');
  const std::optional<uint64_t> from = core::parse_u64(core::trim(text.substr(0, dash)));
  const std::optional<uint64_t> to = dash == std::string_view::npos ? from : core::parse_u64(core::trim(text.substr(dash + 1)));
  if (!from || !to || *from < 100 || *to > 599 || *from > *to) return std::nullopt;
  return Range{static_cast<int>(*from), static_cast<int>(*to)};
}

class RuleMaker {
 public:
  RuleMaker(http::BuildContext& context, const HttpCacheConf& conf) : context_(context), conf_(conf) {}

  http::ResponseCacheRule make() {
    http::ResponseCacheRule rule;
    rule.key = {context_.conf.name.text, conf_.include_query_in_key.value_or(true), conf_.query_params_to_cache, conf_.cache_private_responses};
    const std::string_view policy = conf_.ttl_policy ? std::string_view(*conf_.ttl_policy) : conf_.max_ttl ? policies[1] : policies[0];
    rule.freshness.ttl = static_cast<http::FreshnessRule::Ttl>(std::find(std::begin(policies), std::end(policies), policy) - std::begin(policies));
    rfc_ = rule.freshness.ttl == http::FreshnessRule::Ttl::rfc;
    rule.freshness.max_s = conf_.max_ttl.value_or(rfc_ ? http::CacheControl::longest : goma_max_ttl);
    rule.freshness.max_stale_s = conf_.max_stale;
    rule.freshness.stale_while_revalidate_s = conf_.stale_while_revalidate ? conf_.stale_while_revalidate->ms() / 1000 : conf_.max_stale;
    rule.freshness.stale_if_error_s = conf_.stale_if_error ? conf_.stale_if_error->ms() / 1000 : conf_.max_stale;
    rule.ignored_vary = conf_.ignore_vary;
    rule.tag_fields = conf_.tag_headers;
    if (conf_.max_entry_size) rule.most_bytes = conf_.max_entry_size->bytes;
    rule.coalesce_ms = conf_.coalesce.ms();
    rule.purge_token = conf_.purge_token;
    rule.shared = {conf_.shared, conf_.shared_max_entry_size.bytes};
    rule.ignores_requests = conf_.ignore_request_directives;
    rule.status_headers = !conf_.disable_cache_status_header;
    add_statuses(rule);
    add_negative(rule);
    warn();
    return rule;
  }

 private:
  void error(std::string_view key, std::string_view entry, const std::string& text) {
    context_.problems.error("bad-value", http::rule_place(context_, key, entry), fmt::format("middleware \"{}\": {}", context_.conf.name.text, text));
  }
  void warning(std::string_view key, const std::string& text) {
    context_.problems.warning("unsafe", http::rule_place(context_, key), fmt::format("middleware \"{}\": {}", context_.conf.name.text, text));
  }

  void add_statuses(http::ResponseCacheRule& rule) {
    for (int status = 200; status < (rfc_ ? 600 : 400) && conf_.cacheable_status_codes.empty(); ++status) rule.statuses[static_cast<size_t>(status)] = true;
    for (const int status : conf_.cacheable_status_codes) {
      if (!http::is_storable_status(status)) error("cacheableStatusCodes", std::to_string(status), fmt::format("cacheableStatusCodes: a response with status {} is never stored", status));
      rule.statuses[static_cast<size_t>(status)] = true;
    }
    if (conf_.excluded_response_codes.empty() && conf_.cacheable_status_codes.empty() && !rfc_) {
      for (const int status : goma_excludes) rule.statuses[static_cast<size_t>(status)] = false;
    }
    for (const std::string& text : conf_.excluded_response_codes) {
      const std::optional<Range> range = parse_range(text);
      if (!range) error("excludedResponseCodes", text, fmt::format("excludedResponseCodes: \"{}\" is neither a status nor a range like 500-599", text));
      for (int status = range ? range->from : 1; range && status <= range->to; ++status) rule.statuses[static_cast<size_t>(status)] = false;
    }
  }

  void add_negative(http::ResponseCacheRule& rule) {
    for (const auto& [key, value] : conf_.negative_ttl) {
      const std::optional<uint64_t> status = core::parse_u64(key);
      const std::optional<uint64_t> seconds = core::parse_u64(value);
      if (!status || *status < 200 || *status > 599 || !http::is_storable_status(static_cast<int>(*status))) {
        error("negativeTtl", key, fmt::format("negativeTtl: a response with status {} is never stored", key));
      } else if (!seconds || *seconds < 1 || *seconds > static_cast<uint64_t>(longest_s)) {
        error("negativeTtl", key, fmt::format("negativeTtl: \"{}\" is no number of seconds", value));
      } else {
        rule.freshness.negative.push_back({static_cast<int>(*status), static_cast<int64_t>(*seconds)});
        rule.statuses[*status] = true;
      }
    }
    for (int status = 200; status < 600; ++status) {
      if (!http::is_storable_status(status)) rule.statuses[static_cast<size_t>(status)] = false;
    }
  }

  void warn() {
    if (conf_.include_query_in_key == false) warning("includeQueryInKey", "includeQueryInKey: false gives the answer to one query to all others of the same path");
    else if (!conf_.query_params_to_cache.empty()) warning("queryParamsToCache", "parameters that are not in queryParamsToCache must make no difference to the backend: its answer is given to all of them");
  }

  http::BuildContext& context_;
  const HttpCacheConf& conf_;
  bool rfc_ = false;
};

std::unique_ptr<http::Middleware> make(http::BuildContext& context) {
  HttpCacheConf conf;
  if (!http::read_rule(context, fields, &conf)) return nullptr;
  const size_t before = context.problems.errors();
  http::ResponseCacheRule rule = RuleMaker(context, conf).make();
  if (context.problems.errors() != before) return nullptr;
  if (context.conf.paths.empty()) {
    context.problems.warning("no-effect", context.conf.place, fmt::format("middleware \"{}\": nothing is cached without paths; write paths: [\"/\"] for all of a route", context.conf.name.text));
    return std::make_unique<Idle>();
  }
  return std::make_unique<HttpCache>(std::move(rule), conf.memory_limit.bytes);
}

constexpr std::string_view types[] = {"httpCache"};

}  // namespace

extern const http::ModuleInfo http_cache_module;
const http::ModuleInfo http_cache_module = {
    .name = "httpCache",
    .types = types,
    .doc = "Answers from stored responses what was asked before.",
    .fields = fields,
    .stage = http::Stage::chain,
    .path_use = http::PathUse::chain,
    .paths = {.doubt = http::PathSet::Doubt::fails},
    .make = make,
};

}  // namespace goma::mod
