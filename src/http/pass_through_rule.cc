// SPDX-License-Identifier: Apache-2.0
//
// From the configuration to rules, and what is wrong with it.
#include "http/pass_through_rule.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "core/idn.h"
#include "core/text.h"
#include "http/authority.h"

namespace goma::http {

using core::Address;
using core::Place;
using core::PlacedText;
using core::Problems;

namespace {

constexpr int64_t udp_idle_ms = 300'000;
constexpr size_t udp_sessions = 1024;
constexpr size_t most_targets = 64;
constexpr std::string_view section = "gateway.entryPoints.passThrough";

bool speaks(const ForwardConf& conf, bool udp) { return conf.protocol == "tcp/udp" || conf.protocol == (udp ? "udp" : "tcp"); }

std::optional<Address> address_of(const ForwardConf& conf) {
  const std::string_view ip = conf.address.text.empty() ? std::string_view("::") : std::string_view(conf.address.text);
  return Address::parse_ip(ip, static_cast<uint16_t>(conf.port));
}

// Where a key of the forward stands, else the forward itself.
Place place_of(const ForwardConf& conf, std::string_view key) {
  const core::yaml::Node* node = conf.node == nullptr ? nullptr : conf.node->find(key);
  return node == nullptr ? conf.place : node->place();
}

PassThroughRule::Targets make_targets(const PlacedText& one, const std::vector<PlacedText>& more) {
  PassThroughRule::Targets made;
  core::RelayTarget target;
  if (!one.text.empty() && parse_relay_target(one.text, target)) made.push_back(target);
  for (const PlacedText& text : more) {
    if (parse_relay_target(text.text, target)) made.push_back(target);
  }
  return made;
}

std::string host_key(std::string_view pattern) {
  if (pattern.starts_with('*')) pattern.remove_prefix(1);
  return core::to_lower(pattern);
}

std::shared_ptr<const PassThroughRule> make_rule(const ForwardConf& conf, bool udp) {
  auto rule = std::make_shared<PassThroughRule>();
  const Address address = address_of(conf).value_or(Address());
  rule->udp = udp;
  rule->name = address.text();
  rule->address = fmt::format("{}:{}", rule->protocol(), rule->name);
  rule->at = place_of(conf, "port");
  rule->place = rule->at.text();
  rule->lists.push_back(make_targets(conf.target, conf.targets));
  for (const SniConf& entry : conf.sni) {
    for (const PlacedText& host : entry.hosts) rule->hosts.emplace(host_key(host.text), rule->lists.size());
    rule->lists.push_back(make_targets({}, entry.targets));
  }
  rule->connect_ms = conf.connect_timeout.ms();
  rule->idle_ms = conf.idle_timeout ? conf.idle_timeout->ms() : udp ? udp_idle_ms : 0;
  rule->max_connections = conf.max_connections ? static_cast<size_t>(*conf.max_connections) : udp ? udp_sessions : 0;
  rule->proxy_version = conf.proxy_protocol;
  return rule;
}

// ---------------------------------------------------------------- checking

// A listening address of the configuration and where it stands.
struct Taken {
  Address address;
  bool udp;
  Place place;
  std::string who;
};

bool overlap(const Taken& a, const Taken& b) {
  if (a.udp != b.udp || a.address.port() != b.address.port()) return false;
  if (a.address == b.address) return true;
  if (a.address.port() == 0) return false;
  const auto covers = [](const Address& wide, const Address& other) {
    return wide.is_any() && (wide.family() == Address::Family::ipv6 || other.family() == Address::Family::ipv4);
  };
  return covers(a.address, b.address) || covers(b.address, a.address);
}

struct ForwardChecker {
  Problems& problems;
  std::vector<Taken> taken;

  void take(Taken fresh);
  void targets(const std::string& where, const PlacedText& one, const std::vector<PlacedText>& more);
  void server_names(const std::string& where, const ForwardConf& conf);
  void forward(const std::string& where, const ForwardConf& conf);
};

void ForwardChecker::take(Taken fresh) {
  for (const Taken& other : taken) {
    if (!overlap(fresh, other)) continue;
    core::Problem problem;
    problem.code = "port-twice";
    problem.place = fresh.place;
    problem.message = fmt::format("{} listens on {} port {}, which {} already has", fresh.who, fresh.udp ? "UDP" : "TCP", fresh.address.port(), other.who);
    problem.second = other.place.known() ? std::optional(other.place) : std::nullopt;
    problem.second_label = "first one here";
    problems.add(std::move(problem));
    return;
  }
  taken.push_back(std::move(fresh));
}

void ForwardChecker::targets(const std::string& where, const PlacedText& one, const std::vector<PlacedText>& more) {
  core::RelayTarget ignored;
  const auto check = [&](const std::string& key, const PlacedText& text) {
    if (parse_relay_target(text.text, ignored)) return;
    const core::Result<std::string> label = core::to_a_label(split_host_port(text.text).host);
    if (!label) return problems.error("bad-target", text.place, fmt::format("{}.{}: the name in \"{}\" is no host name: {}", where, key, text.text, label.error().text));
    problems.error("bad-target", text.place, fmt::format("{}.{} wants host:port, got \"{}\"", where, key, text.text), "for example 127.0.0.1:5432");
  };
  if (one.place.known()) check("target", one);
  for (const PlacedText& text : more) check("targets", text);
  if (more.size() > most_targets) problems.error("bad-target", more.back().place, fmt::format("{}.targets has more than {} entries", where, most_targets));
}

void ForwardChecker::server_names(const std::string& where, const ForwardConf& conf) {
  std::map<std::string, Place> seen;
  for (size_t i = 0; i < conf.sni.size(); ++i) {
    const std::string entry = fmt::format("{}.sni[{}]", where, i);
    targets(entry, {}, conf.sni[i].targets);
    for (const PlacedText& host : conf.sni[i].hosts) {
      if (host.text.find_first_of("{[:") != std::string::npos) {
        problems.error("bad-host", host.place, fmt::format("{}.hosts wants names and *.name, got \"{}\"", entry, host.text), "for example *.example.com");
      }
      const auto [first, added] = seen.emplace(host_key(host.text), host.place);
      if (!added) problems.error("duplicate-name", host.place, fmt::format("{}: the server name \"{}\" is there already", entry, host.text));
    }
  }
}

void ForwardChecker::forward(const std::string& where, const ForwardConf& conf) {
  targets(where, conf.target, conf.targets);
  server_names(where, conf);
  if (!conf.target.place.known() && conf.targets.empty() && conf.sni.empty()) {
    problems.error("missing-target", conf.place, fmt::format("{} has neither a target nor targets", where), "for example target: 127.0.0.1:5432");
  }
  for (const char* key : {"proxyProtocol", "sni"}) {
    const bool used = std::string_view(key) == "sni" ? !conf.sni.empty() : conf.proxy_protocol != 0;
    if (conf.protocol == "udp" && used) problems.error("tcp-only", place_of(conf, key), fmt::format("{}: {} works with TCP only", where, key), "remove it");
  }
  const std::optional<Address> address = address_of(conf);
  if (!address) {
    problems.error("bad-address", conf.address.place, fmt::format("{}.address wants an IP address, got \"{}\"", where, conf.address.text), "for example 127.0.0.1");
    return;
  }
  for (const bool udp : {false, true}) {
    if (speaks(conf, udp)) take({*address, udp, place_of(conf, "port"), where});
  }
}

}  // namespace

bool parse_relay_target(std::string_view text, core::RelayTarget& into) {
  const HostPort parts = split_host_port(text);
  if (!core::is_ascii(parts.host)) {
    const core::Result<std::string> label = core::to_a_label(parts.host);
    return label && parse_relay_target(fmt::format("{}:{}", label.value(), parts.port), into);
  }
  const std::optional<uint64_t> port = core::parse_u64(parts.port);
  if (!port || *port < 1 || *port > 65535 || parts.host.empty() || parts.host.size() > 253) return false;
  std::string_view host = parts.host;
  const bool bracketed = host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (bracketed || host.find(':') != std::string_view::npos) {
    if (!bracketed || !Address::parse_ip(host) || host.find(':') == std::string_view::npos) return false;
  } else if (!std::all_of(host.begin(), host.end(), [](char c) { return core::is_alpha(c) || core::is_digit(c) || c == '-' || c == '_' || c == '.'; })) {
    return false;
  }
  into = {std::string(text), std::string(host), static_cast<uint16_t>(*port)};
  return true;
}

size_t PassThroughRule::list_for(std::string_view server_name) const {
  std::string wanted = core::to_lower(server_name);
  if (wanted.ends_with('.')) wanted.pop_back();
  if (const auto exact = hosts.find(wanted); exact != hosts.end() && !wanted.empty()) return exact->second;
  for (size_t dot = wanted.find('.'); dot != std::string::npos; dot = wanted.find('.', dot + 1)) {
    if (const auto wild = hosts.find(wanted.substr(dot)); wild != hosts.end()) return wild->second;
  }
  const auto any = hosts.find("");
  return any == hosts.end() || wanted.empty() ? 0 : any->second;
}

PassThroughRules make_pass_through_rules(const PassThroughConf& conf) {
  PassThroughRules rules;
  for (const ForwardConf& forward : conf.forwards) {
    for (const bool udp : {false, true}) {
      if (speaks(forward, udp)) rules.push_back(make_rule(forward, udp));
    }
  }
  return rules;
}

void check_pass_through(const Config& config, Problems& problems) {
  const GatewayConf& gateway = config.gateway;
  ForwardChecker checker{problems, {}};
  const auto take_web = [&](const PlacedText& text, const char* who) {
    if (const std::optional<Address> address = Address::parse(text.text)) checker.take({*address, false, text.place, who});
  };
  take_web(gateway.entry_points.web.address, "gateway.entryPoints.web");
  if (config.serves_https()) take_web(gateway.entry_points.web_secure.address, "gateway.entryPoints.webSecure");
  const std::vector<ForwardConf>& forwards = gateway.entry_points.pass_through.forwards;
  for (size_t i = 0; i < forwards.size(); ++i) checker.forward(fmt::format("{}.forwards[{}]", section, i), forwards[i]);
}

}  // namespace goma::http
