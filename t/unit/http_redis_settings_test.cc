// SPDX-License-Identifier: Apache-2.0
//
// gateway.redis: every spelling gives the same settings, and who wins. Messages are the business of t/config_errors.t.
#include "http/redis_settings.h"

#include "check.h"
#include "core/text.h"
#include "http/config_redis_fold.h"
#include "http/config_tables.h"
#include "http/redis_address.h"

using namespace goma;
using Mode = core::RedisSettings::Mode;

namespace {

class Files : public core::Source {
 public:
  std::map<std::string, std::string> files, variables;

  core::Result<std::string_view> read(const std::string& path) override {
    const auto found = files.find(path);
    if (found == files.end()) return core::Error{core::Code::not_found, "no such file", 0};
    return std::string_view(found->second);
  }
  core::Result<core::Listing> list(const std::string&, core::Reach) override { return core::Error{core::Code::not_found, "no such directory", 0}; }
  std::optional<std::string_view> env(const std::string& name) override {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional<std::string_view>(found->second);
  }
};

using Variables = std::map<std::string, std::string>;

struct Made {
  Files files;
  core::Problems problems;
  std::unique_ptr<http::Config> config;
  std::shared_ptr<const core::RedisSettings> settings;
  const core::RedisSettings& operator*() const {
    CHECK(settings != nullptr);
    return *settings;
  }
};

// `block` is the flow mapping of gateway.redis; empty: no such key.
std::unique_ptr<Made> make(const std::string& block, const Variables& variables = {}) {
  auto made = std::make_unique<Made>();
  made->files.variables = variables;
  const std::string redis = block.empty() ? "" : "  redis: " + block + "\n";
  made->files.files["goma.yml"] = "gateway:\n" + redis + "  routes:\n    - {name: a, path: /, target: \"http://127.0.0.1:1\"}\n";
  made->config = http::load_config(made->files, "goma.yml", made->problems);
  if (made->config != nullptr) made->settings = http::redis_settings_of(*made->config, &made->files, made->problems);
  return made;
}

std::string addresses(const core::RedisSettings& settings) {
  std::string out;
  for (const core::RedisAddress& address : settings.addresses) out += (out.empty() ? "" : " ") + address.text();
  return out;
}

std::string refusal(const std::string& block, const Variables& variables = {}) {
  const auto made = make(block, variables);
  CHECK(made->settings == nullptr);
  for (const core::Problem& problem : made->problems.list()) {
    if (problem.severity == core::Severity::error) return problem.message;
  }
  return "";
}

void without_the_key_there_is_no_redis() {
  for (const char* block : {"", "{}", "{addr: \"\"}"}) {
    const auto made = make(block);
    CHECK(made->settings == nullptr && !made->problems.has_errors());
  }
  const auto made = make("");
  CHECK(made->problems.empty());
  CHECK(make("", {{"GOMA_REDIS_PASSWORD", "p"}})->problems.empty());
}

void gomas_keys_are_read() {
  const auto made = make("{addr: \"redis.internal:7000\", password: p, db: 3, flushOnStartup: true}");
  CHECK(made->problems.empty());
  const core::RedisSettings& s = **made;
  CHECK(s.mode == Mode::standalone && s.tls == nullptr && s.flush_on_startup);
  CHECK_EQ(addresses(s), "redis.internal:7000");
  CHECK_EQ(s.password, "p");
  CHECK_EQ(s.database, 3);
  CHECK_EQ(s.timeout_ms, 50);
  CHECK_EQ(s.connect_timeout_ms, 1000);
  CHECK_EQ(s.max_in_flight, 4096);
  CHECK_EQ(s.place, "goma.yml:2:10 (gateway.redis)");
}

void our_keys_are_read() {
  const auto made = make("{mode: sentinel, addrs: [one, \"[::1]:7\"], masterName: m, username: u, password: p, sentinelUsername: su, sentinelPassword: sp, timeout: 20ms, connectTimeout: 2s, maxInFlight: 9}");
  CHECK_EQ(made->problems.render(), "");
  const core::RedisSettings& s = **made;
  CHECK(s.mode == Mode::sentinel);
  CHECK_EQ(addresses(s), "one:26379 [::1]:7");
  CHECK_EQ(s.master_name + s.username + s.password + s.sentinel_username + s.sentinel_password, "mupsusp");
  CHECK_EQ(s.timeout_ms, 20);
  CHECK_EQ(s.connect_timeout_ms, 2000);
  CHECK_EQ(s.max_in_flight, 9);
}

// Gateway, pump and dashboard of Tyk.
void tyks_spellings_are_read() {
  for (const std::string prefix : {"", "redis_"}) {
    const std::string addrs = fmt::format("{{{0}addrs: [\"a:1\", \"b:2\"], enable_cluster: true, {0}username: u, {0}password: p, {0}timeout: 4, {0}use_ssl: true, {0}ssl_insecure_skip_verify: true, {0}tls_min_version: \"1.3\", {0}tls_max_version: \"1.3\"}}", prefix);
    const auto made = make(addrs);
    const core::RedisSettings& s = **made;
    CHECK(s.mode == Mode::cluster && s.tls != nullptr && s.same_as(**make("{mode: cluster, addrs: [\"a:1\", \"b:2\"], username: u, password: p, tls: {insecureSkipVerify: true, minVersion: \"1.3\"}}")));
    CHECK_EQ(s.connect_timeout_ms, 4000);
    CHECK_EQ(s.timeout_ms, 50);
    const auto sentinel = make(fmt::format("{{{0}host: h, {0}port: 7, {0}master_name: m, {0}sentinel_password: sp, {0}database: 2}}", prefix));
    CHECK_EQ(addresses(**sentinel) + (**sentinel).master_name + (**sentinel).sentinel_password, "h:7msp");
    CHECK_EQ((**sentinel).database, 2);
  }
  CHECK_EQ(addresses(**make("{hosts: {a: 1, b: 2}, enable_cluster: true}")), "a:1 b:2");
  CHECK_EQ(addresses(**make("{hosts: [\"a:1\", \"b:2\"], enable_cluster: true}")), "a:1 b:2");
  CHECK_EQ(addresses(**make("{redis_hosts: {a: 1}}")), "a:1");
  CHECK_EQ(addresses(**make("{addrs: [\"a:1\"], hosts: {b: 2}, host: c}")), "a:1");
  CHECK_EQ(addresses(**make("{host: c}")), "c:6379");
  CHECK_EQ(addresses(**make("{port: 7}")), "localhost:7");
  CHECK_EQ(make("{host: c, port: 0}")->problems.errors(), 1);
}

void every_file_key_reaches_tls() {
  struct Spelling {
    std::string ca, cert, key;
  };
  for (const Spelling& s : {Spelling{"ca_file", "cert_file", "key_file"}, {"ssl_ca_file", "ssl_cert_file", "ssl_key_file"}, {"redis_ca_file", "redis_cert_file", "redis_key_file"}}) {
    const auto made = make(fmt::format("{{addr: a, {}: ca.pem, {}: c.pem, {}: k.pem}}", s.ca, s.cert, s.key));
    CHECK(made->settings == nullptr);
    CHECK_EQ(made->problems.errors(), 3);
    CHECK_EQ(made->problems.list()[0].message, fmt::format("gateway.redis.{}: cannot read ca.pem: no such file", s.ca));
    CHECK_EQ(made->config->gateway.redis.tls.client_cert.text, "c.pem");
    CHECK_EQ(made->config->gateway.redis.tls.client_key.text, "k.pem");
  }
  CHECK_EQ(refusal("{addr: a, cert_file: c.pem}"), "gateway.redis.cert_file needs the key \"clientKey\" beside it");
  CHECK_EQ(refusal("{addr: a, tls: {clientKey: k.pem}}"), "gateway.redis.tls.clientKey needs the key \"clientCert\" beside it");
}

void any_key_of_tls_turns_it_on() {
  CHECK((**make("{addr: a, tls: {}}")).tls == nullptr);
  CHECK((**make("{addr: a, ca_file: \"\", use_ssl: false}")).tls == nullptr);
  CHECK((**make("{addr: a, use_ssl: false, ca_file: ca.pem}")).tls == nullptr);
  CHECK((**make("{addr: a, tls: {insecureSkipVerify: true}}")).tls != nullptr);
  CHECK((**make("{addr: \"rediss://a\", tls: {insecureSkipVerify: true}}")).tls != nullptr);
  CHECK_EQ(refusal("{addr: \"rediss://a\"}"), "gateway.redis: TLS needs certificates of authorities, and this machine has none");
  const auto sentinel = make("{addr: a, masterName: m, tls: {insecureSkipVerify: true, serverName: n}}");
  CHECK((**sentinel).sentinel_tls && (**sentinel).server_name == "n");
}

void the_environment_wins() {
  const std::string block = "{addr: \"file:1\", password: f, db: 1}";
  const Variables tyk = {{"TYK_GW_STORAGE_HOST", "tyk"}, {"TYK_GW_STORAGE_PORT", "2"}, {"TYK_GW_STORAGE_PASSWORD", "t"}, {"TYK_GW_STORAGE_DATABASE", "2"}};
  CHECK_EQ(addresses(**make(block, tyk)) + (**make(block, tyk)).password, "tyk:2t");
  CHECK_EQ((**make(block, tyk)).database, 2);
  Variables both = tyk;
  both.insert({{"GOMA_REDIS_ADDR", "goma:3"}, {"GOMA_REDIS_PASSWORD", "g"}, {"GOMA_REDIS_DB", "3"}});
  CHECK_EQ(addresses(**make(block, both)) + (**make(block, both)).password, "goma:3g");
  CHECK_EQ((**make(block, both)).database, 3);
  CHECK_EQ(addresses(**make("", both)), "goma:3");
  CHECK_EQ((**make("", both)).place, "the environment (gateway.redis)");
  CHECK_EQ(addresses(**make("", tyk)), "tyk:2");
  CHECK_EQ(addresses(**make(block, {{"GOMA_REDIS_ADDR", ""}, {"TYK_GW_STORAGE_HOST", ""}})), "file:1");
  CHECK_EQ((**make(block, {{"GOMA_REDIS_ADDR", "redis://u:v@url/7"}})).password, "v");
}

void every_variable_of_tyk_is_read() {
  const auto made = make("", {{"TYK_GW_STORAGE_ADDRS", "a:1, b:2"}, {"TYK_GW_STORAGE_MASTERNAME", "m"}, {"TYK_GW_STORAGE_SENTINELPASSWORD", "sp"}, {"TYK_GW_STORAGE_USERNAME", "u"},
                              {"TYK_GW_STORAGE_TIMEOUT", "3"}, {"TYK_GW_STORAGE_USESSL", "true"}, {"TYK_GW_STORAGE_SSLINSECURESKIPVERIFY", "1"}, {"TYK_GW_STORAGE_TLSMINVERSION", "1.2"},
                              {"TYK_GW_STORAGE_TLSMAXVERSION", "1.2"}, {"TYK_GW_STORAGE_TYPE", "redis"}, {"TYK_GW_STORAGE_MAXIDLE", "1"}, {"TYK_GW_STORAGE_MAXACTIVE", "2"}});
  const core::RedisSettings& s = **made;
  CHECK(s.mode == Mode::sentinel && s.tls != nullptr);
  CHECK_EQ(addresses(s) + s.master_name + s.sentinel_password + s.username, "a:1 b:2mspu");
  CHECK_EQ(s.connect_timeout_ms, 3000);
  CHECK_EQ(made->problems.warnings(), 3);
  CHECK_EQ(addresses(**make("", {{"TYK_GW_STORAGE_HOSTS", "a:1,b:2"}, {"TYK_GW_STORAGE_ENABLECLUSTER", "true"}})), "a:1 b:2");
  CHECK_EQ(refusal("{addr: a}", {{"TYK_GW_STORAGE_CAFILE", "x.pem"}}), "the environment variable TYK_GW_STORAGE_CAFILE: cannot read x.pem: no such file");
  CHECK_EQ(refusal("{addr: a}", {{"TYK_GW_STORAGE_CERTFILE", "x"}}), "the environment variable TYK_GW_STORAGE_CERTFILE needs the key \"clientKey\" beside it");
  CHECK_EQ(refusal("{addr: a}", {{"TYK_GW_STORAGE_KEYFILE", "x"}}), "the environment variable TYK_GW_STORAGE_KEYFILE needs the key \"clientCert\" beside it");
  CHECK_EQ(refusal("{addr: a, ssl_min_version: TLS1}"), "gateway.redis.ssl_min_version wants 1.2 or 1.3, got \"TLS1\"");
  CHECK_EQ(addresses(**make("{addrs: [a], username: \"\", master_name: \"\", sentinel_password: \"\", ca_file: \"\", tls_min_version: \"\", database: 0, hosts: }", {{"TYK_GW_STORAGE_TIMEOUT", ""}})), "a:6379");
  CHECK_EQ(refusal("{addr: a, type: x}"), "gateway.redis.type wants redis, got \"x\"");
}

void addresses_have_many_forms() {
  const auto text = [](std::string_view written) {
    auto url = http::parse_redis_address(written, 6379);
    if (!url.ok()) return "! " + url.error().text;
    const http::RedisUrl& u = url.value();
    return fmt::format("{}{}|{}|{}|{}", u.tls ? "tls " : "", u.address.text(), u.username, u.password, u.database.value_or(-1));
  };
  CHECK_EQ(text("a"), "a:6379|||-1");
  CHECK_EQ(text(" a:1 "), "a:1|||-1");
  CHECK_EQ(text(":1"), "localhost:1|||-1");
  CHECK_EQ(text("[fe80::1]"), "[fe80::1]:6379|||-1");
  CHECK_EQ(text("unix:/run/r.sock"), "/run/r.sock|||-1");
  CHECK_EQ(text("unix:///run/r.sock"), "/run/r.sock|||-1");
  CHECK_EQ(text("redis://a"), "a:6379|||-1");
  CHECK_EQ(text("REDISS://u:p%40%2F@[::1]:7/5"), "tls [::1]:7|u|p@/|5");
  CHECK_EQ(text("redis://:p:q@a/"), "a:6379||p:q|-1");
  for (const char* bad : {"", "a:", "a:0", "a:65536", "a:x", "::1", "[::1", "[::1]x", "a b", "http://a", "redis://", "redis://a?x=1", "redis://a/x", "unix:r.sock"}) CHECK(text(bad).starts_with("! "));
  CHECK_EQ(http::bare_redis_address("redis://u:p@a/1"), "redis://a");
  CHECK_EQ(http::bare_redis_address("a:1"), "a:1");
}

void secrets_are_not_shown() {
  const auto made = make("{addr: \"redis://u:hunter2@a:1/4\"}");
  CHECK_EQ((**made).password + (**made).username, "hunter2u");
  CHECK_EQ((**made).database, 4);
  const std::string shown = http::effective_yaml(*made->config);
  CHECK(shown.find("hunter2") == std::string::npos);
  CHECK(shown.find("addr: redis://a:1 ") != std::string::npos);
}

void settings_are_compared() {
  const auto one = make("{addr: a, timeout: 1ms}"), same = make("{addrs: [a]}"), other = make("{addr: a, db: 1}"), tls = make("{addr: a, tls: {insecureSkipVerify: true}}");
  CHECK((**one).same_as(**same));
  CHECK(!(**one).same_as(**other));
  CHECK(!(**one).same_as(**tls));
  CHECK((**tls).same_as(**make("{addr: a, use_ssl: true, ssl_insecure_skip_verify: true}")));
}

void a_cluster_is_not_flushed_by_chance() {
  CHECK_EQ(refusal("{addr: a, mode: cluster, flushOnStartup: true}"), "gateway.redis.flushOnStartup would delete everything on every server of the Cluster");
  CHECK((**make("{addr: a, mode: cluster, flushOnStartup: true, flushCluster: true}")).flush_cluster);
}

// What the fold asks for exists in the tables; a mistake there would be a crash.
void every_field_has_a_place() {
  const auto made = make("{addr: a}");
  for (const core::Field& field : http::redis_section.fields) CHECK(!http::redis_said(made->config->gateway.redis, {}, std::string(field.name)).name.empty());
  for (const core::Field& field : http::redis_tls_section.fields) CHECK(!http::redis_said(made->config->gateway.redis, {}, "tls." + std::string(field.name)).name.empty());
}

}  // namespace

GOMA_TESTS(without_the_key_there_is_no_redis, gomas_keys_are_read, our_keys_are_read, tyks_spellings_are_read, every_file_key_reaches_tls, any_key_of_tls_turns_it_on,
           the_environment_wins, every_variable_of_tyk_is_read, addresses_have_many_forms, secrets_are_not_shown, settings_are_compared, a_cluster_is_not_flushed_by_chance,
           every_field_has_a_place)
