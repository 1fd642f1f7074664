// SPDX-License-Identifier: Apache-2.0
//
// From files to one Config: read, let the environment win, fold old spellings, merge extraConfig, put the default
// middlewares in front, check. Every step adds its problems and goes on, so that one run tells everything.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "core/text.h"
#include "core/yaml_trap.h"
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

constexpr const char* start_with = "goma config init -o FILE writes one to start with";

// Loading one configuration; lives as long as the loading.
class Loader {
 public:
  Loader(core::Source& source, Problems& problems, Config& config) : source_(source), problems_(problems), config_(config), expand_(source), unset_(source) {}

  // False when the main file could not be parsed.
  bool run();
  // What could only be said when all else was.
  void tell_unset() const { unset_.tell(problems_); }

 private:
  std::optional<std::string_view> read_text(const std::string& path, const Place& named_by);
  const core::yaml::Node* parse(const std::string& path, std::string_view text);
  void read_main();
  void read_extra();
  void read_extra_file(const std::string& path);
  void read_broken(const std::string& path);
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

// The text of a file, or nothing after adding a problem.
std::optional<std::string_view> Loader::read_text(const std::string& path, const Place& named_by) {
  const auto text = source_.read(path);
  if (text) return text.value();
  const bool missing = text.error().code == core::Code::not_found;
  const char* const code = missing ? "file-missing" : "file-unreadable";
  if (named_by.known()) {
    problems_.error(code, named_by, fmt::format("cannot read the file {}: {}", path, core::why_unreadable(text.error())));
  } else {
    const bool relative = missing && !path.starts_with('/');
    problems_.error(code, Place{path, 0, 0, 0}, fmt::format("cannot read the configuration: {}", core::why_unreadable(text.error())),
                    relative  ? "a relative path begins at the prefix (-p), without one where goma is started"
                    : missing ? start_with
                              : "");
  }
  return std::nullopt;
}

// The root of a file, kept by the configuration. Null when it is empty or wrong.
const core::yaml::Node* Loader::parse(const std::string& path, std::string_view text) {
  auto document = core::yaml::parse(path, text, problems_, [this](std::string& scalar) { return expand_(scalar); });
  if (document == nullptr) return nullptr;
  config_.documents.push_back(std::move(document));
  const core::yaml::Node* root = config_.documents.back()->root();
  if (root != nullptr) unset_.look(*root, problems_);
  return root;
}

void Loader::read_main() {
  const std::optional<std::string_view> text = read_text(config_.path, {});
  const core::yaml::Node* root = text ? parse(config_.path, *text) : nullptr;
  ReadContext context{problems_, "", false, refusal_of};
  if (root != nullptr) core::read(*root, file_section, &config_, context);
  // A file that was cut to nothing must not take every route down.
  if (root == nullptr && !config_.documents.empty()) problems_.error("file-empty", Place{config_.path, 0, 0, 0}, "the file is empty", start_with);
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

namespace {

constexpr std::string_view sections[] = {"routes", "middlewares", "gateway"};

// The key that begins a line; without its quotes.
std::string_view key_of(std::string_view line) {
  std::string_view key = core::trim(line.substr(0, line.find(':')));
  if (key.size() > 2 && (key.front() == '"' || key.front() == '\'') && key.back() == key.front()) key = key.substr(1, key.size() - 2);
  return key.size() == line.size() ? std::string_view() : key;
}

bool begins_section(std::string_view line) {
  const std::string_view key = key_of(line);
  return key.size() < 16 && std::any_of(std::begin(sections), std::end(sections), [key](std::string_view s) { return core::edit_distance(key, s) <= 1; });
}

// Whether this was meant as a configuration at all, misspelt or not. Who may lay a file or a link into the directory must
// not learn from findings what is in a file that only we may read.
bool is_meant_as_configuration(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  if (core::trim(text.substr(0, 4096)).starts_with('{')) {
    return std::any_of(std::begin(sections), std::end(sections), [text](std::string_view s) { return text.find(s) != std::string_view::npos; });
  }
  std::optional<size_t> level;  // how far the first key is indented
  for (const std::string_view line : core::split(text, '\n')) {
    const std::string_view words = core::trim(line);
    if (words.empty() || words.front() == '#' || words.starts_with("---") || words.front() == '%') continue;
    const size_t indent = line.find_first_not_of(" \t");
    if (!level) level = indent;
    if (indent <= *level && begins_section(line)) return true;
  }
  return !level;
}

}  // namespace

void Loader::read_extra_file(const std::string& path) {
  const std::optional<std::string_view> text = read_text(path, config_.gateway.extra_config.directory.place);
  if (!text) return;
  if (!core::yaml::foreign_encoding(path, *text) && !is_meant_as_configuration(*text)) {
    problems_.error("no-configuration", Place{path, 0, 0, 0}, "the file is no configuration: it has neither routes nor middlewares", "it does not belong into gateway.extraConfig.directory");
    return;
  }
  const core::yaml::Node* root = parse(path, *text);
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

// What is no file with the name of a configuration is nobody's loss; a link may have been a whole directory.
void Loader::read_broken(const std::string& path) {
  if (is_yaml_name(path)) return read_extra_file(path);
  const core::Error error = source_.read(path).error();
  const bool lost = source_.served(path);
  if (error.code == core::Code::invalid && !lost) return;
  const PlacedText& directory = config_.gateway.extra_config.directory;
  const std::string message = fmt::format("gateway.extraConfig.directory: {}: {}", path, core::why_unreadable(error));
  if (lost || error.code == core::Code::refused) {
    problems_.error("broken-link", directory.place, message, lost ? "what serves was read from it" : "");
  } else {
    problems_.warning("broken-link", directory.place, message, "it is ignored");
  }
}

void Loader::read_extra() {
  const PlacedText& directory = config_.gateway.extra_config.directory;
  if (directory.text.empty()) return;
  const auto listing = source_.list(directory.text, core::Reach::within);
  if (!listing) return tell_unread_directory("gateway.extraConfig.directory", directory, listing.error(), source_, problems_);
  for (const std::string& path : listing.value().files) {
    if (is_yaml_name(path)) read_extra_file(path);
  }
  for (const std::string& path : listing.value().broken) read_broken(path);
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
