// SPDX-License-Identifier: Apache-2.0
//
// http/config: defaults, merging, old spellings, variables. Messages are the business of t/config_errors.t.
#include "http/config.h"

#include "check.h"
#include "core/secret.h"
#include "core/text.h"
#include "http/config_expand.h"
#include "http/config_tables.h"
#include "http/config_variables.h"

using namespace goma;

namespace {

class Files : public core::Source {
 public:
  std::map<std::string, std::string> files, variables;

  core::Result<std::string_view> read(const std::string& path) override {
    const auto found = files.find(path);
    if (found == files.end()) return core::Error{core::Code::not_found, "no such file", 0};
    return std::string_view(found->second);
  }
  core::Result<core::Listing> list(const std::string& directory, core::Reach) override {
    core::Listing found;
    for (const auto& [path, text] : files) {
      if (path.substr(0, directory.size() + 1) == directory + "/") found.files.push_back(path);
    }
    if (found.files.empty()) return core::Error{core::Code::not_found, "no such directory", 0};
    return found;
  }
  std::optional<std::string_view> env(const std::string& name) override {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional<std::string_view>(found->second);
  }
};

struct Loaded {
  core::Problems problems;
  std::unique_ptr<http::Config> config;
  const http::GatewayConf& gateway() const {
    CHECK(config != nullptr);
    return config->gateway;
  }
};

Loaded loaded(Files& files) {
  Loaded out;
  out.config = http::load_config(files, "goma.yml", out.problems);
  return out;
}

const std::string minimal = "version: 2\ngateway:\n  routes:\n    - {name: shop, path: /shop, target: \"http://127.0.0.1:9101\"}\n";

void defaults_are_the_newest_gomas() {
  Files files;
  files.files["goma.yml"] = minimal;
  const Loaded l = loaded(files);
  CHECK(l.problems.empty());
  CHECK_EQ(l.gateway().timeouts.read, 60);
  CHECK_EQ(l.gateway().timeouts.header, 10);
  CHECK_EQ(l.gateway().entry_points.web.address.text, "[::]:8080");
  CHECK_EQ(l.gateway().networking.transport.max_conns_per_host, 256);
  CHECK(l.gateway().strict_slash);
  CHECK_EQ(l.config->version, "2");
  CHECK_EQ(l.gateway().routes[0].target.place.line, 4);
  CHECK(l.gateway().routes[0].security.forward_host_headers);
}

void extra_files_are_merged_in_order() {
  Files files;
  files.files["goma.yml"] = "gateway:\n  extraConfig: {directory: extra, watch: true}\n  defaults: {middlewares: [m]}\n  routes:\n    - {name: a, path: /a, target: \"http://b\"}\n";
  files.files["extra/2.yaml"] = "routes:\n  - {name: c, path: /c, target: \"http://${HOST}\", middlewares: [n, m]}\n";
  files.files["extra/1.yml"] = "middlewares:\n  - {name: m, type: respond}\n  - {name: n, type: respond}\nroutes:\n  - {name: b, path: /b, target: \"http://b\", middlewares: [n]}\n";
  files.files["extra/readme.txt"] = "not YAML: [";
  files.variables["HOST"] = "backend.test";
  const Loaded l = loaded(files);
  CHECK(l.problems.empty());
  CHECK_EQ(l.gateway().routes.size(), 3);
  CHECK_EQ(l.gateway().routes[1].name.text, "b");
  CHECK_EQ(l.gateway().routes[2].target.text, "http://backend.test");
  CHECK_EQ(l.gateway().routes[0].middlewares.size(), 1);
  CHECK_EQ(l.gateway().routes[1].middlewares[0].text, "m");  // the default in front
  CHECK_EQ(l.gateway().routes[2].middlewares.size(), 2);     // its own place is kept
  CHECK_EQ(l.gateway().routes[2].middlewares[0].text, "n");
  CHECK(l.config->find_middleware("n") != nullptr);
}

void a_bad_extra_file_fails_the_load() {
  Files files;
  files.files["goma.yml"] = "gateway:\n  extraConfig: {directory: extra}\n  routes:\n    - {name: a, path: /a, target: \"http://b\"}\n";
  files.files["extra/1.yml"] = "routes: [\n";
  Loaded l = loaded(files);
  CHECK(l.config == nullptr);
  CHECK_EQ(l.problems.list()[0].place.file, "extra/1.yml");
  files.files.erase("extra/1.yml");
  l = loaded(files);
  CHECK(l.config != nullptr);
  CHECK_EQ(l.problems.warnings(), 1);
}

void old_spellings_fold() {
  Files files;
  files.files["goma.yml"] =
      "gateway:\n  readTimeout: 20\n  writeTimeout: 25\n  timeouts: {write: 7}\n  enableMetrics: true\n  routes:\n"
      "    - {name: cart, path: /cart, destination: \"http://b\", disableHostForwarding: true}\n    - {name: gone, path: /gone, target: \"http://b\", disabled: true}\n";
  const Loaded l = loaded(files);
  CHECK_EQ(l.gateway().timeouts.read, 20);
  CHECK_EQ(l.gateway().timeouts.write, 7);  // the new spelling wins
  CHECK(l.gateway().monitoring.enable_metrics);
  CHECK_EQ(l.gateway().routes[0].target.text, "http://b");
  CHECK(!l.gateway().routes[0].security.forward_host_headers);
  CHECK(!l.gateway().routes[1].enabled);
  CHECK_EQ(l.problems.errors(), 0);
  CHECK(http::effective_yaml(*l.config).find("read: 20                                    # goma.yml:2\n") != std::string::npos);
}

void the_environment_wins() {
  Files files;
  files.files["goma.yml"] = minimal;
  files.variables = {{"GOMA_TIMEOUT_READ", "5"}, {"GOMA_ENABLE_METRICS", "1"}, {"GOMA_ENTRYPOINT_WEB_ADDRESS", "127.0.0.1:0"},
                     {"GOMA_PROXY_TRUSTED_PROXIES", "10.0.0.0/8, ::1"}, {"GOMA_LOG_LEVEL", "INFO"}};
  const Loaded l = loaded(files);
  CHECK(l.problems.empty());
  CHECK_EQ(l.gateway().timeouts.read, 5);
  CHECK(l.gateway().monitoring.enable_metrics);
  CHECK_EQ(l.gateway().entry_points.web.address.text, "127.0.0.1:0");
  CHECK_EQ(l.gateway().proxy.trusted_proxies.size(), 2);
  CHECK_EQ(l.gateway().log.level, "info");
}

std::string expanded(Files& files, std::string text) {
  http::Expander expander(files);
  expander(text);
  return text;
}

void variables_expand_as_in_goma() {
  Files files;
  files.variables = {{"A", "one"}, {"EMPTY", ""}};
  CHECK_EQ(expanded(files, "${A} {A} $A"), "one one $A");
  CHECK_EQ(expanded(files, "[${EMPTY}]"), "[]");
  for (const char* kept : {"${UNSET}", "{UNSET}", "${B:?b}", "{B:-b}", "a{2,3}", "{route.name}", "$2y$10$abc", "{", "${", "{{unknown()}}", "{{uuid(}}"}) {
    CHECK_EQ(expanded(files, kept), kept);
  }
  CHECK_EQ(expanded(files, "{{A}}"), "{one}");
}

void variables_fall_back() {
  Files files;
  files.variables = {{"A", "one"}, {"EMPTY", ""}, {"B", "${A}"}};
  const std::pair<const char*, const char*> cases[] = {
      {"${A:-x}", "one"}, {"${C:-x}", "x"}, {"${EMPTY:-x}", "x"}, {"[${C:-}]", "[]"}, {"${C:-${A}}", "one"}, {"${C:-${D:-{y}}}!", "{y}!"},
      {"${C:-a:b-c}", "a:b-c"}, {"${C:-x} ${D}", "x ${D}"}, {"${B:-x}", "${A}"}, {"$${A:-x}", "$one"}, {"${C:-$x}", "$x"}, {"${C:?{A}}", "${C:?one}"}, {"${C:-x", "${C:-x"},
  };
  for (const auto& [text, result] : cases) CHECK_EQ(expanded(files, text), result);
}

// "text of a value under a key" -> what is said of it: "" nothing, "w" a warning, "e" an error.
void unset_variables_are_told() {
  const std::tuple<const char*, const char*, const char*> cases[] = {
      {"path", "/{id}/x", ""}, {"path", "/{IDENT}", ""}, {"path", "/${PREFIX}", "w"}, {"hosts", "{sub}.a.test", ""}, {"hosts", "${DOMAIN}", "w"},
      {"body", "a{2,3} {route.name} $A ${1} {\"a\": 1}", ""}, {"body", "{NAME}", "w"}, {"body", "{name}", ""}, {"body", "{{NAME}}", ""}, {"body", "\\p{LATIN}", ""},
      {"body", "${name}", "w"}, {"replacement", "/${name}/x", ""}, {"body", "${NAME:-}", ""}, {"password", "${NAME:-x}", ""}, {"body", "${SET}", ""},
      {"password", "${NAME}", "e"}, {"password", "{name}", "e"}, {"clientSecret", "a${NAME}b", "e"}, {"Authorization", "Bearer ${NAME}", "e"}, {"key", "${NAME}", "e"},
      {"X-Api-Key", "${NAME}", "e"}, {"other", "Bearer ${NAME}", "e"}, {"addr", "redis://:${NAME}@db", "e"}, {"addr", "redis://${NAME}:6379", "w"},
      {"target", "http://a/?token=${NAME}", "e"}, {"password", "${NAME:?x}", "e"}, {"body", "${NAME:?x}", "w"}, {"password", "$NAME", "w"}, {"password", "$2y$10$abc", ""},
      {"password", "${PASTED}", "e"}, {"x-note", "${NAME}", ""},
  };
  for (const auto& [key, text, wanted] : cases) {
    Files files;
    files.variables = {{"SET", "1"}, {"PASTED", "${SET}"}};
    core::Problems problems;
    const std::string file = fmt::format("{}: '{}'", key, text);
    http::Expander expand(files);
    const auto document = core::yaml::parse("a.yml", file, problems, [&](std::string& scalar) { return expand(scalar); });
    http::UnsetVariables unset(files);
    unset.look(*document->root(), problems);
    unset.tell(problems);
    const std::string got = problems.errors() > 0 ? "e" : problems.warnings() > 0 ? "w" : "";
    CHECK_EQ(fmt::format("{}: {}", file, got), fmt::format("{}: {}", file, wanted));
  }
}

void what_is_switched_off_needs_no_variable() {
  Files files;
  core::Problems problems;
  const auto document = core::yaml::parse("a.yml", "git: {enabled: false, auth: {token: \"${TOKEN}\"}}", problems);
  http::UnsetVariables unset(files);
  unset.look(*document->root(), problems);
  unset.tell(problems);
  CHECK(problems.empty());
}

void check_secret_names(const core::Section& section) {
  for (const core::Field& field : section.fields) {
    if (field.kind == core::Kind::section) check_secret_names(*field.section);
    std::vector<std::string_view> names(field.aliases.begin(), field.aliases.end());
    names.push_back(field.name);
    if (!field.old_name.empty()) names.push_back(field.old_name);
    for (const std::string_view name : names) {
      const bool secret = field.kind == core::Kind::secret;
      const bool told = secret ? core::names_secret(name) : core::resembles_secret(name);
      if (field.kind != core::Kind::section && field.kind != core::Kind::reserved) CHECK_EQ(fmt::format("{} {}", name, told), fmt::format("{} {}", name, secret));
    }
  }
}

// What the tables call a secret is one by its name, so that a file tells it before it is understood, and nothing else is.
void secrets_are_so_by_name() { check_secret_names(http::file_section); }

// Whatever is wrong with a value that comes from a variable nobody set, the finding says so, and only once.
void findings_about_unset_variables_say_so() {
  Files files;
  files.files["goma.yml"] = "gateway: {routes: [{name: a, path: /, hosts: [\"${MIABI_DOMAIN}\"], target: \"${BACKEND}\", middlewares: [\"${LOGIN}\"]}]}\n";
  const Loaded l = loaded(files);
  CHECK_EQ(l.problems.errors(), 3);
  CHECK_EQ(l.problems.warnings(), 0);
  for (const core::Problem& problem : l.problems.list()) CHECK(problem.hint.find("is not set") != std::string::npos);
}

void helpers_are_the_same_for_the_same_source() {
  Files files;
  files.files["/proc/sys/kernel/random/uuid"] = "6f1c5e9e-0000-4000-8000-000000000000\n";
  CHECK_EQ(expanded(files, "{{randomString(12)}}").size(), 12);
  CHECK_EQ(expanded(files, "{{randomHex()}}").size(), 32);
  CHECK_EQ(expanded(files, "{{UUID()}}").size(), 36);
  CHECK_EQ(expanded(files, "{{uuid()}}")[14], '4');
  CHECK_EQ(expanded(files, "{{randomString(64)}}"), expanded(files, "{{randomString(64)}}"));
  CHECK(expanded(files, "{{uuid()}} {{uuid()}}").substr(0, 36) != expanded(files, "{{uuid()}} {{uuid()}}").substr(37));
  CHECK_EQ(expanded(files, "{{randomString(0)}}"), "{{randomString(0)}}");
  CHECK_EQ(expanded(files, "{{randomString(1025)}}"), "{{randomString(1025)}}");
  CHECK_EQ(expanded(files, "{{timestamp()}}").size(), 10);
}

void dates_follow_gos_layouts() {
  setenv("TZ", "UTC", 1);
  tzset();
  const timespec time{1'136'214'245, 120'000'000};  // 2006-01-02 15:04:05.12 UTC
  CHECK_EQ(http::format_date(time, ""), "2006-01-02T15:04:05Z");
  CHECK_EQ(http::format_date(time, "rfc3339nano"), "2006-01-02T15:04:05.12Z");
  CHECK_EQ(http::format_date(time, "RFC1123Z"), "Mon, 02 Jan 2006 15:04:05 +0000");
  CHECK_EQ(http::format_date(time, "kitchen"), "3:04PM");
  CHECK_EQ(http::format_date(time, "ansic"), "Mon Jan  2 15:04:05 2006");
  CHECK_EQ(http::format_date(time, "2/1/06"), "2/1/06");
  CHECK_EQ(http::format_date(time, "unix"), "1136214245");
}

void the_starter_file_loads() {
  Files files;
  files.files["goma.yml"] = http::config_init_text();
  const Loaded l = loaded(files);
  CHECK(l.problems.empty());
  CHECK_EQ(l.gateway().routes.size(), 2);
}

// Comments are where a value came from, which is another file then.
std::string without_comments(const std::string& text) {
  std::string out;
  for (std::string_view line : core::split(text, '\n')) out += std::string(line.substr(0, line.find(" # "))) + "\n";
  return out;
}

void the_effective_form_loads_to_itself() {
  Files files;
  files.files["goma.yml"] = http::config_init_text();
  const std::string once = http::effective_yaml(*loaded(files).config);
  files.files["goma.yml"] = once;
  const Loaded again = loaded(files);
  CHECK_EQ(again.problems.render(), "");
  CHECK_EQ(without_comments(http::effective_yaml(*again.config)).size(), without_comments(once).size());
}

struct RuleConf {
  std::string scheme = "https";
};
constexpr core::Field rule_fields[] = {core::field<&RuleConf::scheme>("scheme", "A scheme.", core::required)};

void rules_are_read_liberally() {
  Files files;
  files.files["goma.yml"] = minimal + "middlewares:\n  - {name: a, type: redirectScheme, rule: {Scheme: 7}}\n  - {name: b, type: redirectScheme}\n";
  Loaded l = loaded(files);
  RuleConf conf;
  CHECK(http::read_rule(l.config->middlewares[0], rule_fields, &conf, l.problems));
  CHECK_EQ(conf.scheme, "7");
  CHECK(!http::read_rule(l.config->middlewares[1], rule_fields, &conf, l.problems));
  CHECK_EQ(l.problems.list()[0].message, "middleware \"b\" needs the key \"scheme\"");
  CHECK_EQ(l.problems.list()[0].place.line, 7);
}

void types_are_known_reserved_or_wrong() {
  Files files;
  files.files["goma.yml"] = minimal + "middlewares:\n  - {name: a, type: respond}\n  - {name: b, type: jwt}\n  - {name: c, type: respnd}\n";
  Loaded l = loaded(files);
  constexpr std::string_view implemented[] = {"respond"};
  http::check_types(*l.config, implemented, l.problems);
  CHECK_EQ(l.problems.errors(), 2);
  CHECK_EQ(l.problems.list()[0].code, "not-implemented");
  CHECK_EQ(l.problems.list()[1].hint, "did you mean \"respond\"?");
}

void a_thousand_routes_load_quickly() {
  Files files;
  std::string text = "gateway:\n  routes:\n";
  for (int i = 0; i < 1000; ++i) text += fmt::format("    - name: r{}\n      path: /p{}\n      hosts: [h{}.test]\n      target: http://127.0.0.1:9000\n", i, i, i);
  files.files["goma.yml"] = text;
  CHECK_EQ(loaded(files).gateway().routes.size(), 1000);
}

}  // namespace

GOMA_TESTS(defaults_are_the_newest_gomas, extra_files_are_merged_in_order, a_bad_extra_file_fails_the_load, old_spellings_fold, the_environment_wins,
           variables_expand_as_in_goma, variables_fall_back, unset_variables_are_told, what_is_switched_off_needs_no_variable, findings_about_unset_variables_say_so, secrets_are_so_by_name,
           helpers_are_the_same_for_the_same_source, dates_follow_gos_layouts, the_starter_file_loads, the_effective_form_loads_to_itself,
           rules_are_read_liberally, types_are_known_reserved_or_wrong, a_thousand_routes_load_quickly)
