// SPDX-License-Identifier: Apache-2.0
//
// From configuration to contexts: read the pairs, judge them, sort them by name, and make a context for every group of
// certificates and every rule that its names may meet.
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <map>
#include <optional>
#include <set>

#include "core/text.h"
#include "core/tls_files.h"
#include "http/authority.h"
#include "http/certificates.h"
#include "http/config.h"
#include "http/config_check.h"

namespace goma::http {

using core::Place;
using core::PlacedText;

namespace {

constexpr std::string_view usual_directory = "/etc/goma/certs";
enum Level : int { in_directory = 0, in_gateway = 1, in_route = 2, is_default = 3 };

std::string_view base_name(std::string_view path) {
  path = path.substr(path.rfind('/') + 1);
  return path.substr(0, path.rfind('.'));
}

bool ends_with_any(std::string_view path, std::initializer_list<std::string_view> endings) {
  return std::any_of(endings.begin(), endings.end(), [&](std::string_view end) { return path.ends_with(end); });
}

}  // namespace

class CertificatesBuilder {
 public:
  CertificatesBuilder(Certificates& made, const Config& config, core::Source& source, core::TlsTickets* tickets, const core::Staples* staples, core::Problems& problems)
      : made_(made), config_(config), tls_(config.gateway.tls), source_(source), tickets_(tickets), staples_(config.gateway.tls.ocsp_stapling ? staples : nullptr), problems_(problems) {}

  void build() {
    read_rules();
    read_directory();
    const bool old = !tls_.keys.empty();
    for (const KeyPairConf& pair : old ? tls_.keys : tls_.certificates) add_pair(pair, in_gateway, "gateway.tls.certificates");
    for (const RouteConf& route : config_.gateway.routes) {
      if (route.enabled) add_route(route);
    }
    add_default();
    if (problems_.has_errors()) return;
    sort_names();
    make_contexts();
    if (tls_.ocsp_stapling) collect_questions();
  }

 private:
  // ---- texts

  std::optional<std::string> read(const PlacedText& value, std::string_view what) {
    if (!core::is_inline_pem(value.text)) note_file(value.text);
    core::Result<std::string> text = core::read_pem(source_, value.text);
    if (text) return std::move(text).value();
    const bool missing = text.error().code == core::Code::not_found;
    problems_.error(missing ? "file-missing" : "file-unreadable", value.place, fmt::format("{}: cannot read {}: {}", what, core::pem_name(value.text), core::why_unreadable(text.error())));
    return std::nullopt;
  }

  void note_file(const std::string& path) {
    if (std::find(made_.files_.begin(), made_.files_.end(), path) == made_.files_.end()) made_.files_.push_back(path);
  }

  // ---- pairs

  void add_pair(const KeyPairConf& pair, Level level, std::string_view what) {
    const Place place = pair.node == nullptr ? Place{} : pair.node->place();
    if (pair.cert.text.empty() || pair.key.text.empty()) {
      problems_.error("missing-key", place, fmt::format("{} wants cert and key", what), "each a file, PEM, or base64 of PEM");
      return;
    }
    const std::optional<std::string> chain = read(pair.cert, what);
    const std::optional<std::string> key = read(pair.key, what);
    const size_t before = made_.entries_.size();
    if (chain && key) add_texts(*chain, *key, pair.cert, pair.key, level, what);
    if (made_.entries_.size() > before && !pair.ocsp.text.empty()) add_staple(pair.ocsp, what);
  }

  // It is only a help to clients: without it the certificate is served all the same.
  void add_staple(const PlacedText& file, std::string_view what) {
    note_file(file.text);
    core::TlsIdentity& identity = made_.entries_.back().identity;
    const core::Result<std::string_view> der = source_.read(file.text);
    core::Result<core::OcspStaple> staple = der ? core::read_ocsp(der.value(), identity.certificate(), std::time(nullptr)) : core::Result<core::OcspStaple>(core::Error{der.error().code, core::why_unreadable(der.error()), 0});
    if (staple) {
      identity.set_staple(std::move(staple).value());
    } else if (!der && source_.served(file.text)) {
      problems_.error("file-unreadable", file.place, fmt::format("{}: cannot read {}: {}", what, file.text, staple.error().text), "the response that is shown was read from it");
    } else {
      problems_.warning("bad-ocsp", file.place, fmt::format("{}: {}: {}", what, file.text, staple.error().text), "it is not shown");
    }
  }

  void add_texts(std::string_view chain, std::string_view key, const PlacedText& cert_at, const PlacedText& key_at, Level level, std::string_view what) {
    auto parsed = core::TlsIdentity::parse(chain, key);
    if (const auto* fault = std::get_if<core::TlsIdentity::Fault>(&parsed)) {
      const PlacedText& at = fault->in_key ? key_at : cert_at;
      core::Problem problem;
      problem.code = fault->code;
      problem.place = at.place;
      problem.message = fmt::format("{}: {} {}", what, core::pem_name(at.text), fault->message);
      problem.notes.push_back(fault->hint);
      problems_.add(std::move(problem));
      return;
    }
    auto& identity = std::get<core::TlsIdentity>(parsed);
    warn_of_time(identity, cert_at, what);
    made_.entries_.push_back({std::move(identity), level, cert_at.place.text()});
  }

  void warn_of_time(const core::TlsIdentity& identity, const PlacedText& at, std::string_view what) {
    const int64_t now = std::time(nullptr);
    if (identity.not_after() < now) {
      problems_.warning("certificate-expired", at.place, fmt::format("{}: {} has expired", what, core::pem_name(at.text)), "clients will refuse it");
    } else if (identity.not_before() > now) {
      problems_.warning("certificate-early", at.place, fmt::format("{}: {} is not valid yet", what, core::pem_name(at.text)), "clients will refuse it; is the clock right?");
    }
  }

  void add_route(const RouteConf& route) {
    const std::string what = fmt::format("route \"{}\": tls", route.name.text);
    const std::string& provider = route.tls.provider.text;
    if (!provider.empty() && !core::iequals(provider, "none")) {
      problems_.error("not-implemented", route.tls.provider.place, fmt::format("{}: this version of goma does not obtain certificates from a provider yet", what),
                      "provider: none, or keep Goma Gateway for this");
    }
    if (route.tls.certificate.node != nullptr) add_pair(route.tls.certificate, in_route, what);
  }

  // Shown when nothing else fits.
  void add_default() {
    if (tls_.default_pair.node != nullptr) {
      add_pair(tls_.default_pair, is_default, "gateway.tls.default");
      return;
    }
    const core::Result<std::string_view> made = source_.once("default-certificate", core::TlsIdentity::self_signed);
    if (!made) {
      problems_.error("bad-certificate", Place{}, fmt::format("the default certificate cannot be made: {}", made.error().text));
      return;
    }
    const PlacedText at{"the default certificate", {"self-signed", 0, 0, 0}};
    add_texts(made.value(), made.value(), at, at, is_default, "gateway.tls.default");
    if (made_.entries_.size() != 1 || problems_.has_errors()) return;
    const Place place = tls_.node != nullptr ? tls_.node->place() : Place{config_.path, 0, 0, 0};
    problems_.warning("self-signed", place, "no certificate is configured, so HTTPS is served with a self-signed one", "clients will not trust it");
  }

  // ---- certsDir (goma-config 11.3)

  void read_directory() {
    const PlacedText& directory = tls_.certs_dir;
    if (directory.text.empty()) return;
    note_file(directory.text);
    const auto listed = source_.list(directory.text);
    if (!listed) {
      const bool missing = listed.error().code == core::Code::not_found;
      if (missing && directory.text == usual_directory && !source_.served(directory.text)) return;
      tell_unread_directory("gateway.tls.certsDir", directory, listed.error(), source_, problems_);
      return;
    }
    std::vector<std::string> certificates, keys;
    const size_t depth = static_cast<size_t>(std::count(directory.text.begin(), directory.text.end(), '/')) + (directory.text.ends_with('/') ? 0 : 1);
    std::vector<std::string> paths = listed.value().files;
    for (const std::string& path : listed.value().broken) {
      if (source_.served(path)) paths.push_back(path);  // a certificate that serves does not go without a word
      else tell_broken(path);
    }
    for (const std::string& path : paths) {
      if (static_cast<size_t>(std::count(path.begin(), path.end(), '/')) != depth) continue;
      if (ends_with_any(path, {".crt", ".cert", ".pem"})) certificates.push_back(path);
      if (ends_with_any(path, {".key"})) keys.push_back(path);
    }
    pair_up(certificates, keys);
  }

  void tell_broken(const std::string& path) {
    const auto content = source_.read(path);
    if (!content) problems_.warning("broken-link", Place{path, 0, 0, 0}, fmt::format("gateway.tls.certsDir: {}", core::why_unreadable(content.error())), "it is ignored");
  }

  void pair_up(const std::vector<std::string>& certificates, const std::vector<std::string>& keys) {
    std::set<std::string> used;
    for (const std::string& path : certificates) {
      const std::string key = key_for(path, keys);
      used.insert(key);
      const PlacedText cert_at{path, {path, 0, 0, 0}};
      const PlacedText key_at{key, {key, 0, 0, 0}};
      const std::optional<std::string> chain = read(cert_at, "gateway.tls.certsDir");
      if (!chain) continue;
      const bool holds_key = key.empty() && chain->find("PRIVATE KEY-----") != std::string::npos;
      if (key.empty() && !holds_key) {
        problems_.warning("unpaired", cert_at.place, "gateway.tls.certsDir: there is no key for this certificate", "it is ignored");
        continue;
      }
      const std::optional<std::string> secret = holds_key ? chain : read(key_at, "gateway.tls.certsDir");
      if (secret) add_texts(*chain, *secret, cert_at, holds_key ? cert_at : key_at, in_directory, "gateway.tls.certsDir");
    }
    for (const std::string& key : keys) {
      if (used.count(key) == 0) problems_.warning("unpaired", Place{key, 0, 0, 0}, "gateway.tls.certsDir: there is no certificate for this key", "it is ignored");
    }
  }

  // The key of the same name, else one whose name begins the certificate's or the other way round.
  static std::string key_for(std::string_view certificate, const std::vector<std::string>& keys) {
    const std::string_view name = base_name(certificate);
    for (const std::string& key : keys) {
      if (base_name(key) == name) return key;
    }
    for (const std::string& key : keys) {
      if (name.starts_with(base_name(key)) || base_name(key).starts_with(name)) return key;
    }
    return {};
  }

  // ---- rules for client certificates

  void read_rules() {
    made_.rules_.push_back(read_rule(tls_.client_auth, "gateway.tls.clientAuth"));
    for (const RouteConf& route : config_.gateway.routes) {
      if (!route.enabled || route.tls.client_auth.node == nullptr) continue;
      const std::string what = fmt::format("route \"{}\": tls.clientAuth", route.name.text);
      if (route.hosts.empty()) {
        problems_.error("client-auth", route.tls.client_auth.node->place(), fmt::format("{} wants a route with hosts", what), "for every host there is gateway.tls.clientAuth");
        continue;
      }
      const size_t rule = number_of(read_rule(route.tls.client_auth, what));
      made_.route_rules_[route.name.text] = rule;
      for (const PlacedText& host : route.hosts) add_host_rule(host, rule, what);
    }
  }

  core::TlsClientRule read_rule(const ClientAuthConf& conf, std::string_view what) {
    if (conf.client_ca.text.empty()) {
      if (conf.required) problems_.error("client-auth", conf.node->place(), fmt::format("{} requires certificates, but has no clientCA to judge them by", what), "add clientCA");
      return {};
    }
    const std::optional<std::string> text = read(conf.client_ca, what);
    if (!text) return {};
    core::Result<core::TlsClientRule> rule = core::TlsClientRule::parse(*text, conf.required);
    if (rule) return std::move(rule).value();
    problems_.error("bad-certificate", conf.client_ca.place, fmt::format("{}: {} {}", what, core::pem_name(conf.client_ca.text), rule.error().text));
    return {};
  }

  // Equal rules are one.
  size_t number_of(core::TlsClientRule rule) {
    for (size_t i = 0; i < made_.rules_.size(); ++i) {
      if (made_.rules_[i].id() == rule.id()) return i;
    }
    made_.rules_.push_back(std::move(rule));
    return made_.rules_.size() - 1;
  }

  void add_host_rule(const PlacedText& host, size_t rule, std::string_view what) {
    std::string name = core::to_lower(split_host_port(host.text).host);
    Certificates::Names* names = &made_.host_rules_;
    if (name.starts_with("*.")) {
      names = &made_.wildcard_rules_;
      name.erase(0, 2);
    } else if (name.starts_with('{') && name.find("}.") != std::string::npos) {
      const size_t end = name.find("}.");
      names = name.substr(0, end).ends_with("...") ? &made_.wildcard_rules_ : &made_.label_rules_;
      name.erase(0, end + 2);
    } else if (name == "*" || name.starts_with('{')) {
      problems_.error("client-auth", host.place, fmt::format("{} wants hosts with names", what), "for every host there is gateway.tls.clientAuth");
      return;
    }
    const auto [known, fresh] = names->try_emplace(name, rule);
    if (!fresh && known->second != rule) {
      problems_.error("client-auth", host.place, fmt::format("{} differs from another route's for the same host", what), "a handshake knows the host and no path");
    }
  }

  // ---- names and contexts

  // For every name the certificate of the highest level, of equals the last; one with the other kind of key beside it.
  void sort_names() {
    std::map<std::string, std::vector<size_t>> by_name;
    for (size_t i = 0; i < made_.entries_.size(); ++i) {
      if (made_.entries_[i].level == is_default) continue;
      for (const std::string& name : made_.entries_[i].identity.names()) by_name[name].push_back(i);
    }
    for (auto& [name, candidates] : by_name) {
      const bool wildcard = name.starts_with("*.");
      (wildcard ? made_.wildcards_ : made_.exact_)[wildcard ? name.substr(2) : name] = group_for(best_of(candidates));
    }
    made_.default_group_ = group_for({made_.entries_.size() - 1});
  }

  std::vector<size_t> best_of(const std::vector<size_t>& candidates) const {
    const auto level = [this](size_t i) { return made_.entries_[i].level; };
    const size_t first = *std::max_element(candidates.begin(), candidates.end(), [&](size_t a, size_t b) { return level(a) == level(b) ? a < b : level(a) < level(b); });
    std::vector<size_t> best{first};
    for (auto i = candidates.rbegin(); i != candidates.rend(); ++i) {
      if (level(*i) != level(first) || made_.entries_[*i].identity.is_rsa() == made_.entries_[first].identity.is_rsa()) continue;
      best.push_back(*i);
      break;
    }
    std::sort(best.begin(), best.end());
    return best;
  }

  size_t group_for(const std::vector<size_t>& entries) {
    const auto [known, fresh] = group_numbers_.try_emplace(entries, made_.groups_.size());
    if (fresh) made_.groups_.push_back({entries, {}});
    return known->second;
  }

  void make_contexts() {
    for (size_t rule = 0; rule < made_.rules_.size(); ++rule) add_context(made_.default_group_, rule);
    for (const auto& [name, group] : made_.exact_) add_context(group, made_.rule_of(name));
    for (const auto& [parent, group] : made_.wildcards_) add_context(group, made_.rule_of("any." + parent));
    for (const auto& [host, rule] : made_.host_rules_) add_context(made_.group_of(host), rule);
  }

  void add_context(size_t group, size_t rule) {
    if (made_.groups_[group].find(rule) != nullptr) return;
    std::vector<const core::TlsIdentity*> identities;
    for (const size_t i : made_.groups_[group].entries) identities.push_back(&made_.entries_[i].identity);
    const core::TlsPolicy policy{tls_.min_version, tls_.ciphers.text, tls_.curves.text};
    auto context = core::TlsContext::server(policy, identities, made_.rules_[rule], config_.gateway.entry_points.web_secure.http2, tickets_, staples_);
    if (!context) {
      refuse_context(context.error().text, group);
      return;
    }
    made_.rule_ids_[context.value()->get()] = made_.rules_[rule].id();
    made_.groups_[group].contexts.emplace_back(rule, std::move(context).value());
  }

  void refuse_context(const std::string& text, size_t group) {
    const bool ciphers = text.starts_with("ciphers");
    if (ciphers || text.starts_with("curves")) {
      problems_.error(ciphers ? "bad-ciphers" : "bad-curves", ciphers ? tls_.ciphers.place : tls_.curves.place, fmt::format("gateway.tls.{}", text),
                      ciphers ? "openssl ciphers -v lists them" : "for example X25519:P-256");
      return;
    }
    problems_.error("bad-certificate", Place{}, fmt::format("{}: {}", made_.entries_[made_.groups_[group].entries.front()].source, text));
  }

  // Many authorities name no responder any more: only when nobody can be asked, the key does nothing.
  void collect_questions() {
    for (const Certificates::Entry& entry : made_.entries_) {
      std::optional<core::OcspQuestion> question = core::ocsp_question(entry.identity.chain());
      if (!question) continue;
      question->name = entry.identity.names().empty() ? entry.source : entry.identity.names().front();
      made_.to_staple_.push_back(std::move(*question));
    }
    if (!made_.to_staple_.empty()) return;
    problems_.warning("nothing-to-staple", tls_.node->place(), "gateway.tls.ocspStapling: no certificate has its issuer behind it and names an http:// responder", "openssl x509 -in CERT -noout -ocsp_uri shows the responder");
  }

  Certificates& made_;
  const Config& config_;
  const TlsConf& tls_;
  core::Source& source_;
  core::TlsTickets* tickets_;
  const core::Staples* staples_;
  core::Problems& problems_;
  std::map<std::vector<size_t>, size_t> group_numbers_;
};

void Certificates::build(const Config& config, core::Source& source, core::TlsTickets* tickets, const core::Staples* staples, core::Problems& problems) {
  CertificatesBuilder(*this, config, source, tickets, staples, problems).build();
}

}  // namespace goma::http
