// SPDX-License-Identifier: Apache-2.0
//
// Addresses first, then the mode, then the rest. The order in which values win: GOMA_REDIS_*, TYK_GW_STORAGE_*, the
// file; a key of ours and one of Tyk's for the same thing in one file are an error.
#include "http/config_redis_fold.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "core/describe_text.h"
#include "core/text.h"
#include "http/config_tables.h"
#include "http/redis_address.h"

namespace goma::http {

using core::Place;
using core::PlacedText;

namespace {

constexpr std::string_view prefix = "gateway.redis.";
constexpr const char* hosts_variable = "TYK_GW_STORAGE_HOSTS";
constexpr uint16_t usual_port = 6379, usual_sentinel_port = 26379;
constexpr const char* no_pool = "there is one pipelined connection for each server and process";
constexpr const char* no_definitions = "goma keeps no definitions of Tyk in Redis";

const core::Field* find_field(const core::Section& section, std::string_view name) {
  for (const core::Field& field : section.fields) {
    if (field.name == name) return &field;
  }
  return nullptr;
}

bool is_set(const std::optional<PlacedText>& text) { return text && !core::trim(text->text).empty(); }

// Whether any key has a value that is not its default: what `goma -T` shows of a file without Redis asks for none.
bool says_anything(const core::Section& section, const void* conf) {
  const auto member_of = [](const core::Field& field, const void* in) -> const void* { return field.member(const_cast<void*>(in)); };
  for (const core::Field& field : section.fields) {
    const void* member = member_of(field, conf);
    if (field.kind == core::Kind::section) {
      if (says_anything(*field.section, member)) return true;
    } else if (field.kind == core::Kind::raw) {
      if (field.get(member, 0).node != nullptr) return true;
    } else if (field.is_optional || field.shape != core::Shape::single) {
      if (field.count(member) != 0) return true;
    } else if (core::print_value(field, field.get(member, 0)) != core::print_value(field, field.get(member_of(field, field.defaults()), 0))) {
      return true;
    }
  }
  return false;
}

class Fold {
 public:
  Fold(RedisConf& conf, std::map<std::string, std::string>& environment, core::Source& source, core::Problems& problems)
      : conf_(conf), environment_(environment), source_(source), problems_(problems), hosts_text_(source.env(hosts_variable).value_or("")) {}

  void run();

 private:
  struct Written {
    std::string text;
    RedisSaid said;
  };

  RedisSaid said(const std::string& key) const { return redis_said(conf_, environment_, key); }
  bool asks_for_redis() const;
  bool has_unknown_key() const;
  std::vector<Written> choose_addresses();
  std::vector<Written> hosts();
  void read_addresses();
  void take_url(const RedisUrl& url, const RedisSaid& from);
  template <class T>
  void take(const T& value, const RedisSaid& from, const char* key, T& into);
  void settle_mode();
  void check_mode();
  void check_flush();
  void settle_prefix();
  void settle_timeouts();
  void settle_tls();
  void check_tls();
  void check_version(const char* key, std::string& version);
  void read_version(const char* key, std::initializer_list<const char*> variables, std::optional<PlacedText>& into);
  void check_versions();
  void tell_no_effect();
  void check_iam();
  template <class T, class U>
  void fold(const char* old_key, std::optional<T>& from, const char* key, U& into);

  void error(std::string code, const RedisSaid& at, std::string_view message, std::string hint = {}) {
    problems_.error(std::move(code), at.place, fmt::format("{} {}", at.name, message), std::move(hint));
  }
  void no_effect(const std::string& key, std::string_view why) {
    const RedisSaid at = said(key);
    problems_.warning("no-effect", at.place, fmt::format("{} has no effect: {}", at.name, why));
  }
  void twice(const RedisSaid& one, const RedisSaid& other);
  // The value of `from` is now that of `key`.
  void move(const std::string& key, const std::string& from) {
    const RedisSaid at = said(from);
    environment_[std::string(prefix) + key] = at.variable ? environment_[std::string(prefix) + from] : fmt::format("{}:{}", at.place.file, at.place.line);
    conf_.moved[key] = from;
  }

  RedisConf& conf_;
  std::map<std::string, std::string>& environment_;
  core::Source& source_;
  core::Problems& problems_;
  std::string hosts_text_;
  bool url_tls_ = false;
};

void Fold::twice(const RedisSaid& one, const RedisSaid& other) {
  core::Problem problem;
  problem.code = "duplicate-key";
  problem.place = other.place;
  problem.message = fmt::format("{} and {} say the same thing", one.name, other.name);
  problem.hint = "keep one of them";
  problem.second = one.place;
  problem.second_label = "the other one";
  problems_.add(std::move(problem));
}

bool Fold::asks_for_redis() const {
  const bool address = said("addr").variable || said("addrs").variable || said("host").variable || said("port").variable || !hosts_text_.empty();
  return address || (conf_.node != nullptr && (says_anything(redis_section, &conf_) || has_unknown_key()));
}

// ---- addresses -----------------------------------------------------------------------------------------------------

std::vector<Fold::Written> Fold::hosts() {
  std::vector<Written> found;
  if (!hosts_text_.empty()) {
    const RedisSaid from{fmt::format("the environment variable {}", hosts_variable), {}, true, true};
    for (const std::string_view item : core::split(hosts_text_, ',')) found.push_back({std::string(core::trim(item)), from});
    return found;
  }
  if (conf_.hosts == nullptr || conf_.hosts->is_null()) return found;
  RedisSaid at = said("hosts");
  for (const core::yaml::Pair& pair : conf_.hosts->pairs) {
    at.place = pair.key->place();
    if (pair.value->is_scalar()) found.push_back({fmt::format("{}:{}", pair.key->text, pair.value->text), at});
    else error("bad-type", at, "wants a port for each host");
  }
  for (const core::yaml::Node* item : conf_.hosts->items) {
    at.place = item->place();
    if (item->is_scalar()) found.push_back({item->text, at});
    else error("bad-type", at, "wants host:port for each item");
  }
  if (conf_.hosts->is_scalar()) error("bad-type", at, "wants a mapping of hosts to ports, or a list");
  return found;
}

// Tyk's order is addrs, hosts, host; our addr stands before what the file says and behind Tyk's variables.
std::vector<Fold::Written> Fold::choose_addresses() {
  const RedisSaid addr = said("addr"), addrs = said("addrs");
  std::vector<Written> many = hosts(), listed;
  for (const PlacedText& item : conf_.addrs) {
    RedisSaid at = addrs;
    if (!at.variable) at.place = item.place;
    listed.push_back({item.text, at});
  }
  const bool has_host = conf_.host || conf_.port;
  const RedisSaid host = conf_.host ? said("host") : said("port");
  if (many.empty() && has_host && conf_.port.value_or(usual_port) != 0) {
    const std::string name = is_set(conf_.host) ? conf_.host->text : "localhost";
    const bool bare = name.find(':') != std::string::npos && name.front() != '[';
    many.push_back({conf_.port ? fmt::format("{}:{}", bare ? "[" + name + "]" : name, *conf_.port) : name, host});
  }
  const bool single = is_set(conf_.addr);
  if (single && addr.variable) return {{conf_.addr->text, addr}};
  if (!listed.empty() && addrs.variable) return listed;
  if (!many.empty() && many.front().said.variable && (listed.empty() || single)) return many;
  if (single && (!listed.empty() || !many.empty())) {
    twice(addr, !listed.empty() ? addrs : many.front().said);
    return {};
  }
  if (single) return {{conf_.addr->text, addr}};
  if (!listed.empty() && !many.empty()) problems_.warning("no-effect", many.front().said.place, fmt::format("{} has no effect: {} says where Redis is", many.front().said.name, addrs.name));
  return listed.empty() ? many : listed;
}

// A value of the URL: one of the same file's keys is an error, a variable wins.
template <class T>
void Fold::take(const T& value, const RedisSaid& from, const char* key, T& into) {
  const RedisSaid own = said(key);
  if (own.variable) return;
  if (own.given && !from.variable) return twice(own, from);
  into = value;
}

void Fold::take_url(const RedisUrl& url, const RedisSaid& from) {
  url_tls_ = url_tls_ || url.tls;
  if (!url.username.empty()) {
    std::string name = conf_.username ? conf_.username->text : "";
    take(url.username, from, "username", name);
    conf_.username = PlacedText{name, from.place};
  }
  if (!url.password.empty()) take(url.password, from, "password", conf_.password.text);
  if (url.database) take(*url.database, from, "db", conf_.db);
}

// Then the address may be there, misspelt, and was told.
bool Fold::has_unknown_key() const {
  const auto unknown = [this](const core::yaml::Pair& pair) {
    const auto names = [&](const core::Field& field) { return field.name == pair.key->text || std::find(field.aliases.begin(), field.aliases.end(), pair.key->text) != field.aliases.end(); };
    return std::none_of(redis_section.fields.begin(), redis_section.fields.end(), names);
  };
  return conf_.node != nullptr && std::any_of(conf_.node->pairs.begin(), conf_.node->pairs.end(), unknown);
}

void Fold::read_addresses() {
  const size_t before = problems_.errors();
  const std::vector<Written> written = choose_addresses();
  const uint16_t port = conf_.mode == "sentinel" ? usual_sentinel_port : usual_port;
  for (const Written& one : written) {
    const bool secret = one.text.find('@') != std::string::npos;
    auto url = parse_redis_address(one.text, port);
    if (!url.ok()) {
      error("bad-address", one.said, secret ? url.error().text : fmt::format("{}: \"{}\"", url.error().text, one.text), "for example redis.internal:6379, unix:/run/redis.sock or redis://user:password@host:6379/0");
      continue;
    }
    if (written.size() > 1 && (url.value().has_credentials || url.value().database)) {
      error("bad-address", one.said, "cannot carry a password or a database in one of several addresses", "use the keys username, password and db");
      continue;
    }
    take_url(url.value(), one.said);
    conf_.addresses.push_back(url.value().address);
  }
  if (conf_.addr) conf_.addr->text = bare_redis_address(conf_.addr->text);
  for (PlacedText& item : conf_.addrs) item.text = bare_redis_address(item.text);
  if (!written.empty() || problems_.errors() != before || (problems_.has_errors() && has_unknown_key())) return;
  if (conf_.addr) {
    problems_.warning("no-redis", said("addr").place, "gateway.redis.addr is empty: there is no Redis");
  } else {
    problems_.error("missing-key", conf_.place, "gateway.redis needs the key \"addr\", or \"addrs\"", "for example addr: redis.internal:6379");
  }
}

// ---- mode ----------------------------------------------------------------------------------------------------------

void Fold::settle_mode() {
  const bool master = is_set(conf_.master_name), cluster = conf_.enable_cluster.value_or(false);
  if (conf_.mode) {
    if (*conf_.mode == "sentinel" && !master) error("missing-key", said("mode"), "is sentinel, which needs the key \"masterName\"");
    if (*conf_.mode == "standalone" && cluster) error("contradiction", said("enable_cluster"), "contradicts gateway.redis.mode: standalone", "remove one of them");
    if (*conf_.mode != "sentinel" && master) no_effect("masterName", fmt::format("the mode is {}", *conf_.mode));
    if (*conf_.mode == "sentinel" && cluster) no_effect("enable_cluster", "the mode is sentinel");
  } else {
    if (master && cluster) no_effect("enable_cluster", fmt::format("with {} the addresses are those of Sentinels", said("masterName").name));
    conf_.mode = master ? "sentinel" : cluster ? "cluster" : "standalone";
    if (master || cluster) move("mode", master ? "masterName" : "enable_cluster");
  }
}

void Fold::check_mode() {
  if (conf_.mode == "cluster" && conf_.db != 0) {
    no_effect("db", "a Cluster has only the database 0");
    conf_.db = 0;
  }
  if (conf_.mode == "standalone" && conf_.addresses.size() > 1) {
    const char* key = said("addrs").given && !conf_.addrs.empty() ? "addrs" : "hosts";
    RedisSaid at = said(key);
    if (!at.given) at.name = fmt::format("the environment variable {}", hosts_variable);
    problems_.warning("no-effect", at.place, fmt::format("{}: only the first address is used, {}", at.name, conf_.addresses.front().text()), "set masterName for Sentinels, or mode: cluster");
    conf_.addresses.resize(1);
  }
  if (conf_.mode == "sentinel") return;
  if (!conf_.sentinel_password.text.empty()) no_effect("sentinelPassword", fmt::format("the mode is {}", *conf_.mode));
  if (is_set(conf_.sentinel_username)) no_effect("sentinelUsername", fmt::format("the mode is {}", *conf_.mode));
}

void Fold::check_flush() {
  if (conf_.flush_cluster && !(conf_.flush_on_startup && conf_.mode == "cluster")) no_effect("flushCluster", "it only confirms flushOnStartup on a Cluster");
  if (!conf_.flush_on_startup || conf_.flush_cluster || conf_.mode != "cluster") return;
  error("contradiction", said("flushOnStartup"), "would delete everything on every server of the Cluster", "remove flushOnStartup, or confirm it with flushCluster: true");
}

// ---- times ---------------------------------------------------------------------------------------------------------

void Fold::settle_timeouts() {
  constexpr uint64_t longest_seconds = 3600;
  const RedisSaid at = said("timeout");
  const auto seconds = core::parse_u64(conf_.timeout.text);
  if (seconds && *seconds > longest_seconds) error("bad-value", at, "wants at most 3600 seconds");
  if (seconds && *seconds > 0 && said("connectTimeout").given) {
    no_effect("timeout", "connectTimeout says how long a connection may take");
  } else if (seconds && *seconds > 0) {
    conf_.connect_timeout = core::Duration::from_seconds(static_cast<int64_t>(std::min(*seconds, longest_seconds)));
    move("connectTimeout", "timeout");
    problems_.warning("tyk-timeout", at.place, fmt::format("{} is a number of seconds, as in Tyk: it becomes connectTimeout, and a command's deadline stays 50ms", at.name),
                      fmt::format("write connectTimeout: {}s, and timeout: 50ms", *seconds));
  }
  if (seconds) {
    conf_.timeout.text = RedisConf{}.timeout.text;
  }
  const auto deadline = core::parse_duration(conf_.timeout.text);
  const auto fits = [](core::Duration time) { return time.ms() >= 1 && time.ms() <= int64_t{longest_seconds} * 1000; };
  if (!deadline || !fits(*deadline)) error("bad-value", at, fmt::format("wants a duration from 1ms to 1h, got \"{}\"", conf_.timeout.text), "for example 50ms");
  if (!fits(conf_.connect_timeout)) error("bad-value", said("connectTimeout"), "wants a duration from 1ms to 1h", "for example 1s");
  conf_.deadline = deadline.value_or(core::Duration::from_ms(50));
  if (seconds) environment_[std::string(prefix) + "timeout"] = "default";
}

// ---- TLS -----------------------------------------------------------------------------------------------------------

template <class T, class U>
void Fold::fold(const char* old_key, std::optional<T>& from, const char* key, U& into) {
  if (!from) return;
  const RedisSaid old = said(old_key), own = said(key);
  bool empty = false;
  if constexpr (std::is_same_v<T, PlacedText>) empty = from->text.empty();
  if (!empty && own.given && !old.variable) {
    twice(own, old);
  } else if (!empty) {
    if constexpr (std::is_same_v<U, std::string>) into = from->text;
    else into = *from;
    move(key, old_key);
  }
  from.reset();
}

void Fold::settle_tls() {
  RedisTlsConf& tls = conf_.tls;
  read_version("tls_min_version", {"TYK_GW_STORAGE_MINVERSION", "TYK_GW_STORAGE_TLS_MIN_VERSION", "TYK_GW_STORAGE_SSLMINVERSION"}, conf_.tls_min_version);
  read_version("tls_max_version", {"TYK_GW_STORAGE_MAXVERSION", "TYK_GW_STORAGE_TLS_MAX_VERSION", "TYK_GW_STORAGE_SSLMAXVERSION"}, conf_.tls_max_version);
  fold("tls_min_version", conf_.tls_min_version, "tls.minVersion", tls.min_version);
  fold("tls_max_version", conf_.tls_max_version, "tls.maxVersion", tls.max_version);
  check_version("tls.minVersion", tls.min_version);
  check_version("tls.maxVersion", tls.max_version);
  fold("use_ssl", conf_.use_ssl, "tls.enabled", tls.enabled);
  fold("ssl_insecure_skip_verify", conf_.ssl_insecure_skip_verify, "tls.insecureSkipVerify", tls.insecure_skip_verify);
  fold("ca_file", conf_.ca_file, "tls.clientCa", tls.ca);
  fold("cert_file", conf_.cert_file, "tls.clientCert", tls.client_cert);
  fold("key_file", conf_.key_file, "tls.clientKey", tls.client_key);
  const bool versions = said("tls.minVersion").given || said("tls.maxVersion").given;
  const bool says = !tls.ca.text.empty() || !tls.client_cert.text.empty() || !tls.client_key.text.empty() || !tls.server_name.text.empty() || tls.insecure_skip_verify || versions;
  conf_.uses_tls = tls.enabled.value_or(says || url_tls_);
  if (conf_.uses_tls) return check_tls();
  if (url_tls_) error("contradiction", said("tls.enabled"), "is false, but the address begins with rediss://", "remove one of them");
  if (!url_tls_ && says) problems_.warning("no-effect", said("tls.enabled").place, fmt::format("{} is false: the other keys for TLS have no effect", said("tls.enabled").name));
}

void Fold::check_tls() {
  const RedisTlsConf& tls = conf_.tls;
  if (tls.client_cert.text.empty() != tls.client_key.text.empty()) {
    const bool lone_cert = tls.client_key.text.empty();
    error("missing-key", said(lone_cert ? "tls.clientCert" : "tls.clientKey"), fmt::format("needs the key \"{}\" beside it", lone_cert ? "clientKey" : "clientCert"), lone_cert ? "in Tyk's spelling key_file" : "in Tyk's spelling cert_file");
  }
  for (const core::RedisAddress& address : conf_.addresses) {
    if (address.is_unix()) problems_.error("contradiction", conf_.place, fmt::format("gateway.redis: there is no TLS on the unix socket {}", address.host), "remove the TLS settings, or use the server's TLS port");
  }
  check_versions();
}

// How Tyk's programs and their documentation write a version: 1.3, TLS1.3, TLSv1.3, 772 (that of the handshake).
std::optional<std::string> tls_version(std::string_view text) {
  text = core::trim(text);
  for (const std::string_view mark : {"Version", "TLS", "v"}) {
    if (core::istarts_with(text, mark)) text.remove_prefix(mark.size());
  }
  text = core::trim(text);
  constexpr std::string_view spellings[][3] = {{"1.0", "10", "769"}, {"1.1", "11", "770"}, {"1.2", "12", "771"}, {"1.3", "13", "772"}};
  for (const auto& same : spellings) {
    if (std::find(std::begin(same), std::end(same), text) != std::end(same)) return std::string(same[0]);
  }
  return std::nullopt;
}

// Tyk's keys may be empty, so the table cannot judge them.
void Fold::check_version(const char* key, std::string& version) {
  if (auto known = tls_version(version)) {
    version = std::move(*known);
    return;
  }
  error("bad-value", said(key), fmt::format("wants 1.2 or 1.3, got \"{}\"", version));
  version = "1.2";
}

// Spellings of the variables that follow those of the keys.
void Fold::read_version(const char* key, std::initializer_list<const char*> variables, std::optional<PlacedText>& into) {
  if (said(key).variable) return;
  for (const char* variable : variables) {
    const auto text = source_.env(variable);
    if (!text || text->empty()) continue;
    into = PlacedText{std::string(*text), {}};
    environment_[std::string(prefix) + key] = variable;
    return;
  }
}

// Texts of equal length: their order is that of the versions.
void Fold::check_versions() {
  const RedisTlsConf& tls = conf_.tls;
  if (tls.max_version < "1.2") error("bad-value", said("tls.maxVersion"), "wants 1.2 or 1.3: older versions are not spoken");
  else if (tls.min_version > tls.max_version) error("contradiction", said("tls.minVersion"), fmt::format("is above maxVersion, {}", tls.max_version));
  if (tls.min_version >= "1.2") return;
  const RedisSaid at = said("tls.minVersion");
  problems_.warning("no-effect", at.place, fmt::format("{}: TLS {} is not spoken; 1.2 is the oldest", at.name, tls.min_version));
}

// ---- the installation ----------------------------------------------------------------------------------------------

// Braces would decide the slot of every key in a Cluster; a pattern's letters would match others' keys (ACL, SCAN).
void Fold::settle_prefix() {
  constexpr size_t longest = 64;
  const auto fits = [](std::string_view text) {
    return text.size() <= longest && std::all_of(text.begin(), text.end(), [](char c) { return core::is_alpha(c) || core::is_digit(c) || c == '.' || c == '_' || c == '-' || c == ':' || c == '/'; });
  };
  for (const auto& [key, text] : {std::pair{"name", &conf_.name}, std::pair{"keyPrefix", &conf_.key_prefix}}) {
    if (!fits(text->text)) error("bad-value", said(key), "wants at most 64 letters, digits and any of . _ - : /");
  }
  if (conf_.key_prefix.text.empty() && !conf_.name.text.empty()) conf_.key_prefix.text = conf_.name.text + ":";
}

// ---- Tyk's keys without effect ---------------------------------------------------------------------------------------

void Fold::tell_no_effect() {
  if (conf_.max_idle) no_effect("optimisation_max_idle", no_pool);
  if (conf_.max_active) no_effect("optimisation_max_active", no_pool);
  if (conf_.compress_api_definitions.value_or(false)) no_effect("compress_api_definitions", no_definitions);
  if (conf_.compress_policies.value_or(false)) no_effect("compress_policies", no_definitions);
  if (conf_.max_decompressed_size) no_effect("max_decompressed_size", no_definitions);
  if (is_set(conf_.type) && conf_.type->text != "redis") error("bad-value", said("type"), fmt::format("wants redis, got \"{}\"", conf_.type->text));
}

// A login that cannot be done must not become one without a password.
void Fold::check_iam() {
  constexpr const char* variable = "TYK_GW_STORAGE_IAMAUTH_ENABLED";
  const core::yaml::Node* enabled = conf_.iam_auth == nullptr ? nullptr : conf_.iam_auth->find("enabled");
  RedisSaid at = said("iam_auth");
  bool on = enabled != nullptr && enabled->is_scalar() && core::iequals(enabled->text, "true");
  if (on) at = {at.name + ".enabled", enabled->place(), true, false};
  if (const auto text = source_.env(variable); text && !text->empty()) {
    on = core::iequals(*text, "true") || *text == "1" || core::iequals(*text, "t");
    if (on) at = {fmt::format("the environment variable {}", variable), {}, true, true};
  }
  if (on) return error("not-implemented", at, "cannot be honoured: goma does not log in with tokens of a cloud", "remove it, and use username and password");
  if (at.given) no_effect("iam_auth", "it is not enabled, and goma does not have it");
}

void Fold::run() {
  if (!asks_for_redis()) {
    if (conf_.node != nullptr && conf_.node->pairs.empty()) problems_.warning("no-redis", conf_.place, "gateway.redis is empty: there is no Redis", "write addr: HOST:PORT, or remove it");
    return;
  }
  settle_mode();
  read_addresses();
  check_mode();
  check_flush();
  settle_prefix();
  settle_timeouts();
  settle_tls();
  tell_no_effect();
  check_iam();
}

}  // namespace

RedisSaid redis_said(const RedisConf& conf, const std::map<std::string, std::string>& environment, const std::string& key) {
  const auto moved = conf.moved.find(key);
  if (moved != conf.moved.end()) return redis_said(conf, environment, moved->second);
  const auto variable = environment.find(std::string(prefix) + key);
  if (variable != environment.end()) return {fmt::format("the environment variable {}", variable->second), {}, true, true};
  const bool inner = key.starts_with("tls.");
  const core::yaml::Node* mapping = conf.node;
  if (inner) {
    const core::yaml::Pair* tls = core::find_pair(conf.node, *find_field(redis_section, "tls"));
    mapping = tls == nullptr ? nullptr : tls->value;
  }
  const core::Field* field = find_field(inner ? redis_tls_section : redis_section, inner ? std::string_view(key).substr(4) : std::string_view(key));
  const core::yaml::Pair* pair = core::find_pair(mapping, *field);
  if (pair == nullptr || pair->value->is_null()) return {std::string(prefix) + key, conf.place, false, false};
  return {fmt::format("{}{}{}", prefix, inner ? "tls." : "", pair->key->text), pair->value->place(), true, false};
}

void fold_redis(RedisConf& conf, std::map<std::string, std::string>& environment, core::Source& source, core::Problems& problems) {
  Fold(conf, environment, source, problems).run();
}

}  // namespace goma::http
