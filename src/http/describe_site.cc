// SPDX-License-Identifier: Apache-2.0
//
// Text and JSON about routes and backends.
#include "http/describe_site.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <ctime>

#include "core/health_zone.h"
#include "core/meaning.h"
#include "core/tls_files.h"
#include "http/config_tables.h"
#include "http/upstream.h"

namespace goma::http {

namespace {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

template <class Items, class Text>
std::string listed(const Items& items, Text text, bool json) {
  std::string out;
  for (const auto& item : items) {
    if (!out.empty()) out += json ? "," : ", ";
    out += json ? quoted(text(item)) : std::string(text(item));
  }
  return out;
}

std::string hosts_of(const Route& route, bool json) {
  return listed(route.conf->hosts, [](const core::PlacedText& t) -> std::string_view { return t.text; }, json);
}

std::string backends_of(const Route& route, bool json) {
  return listed(route.upstream->backends(), [](const Backend& b) -> std::string_view { return b.endpoint; }, json);
}

std::string steps_of(const Route& route, bool json) {
  return listed(route.steps, [](const Step& s) { return s.name; }, json);
}

std::string route_line(const Route& route) {
  return fmt::format("{:<24} {:>4}  {:<32} {:<28} {}\n", route.name, route.conf->priority, route.path,
                     route.conf->hosts.empty() ? "*" : hosts_of(route, false), backends_of(route, false));
}

std::string route_json(const Route& route) {
  return fmt::format(R"({{"name":{},"path":{},"priority":{},"hosts":[{}],"backends":[{}],"middlewares":[{}],"place":{}}})", quoted(route.name),
                     quoted(route.path), route.conf->priority, hosts_of(route, true), backends_of(route, true), steps_of(route, true),
                     quoted(fmt::format("{}:{}", route.conf->place.file, route.conf->place.line)));
}

std::string describe_routes(const Site& site, bool json) {
  std::string out = json ? "[" : fmt::format("{:<24} {:>4}  {:<32} {:<28} {}\n", "NAME", "PRIO", "PATH", "HOSTS", "BACKENDS");
  bool first = true;
  for (const Route& route : site.routes()) {
    if (!route.listed) continue;
    if (json && !first) out += ',';
    first = false;
    out += json ? route_json(route) : route_line(route);
  }
  return json ? out + "]\n" : out;
}

std::string health_text(const core::Health::State& state, int64_t left_ms) {
  if (left_ms > 0) return fmt::format("left out for {:.1f} s", static_cast<double>(left_ms) / 1000);
  return state.failures == 0 ? "ok" : fmt::format("{} failure{} in a row", state.failures, state.failures == 1 ? "" : "s");
}

std::string describe_backends(const Site& site, core::Slab& slab, bool json) {
  const core::Result<core::HealthZone> health = core::HealthZone::open(slab);
  const int64_t now_ms = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
  std::string out = json ? "[" : fmt::format("{:<24} {:<40} {:>6}  {}\n", "ROUTE", "ENDPOINT", "WEIGHT", "HEALTH");
  bool first = true;
  for (const Route& route : site.routes()) {
    if (!route.upstream) continue;
    for (const Backend& backend : route.upstream->backends()) {
      if (json && !first) out += ',';
      first = false;
      const core::Health::State state = health.ok() ? health.value().look(backend.peer.key(), now_ms).value_or(core::Health::State()) : core::Health::State();
      const int64_t left_ms = std::max<int64_t>(state.left_out_until_ms - now_ms, 0);
      out += json ? fmt::format(R"({{"route":{},"endpoint":{},"weight":{},"failures":{},"leftOutMs":{}}})", quoted(route.name), quoted(backend.endpoint), backend.weight, state.failures, left_ms)
                  : fmt::format("{:<24} {:<40} {:>6}  {}\n", route.name, backend.endpoint, backend.weight, health_text(state, left_ms));
    }
  }
  return json ? out + "]\n" : out;
}

std::string date_of(int64_t seconds) {
  const std::time_t time = seconds;
  tm parts{};
  gmtime_r(&time, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

std::string describe_certificates(const Site& site, bool json) {
  std::string out = json ? "[" : fmt::format("{:<40} {:<20} {:>5} {:<32} {}\n", "NAMES", "NOT AFTER", "DAYS", "ISSUER", "SOURCE");
  const int64_t now = std::time(nullptr);
  for (const Certificates::Entry& entry : site.certificates().entries()) {
    const core::TlsIdentity& identity = entry.identity;
    const auto same = [](const std::string& name) -> std::string_view { return name; };
    const int64_t days = (identity.not_after() - now) / 86'400;
    if (json && out.size() > 1) out += ',';
    out += json ? fmt::format(R"({{"names":[{}],"not_after":{},"days":{},"issuer":{},"source":{}}})", listed(identity.names(), same, true), quoted(date_of(identity.not_after())),
                              days, quoted(identity.issuer()), quoted(entry.source))
                : fmt::format("{:<40} {:<20} {:>5} {:<32} {}\n", listed(identity.names(), same, false), date_of(identity.not_after()), days, identity.issuer(), entry.source);
  }
  return json ? out + "]\n" : out;
}

void add_address(core::Plan& plan, const core::PlacedText& address, std::string_view key) {
  const core::Place& place = address.place;
  plan.addresses.push_back({address.text, place.line > 0 ? fmt::format("{}:{}:{} ({})", place.file, place.line, place.column, key) : fmt::format("the default of {}", key), place});
}

uint64_t mark_of(const std::string& meaning) { return std::hash<std::string>()(meaning); }

// Of a middleware, by the table of its type.
std::string meaning_of(const MiddlewareConf& conf, std::span<const ModuleInfo* const> modules) {
  std::string meaning;
  for (const core::PlacedText& path : conf.paths) meaning += quoted(path.text) + "\n";
  for (const ModuleInfo* module : modules) {
    if (std::find(module->types.begin(), module->types.end(), conf.type.text) == module->types.end()) continue;
    meaning += std::string(module->name) + core::meaning_of(module->fields, conf.rule);
  }
  return meaning;
}

// Files of certificates: those that clients are shown, and those that backends and Redis are judged by or shown.
std::vector<std::string> certificate_files(const Site& site) {
  std::vector<std::string> files = site.certificates().files();
  if (site.redis() != nullptr) files.insert(files.end(), site.redis()->tls_files.begin(), site.redis()->tls_files.end());
  for (const RouteConf& route : site.config().gateway.routes) {
    const BackendTlsConf& tls = route.security.tls;
    for (const core::PlacedText* file : {&tls.root_cas, &tls.client_cert, &tls.client_key}) {
      if (route.enabled && !file->text.empty() && !core::is_inline_pem(file->text)) files.push_back(file->text);
    }
  }
  std::sort(files.begin(), files.end());
  files.erase(std::unique(files.begin(), files.end()), files.end());
  return files;
}

}  // namespace

std::vector<core::RuleSection> rule_sections(std::span<const ModuleInfo* const> modules) {
  std::vector<core::RuleSection> out;
  for (const ModuleInfo* module : modules) out.push_back({module->types, module->doc, module->fields});
  return out;
}

core::Plan plan_of(const Site& site, std::span<const ModuleInfo* const> modules) {
  const Config& config = site.config();
  const LogConf& log = config.gateway.log;
  core::Plan plan;
  add_address(plan, config.gateway.entry_points.web.address, "gateway.entryPoints.web.address");
  if (config.serves_https()) add_address(plan, config.gateway.entry_points.web_secure.address, "gateway.entryPoints.webSecure.address");
  for (const auto& rule : site.pass_through()) {
    plan.addresses.push_back({rule->address, fmt::format("{} (gateway.entryPoints.passThrough)", rule->place), rule->at});
  }
  plan.log_level = log.level;
  plan.log_format = log.format;
  plan.log_file = log.file_path.text;
  plan.log_place = log.file_path.place;
  plan.log_max_size_mb = log.max_size_mb;
  plan.log_max_backups = log.max_backups;
  plan.log_max_age_days = log.max_age_days;
  const ExtraConfigConf& extra = config.gateway.extra_config;
  if (extra.watch && !extra.directory.text.empty()) plan.watch.push_back(extra.directory.text);
  plan.certificates = certificate_files(site);
  for (const Route& route : site.routes()) plan.routes += route.listed ? 1 : 0;
  plan.middlewares = config.middlewares.size();
  plan.limit_zone_bytes = config.gateway.shared_memory.limits.bytes;
  plan.silence_ms = int64_t{1000} * config.gateway.timeouts.worker;
  const int drain = config.gateway.timeouts.drain;
  plan.drain_ms = drain < 0 ? core::never_ms : int64_t{1000} * drain;
  for (const Route& route : site.routes()) {
    if (route.listed) plan.route_marks[route.name] = mark_of(core::meaning_of(route_section, route.conf));
  }
  for (const MiddlewareConf& middleware : config.middlewares) plan.middleware_marks[middleware.name.text] = mark_of(meaning_of(middleware, modules));
  plan.summary = effective_yaml(config);
  return plan;
}

std::string describe_site(const Site& site, core::Slab& slab, const std::string& what, bool json) {
  if (what == "routes") return describe_routes(site, json);
  if (what == "backends") return describe_backends(site, slab, json);
  if (what == "certificates") return describe_certificates(site, json);
  if (what == "config") {
    const std::string text = effective_yaml(site.config());
    return json ? fmt::format("{{\"config\":{}}}\n", quoted(text)) : text;
  }
  return {};
}

core::Resolver::Options resolver_options(const Config& config) {
  const DnsCacheConf& dns = config.gateway.networking.dns_cache;
  core::Resolver::Options options;
  options.ttl_seconds = dns.ttl;
  for (const core::PlacedText& server : dns.resolver) options.servers.push_back(server.text);
  return options;
}

}  // namespace goma::http
