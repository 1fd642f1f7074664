// SPDX-License-Identifier: Apache-2.0
//
// From files to one Config: read, let the environment win, fold old spellings, merge extraConfig, put the default
// middlewares in front, check. Every step adds its problems and goes on, so that one run tells everything.
#include <fmt/format.h>

#include <algorithm>

#include "core/text.h"
#include "http/config.h"
#include "http/config_check.h"
#include "http/config_expand.h"
#include "http/config_redis_fold.h"
#include "http/config_refusals.h"
#include "http/config_tables.h"
#include "http/config_variables.h"

namespace goma::http {

using core::Place;
using core::PlacedText;
using core::Problems;
using core::ReadContext;

const MiddlewareConf* Config::find_middleware(std::string_view name) const {
  for (const MiddlewareConf& middleware : middlewares) {
    if (middleware.name.text == name) return &middleware;
  }
  return nullptr;
}

bool Config::serves_https() const {
  const auto asks = [](const RouteConf& route) { return route.tls.node != nullptr; };
  return gateway.entry_points.web_secure.node != nullptr || gateway.tls.node != nullptr ||
         environment.count("gateway.entryPoints.webSecure.address") != 0 || std::any_of(gateway.routes.begin(), gateway.routes.end(), asks);
}

namespace {

// What a person wants to hear about a file that cannot be read.
std::string reason_of(const core::Error& error) {
  if (error.code == core::Code::not_found) return "no such file";
  if (error.code == core::Code::refused) return "permission denied";
  return error.text;
}

// Loading one configuration; lives as long as the loading.
class Loader {
 public:
  Loader(core::Source& source, Problems& problems, Config& config) : source_(source), problems_(problems), config_(config), expand_(source), unset_(source) {}

  // False when the main file could not be parsed.
  bool run();
  // What could only be said when all else was.
  void tell_unset() const { unset_.tell(problems_); }

 private:
  const core::yaml::Node* read_file(const std::string& path, const Place& named_by);
  void read_main();
  void read_extra();
  void read_extra_file(const std::string& path);
  void fold_old_timeouts();
  void fold_timeout(const std::optional<int>& old, const char* old_key, const char* key, int& into);
  void fold_routes();
  void prepend_defaults();

  core::Source& source_;
  Problems& problems_;
  Config& config_;
  Expander expand_;
  UnsetVariables unset_;
};

// The root of a file, kept by the configuration. Null when it is empty or wrong.
const core::yaml::Node* Loader::read_file(const std::string& path, const Place& named_by) {
  const auto text = source_.read(path);
  if (!text) {
    const bool missing = text.error().code == core::Code::not_found;
    const std::string what = named_by.known() ? fmt::format("cannot read the file {}", path) : "cannot read the configuration";
    problems_.error(missing ? "file-missing" : "file-unreadable", named_by.known() ? named_by : Place{path, 0, 0, 0}, fmt::format("{}: {}", what, reason_of(text.error())));
    return nullptr;
  }
  auto document = core::yaml::parse(path, text.value(), problems_, [this](std::string& scalar) { return expand_(scalar); });
  if (document == nullptr) return nullptr;
  config_.documents.push_back(std::move(document));
  const core::yaml::Node* root = config_.documents.back()->root();
  if (root != nullptr) unset_.look(*root, problems_);
  return root;
}

void Loader::read_main() {
  const core::yaml::Node* root = read_file(config_.path, {});
  ReadContext context{problems_, "", false, refusal_of};
  if (root != nullptr) core::read(*root, file_section, &config_, context);
  // A file that was cut to nothing must not take every route down.
  if (root == nullptr && !config_.documents.empty()) problems_.error("file-empty", Place{config_.path, 0, 0, 0}, "the file is empty");
  const core::yaml::Node* gateway = root == nullptr ? nullptr : root->find("gateway");
  ReadContext inside{problems_, "gateway"};
  core::apply_environment(gateway_section, &config_.gateway, gateway, source_, inside, config_.environment);
}

void Loader::fold_timeout(const std::optional<int>& old, const char* old_key, const char* key, int& into) {
  const core::yaml::Node* gateway = config_.gateway.node;
  const core::yaml::Node* timeouts = gateway == nullptr ? nullptr : gateway->find("timeouts");
  const std::string where = fmt::format("gateway.timeouts.{}", key);
  const bool set = (timeouts != nullptr && timeouts->find(key) != nullptr) || config_.environment.count(where) != 0;
  if (!old || *old <= 0 || set) return;
  into = *old;
  const Place place = gateway->find(old_key)->place();
  config_.environment[where] = fmt::format("{}:{}", place.file, place.line);
}

void Loader::fold_old_timeouts() {
  GatewayConf& gateway = config_.gateway;
  fold_timeout(gateway.read_timeout, "readTimeout", "read", gateway.timeouts.read);
  fold_timeout(gateway.write_timeout, "writeTimeout", "write", gateway.timeouts.write);
  fold_timeout(gateway.idle_timeout, "idleTimeout", "idle", gateway.timeouts.idle);
  const core::yaml::Node* monitoring = gateway.node == nullptr ? nullptr : gateway.node->find("monitoring");
  const std::string where = "gateway.monitoring.enableMetrics";
  const bool set = (monitoring != nullptr && monitoring->find("enableMetrics") != nullptr) || config_.environment.count(where) != 0;
  if (gateway.enable_metrics && !set) {
    gateway.monitoring.enable_metrics = *gateway.enable_metrics;
    const Place place = gateway.node->find("enableMetrics")->place();
    config_.environment[where] = fmt::format("{}:{}", place.file, place.line);
  }
  if (gateway.networking.passive_health_check.max_fails < 1) gateway.networking.passive_health_check.max_fails = PassiveHealthConf{}.max_fails;
}

void Loader::read_extra_file(const std::string& path) {
  const core::yaml::Node* root = read_file(path, config_.gateway.extra_config.directory.place);
  if (root == nullptr) return;
  ExtraFile extra;
  ReadContext context{problems_, "", false, refusal_of};
  core::read(*root, extra_file_section, &extra, context);
  std::move(extra.routes.begin(), extra.routes.end(), std::back_inserter(config_.gateway.routes));
  std::move(extra.middlewares.begin(), extra.middlewares.end(), std::back_inserter(config_.middlewares));
}

bool is_yaml_name(std::string_view path) {
  const auto ends_with = [path](std::string_view end) { return path.size() >= end.size() && path.substr(path.size() - end.size()) == end; };
  return ends_with(".yml") || ends_with(".yaml");
}

void Loader::read_extra() {
  const PlacedText& directory = config_.gateway.extra_config.directory;
  if (directory.text.empty()) return;
  const auto files = source_.list(directory.text);
  if (!files) {
    problems_.warning("directory-missing", directory.place, fmt::format("gateway.extraConfig.directory cannot be read: {}", files.error().code == core::Code::not_found ? "no such directory" : reason_of(files.error())),
                      "it is ignored");
    return;
  }
  for (const std::string& path : files.value()) {
    if (is_yaml_name(path)) read_extra_file(path);
  }
}

bool is_blank(const PlacedText& text) { return core::trim(text.text).empty(); }

void Loader::fold_routes() {
  for (RouteConf& route : config_.gateway.routes) {
    route.hosts.erase(std::remove_if(route.hosts.begin(), route.hosts.end(), is_blank), route.hosts.end());
    const core::yaml::Node* security = route.node->find("security");
    const bool set = security != nullptr && security->find("forwardHostHeaders") != nullptr;
    if (route.disable_host_forwarding && !set) route.security.forward_host_headers = !*route.disable_host_forwarding;
    const core::yaml::Node* tls = security != nullptr ? security->find("tls") : nullptr;
    const bool judged = tls != nullptr && (tls->find("insecureSkipVerify") != nullptr || tls->find("SkipVerification") != nullptr);
    if (route.insecure_skip_verify && !judged) route.security.tls.insecure_skip_verify = *route.insecure_skip_verify;
  }
}

void Loader::prepend_defaults() {
  for (RouteConf& route : config_.gateway.routes) {
    std::vector<PlacedText> all;
    for (const PlacedText& name : config_.gateway.defaults.middlewares) {
      const auto same = [&name](const PlacedText& own) { return own.text == name.text; };
      if (std::none_of(route.middlewares.begin(), route.middlewares.end(), same)) all.push_back(name);
    }
    std::move(route.middlewares.begin(), route.middlewares.end(), std::back_inserter(all));
    route.middlewares = std::move(all);
  }
}

bool Loader::run() {
  read_main();
  fold_old_timeouts();
  read_extra();
  fold_routes();
  fold_redis(config_.gateway.redis, config_.environment, source_, problems_);
  const bool parsed = !config_.documents.empty() && config_.documents.front()->file() == config_.path;
  if (parsed) check_config(config_, problems_);
  prepend_defaults();
  return parsed;
}

}  // namespace

std::unique_ptr<Config> load_config(core::Source& source, const std::string& path, Problems& problems, const CheckMore& more) {
  auto config = std::make_unique<Config>();
  config->path = path;
  const size_t before = problems.errors();
  Loader loader(source, problems, *config);
  const bool parsed = loader.run();
  if (parsed && more) more(*config, problems);
  loader.tell_unset();
  return problems.errors() == before ? std::move(config) : nullptr;
}

bool read_rule(const MiddlewareConf& middleware, std::span<const core::Field> fields, void* into, Problems& problems) {
  ReadContext context{problems, fmt::format("middleware \"{}\"", middleware.name.text), true, refusal_of};
  if (middleware.rule != nullptr && middleware.rule->is_scalar() && !middleware.rule->is_null()) context.where += ": rule";
  if (middleware.rule != nullptr) return core::read(*middleware.rule, fields, into, context);
  core::yaml::Node absent;  // reads as empty, and points at the middleware when a key is missing
  absent.file = middleware.node == nullptr ? nullptr : middleware.node->file;
  absent.line = middleware.place.line;
  absent.column = middleware.place.column;
  return core::read(absent, fields, into, context);
}

}  // namespace goma::http
