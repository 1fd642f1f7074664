// SPDX-License-Identifier: Apache-2.0
//
// One table of options; whatever takes a value takes it as the next word or after "=".
#include "cli.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <span>
#include <sstream>

#include "core/text.h"

namespace goma {

namespace {

using core::Code;
using core::Error;
using core::Result;

struct Option {
  std::string_view word;
  bool takes_value;
  // Applies the option; an error text, or "".
  std::string (*apply)(Command&, const std::string& value);
};

std::string set_workers(Command& c, const std::string& value) {
  int n = 0;
  const auto parsed = std::from_chars(value.data(), value.data() + value.size(), n);
  if (value == "auto") return {};
  if (parsed.ec != std::errc{} || parsed.ptr != value.data() + value.size() || n < 1 || n > 512) {
    return fmt::format("--workers wants a number from 1 to 512, got \"{}\"", value);
  }
  c.workers = n;
  return {};
}

// -g "workers 4; user www; daemon on;" as nginx has it.
std::string set_globals(Command& c, const std::string& value) {
  std::istringstream statements(value);
  std::string statement;
  while (std::getline(statements, statement, ';')) {
    std::istringstream words(statement);
    std::string key, first, second;
    words >> key >> first >> second;
    if (key.empty()) continue;
    if (key == "workers" || key == "worker_processes") {
      if (std::string wrong = set_workers(c, first); !wrong.empty()) return wrong;
    } else if (key == "user") {
      c.user = first;
      if (!second.empty()) c.group = second;
    } else if (key == "group") {
      c.group = first;
    } else if (key == "daemon") {
      c.daemon = first == "on";
    } else if (key == "sandbox" && (first == "on" || first == "off")) {
      c.sandbox = first == "on";
    } else if (key == "sandbox") {
      return fmt::format("-g \"sandbox\" wants on or off, got \"{}\"", first);
    } else {
      return fmt::format("-g does not know \"{}\"; it knows workers, user, group, daemon and sandbox", key);
    }
  }
  return {};
}

std::string set_format(Command& c, const std::string& value) {
  if (value != "json" && value != "text") return fmt::format("--format wants json or text, got \"{}\"", value);
  c.json = value == "json";
  return {};
}

std::string set_signal(Command& c, const std::string& value) {
  constexpr std::string_view known[] = {"stop", "quit", "reopen", "reload"};
  c.verb = Command::Verb::signal;
  c.signal = value;
  for (const std::string_view word : known) {
    if (word == value) return {};
  }
  return fmt::format("-s wants stop, quit, reopen or reload, got \"{}\"", value);
}

using V = Command::Verb;
constexpr Option options[] = {
    {"-c", true, [](Command& c, const std::string& v) { c.config = v; return std::string(); }},
    {"--config", true, [](Command& c, const std::string& v) { c.config = v; return std::string(); }},
    {"-p", true, [](Command& c, const std::string& v) { c.prefix = v; return std::string(); }},
    {"--prefix", true, [](Command& c, const std::string& v) { c.prefix = v; return std::string(); }},
    {"-g", true, set_globals},
    {"-s", true, set_signal},
    {"-t", false, [](Command& c, const std::string&) { c.verb = V::test; return std::string(); }},
    {"-T", false, [](Command& c, const std::string&) { c.verb = V::dump; return std::string(); }},
    {"-q", false, [](Command& c, const std::string&) { c.quiet = true; return std::string(); }},
    {"-v", false, [](Command& c, const std::string&) { c.verb = V::version; return std::string(); }},
    {"--version", false, [](Command& c, const std::string&) { c.verb = V::version; return std::string(); }},
    {"-V", false, [](Command& c, const std::string&) { c.verb = V::build; return std::string(); }},
    {"-h", false, [](Command& c, const std::string&) { c.verb = V::help; return std::string(); }},
    {"-?", false, [](Command& c, const std::string&) { c.verb = V::help; return std::string(); }},
    {"--help", false, [](Command& c, const std::string&) { c.verb = V::help; return std::string(); }},
    {"--workers", true, set_workers},
    {"--daemon", false, [](Command& c, const std::string&) { c.daemon = true; return std::string(); }},
    {"--strict", false, [](Command& c, const std::string&) { c.strict = true; return std::string(); }},
    {"--format", true, set_format},
    {"-o", true, [](Command& c, const std::string& v) { c.output = v; return std::string(); }},
    {"--output", true, [](Command& c, const std::string& v) { c.output = v; return std::string(); }},
    {"-f", false, [](Command& c, const std::string&) { c.force = true; return std::string(); }},
    {"--force", false, [](Command& c, const std::string&) { c.force = true; return std::string(); }},
    {"--listen", true, [](Command& c, const std::string& v) { c.listen = v; return std::string(); }},
    {"--name", true, [](Command& c, const std::string& v) { c.name = v; return std::string(); }},
};

constexpr std::string_view verbs[] = {"server", "config", "version", "describe", "help", "demo-backend"};
constexpr std::string_view config_verbs[] = {"check", "init"};

Error usage(const std::string& text) { return Error{Code::invalid, fmt::format("goma: {} (goma --help lists what there is)\n", text), 0}; }

Error unknown(std::string_view kind, const std::string& word, std::span<const std::string_view> known) {
  const std::string_view near = core::suggest(word, known);
  std::string text = fmt::format("goma: unknown {} \"{}\"", kind, word);
  if (!near.empty()) text += fmt::format("; did you mean \"{}\"?", near);
  return Error{Code::invalid, text + "\n", 0};
}

Error unknown_option(const std::string& word) {
  std::array<std::string_view, std::size(options)> known;
  for (size_t i = 0; i < known.size(); ++i) known[i] = options[i].word.size() > 2 ? options[i].word : std::string_view();
  return unknown("option", word, known);
}

const Option* find_option(std::string_view word) {
  for (const Option& option : options) {
    if (option.word == word) return &option;
  }
  return nullptr;
}

// "-tq": several letters that take no value.
bool apply_cluster(Command& c, const std::string& word) {
  if (word.size() < 3 || word[0] != '-' || word[1] == '-') return false;
  for (const char letter : word.substr(1)) {
    const Option* option = find_option(std::string{'-', letter});
    if (option == nullptr || option->takes_value) return false;
  }
  for (const char letter : word.substr(1)) find_option(std::string{'-', letter})->apply(c, {});
  return true;
}

// The words that are no options: a verb and what belongs to it.
Result<void> apply_verb(Command& c, const std::vector<std::string>& words) {
  if (words.empty()) return {};
  const std::string& verb = words[0];
  const size_t takes = verb == "config" || verb == "describe" ? 2 : 1;
  if (words.size() > takes) return usage(fmt::format("\"{}\" is one word too many", words[takes]));
  if (verb == "server") return {};
  if (verb == "version") {
    c.verb = V::version;
  } else if (verb == "help") {
    c.verb = V::help;
  } else if (verb == "demo-backend") {
    c.verb = V::demo_backend;
  } else if (verb == "describe") {
    c.verb = V::describe;
    c.what = words.size() > 1 ? words[1] : "";
    if (c.what != "schema" && c.what != "markdown" && c.what != "man") return usage("describe wants schema, markdown or man");
  } else if (verb == "config" && words.size() > 1 && words[1] == "check") {
    c.verb = V::test;
    c.file_only = true;
  } else if (verb == "config" && words.size() > 1 && words[1] == "init") {
    c.verb = V::init;
    if (c.output.empty()) return usage("config init wants -o FILE");
  } else if (verb == "config") {
    if (words.size() < 2) return usage("config wants check or init");
    return unknown("command", words[1], config_verbs);
  } else {
    return unknown("command", verb, verbs);
  }
  return {};
}

}  // namespace

Result<Command> read_command(const std::vector<std::string>& words) {
  Command command;
  std::vector<std::string> plain;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word.size() < 2 || word[0] != '-') {
      plain.push_back(word);
      continue;
    }
    const size_t equals = word.starts_with("--") ? word.find('=') : std::string::npos;
    const Option* option = find_option(std::string_view(word).substr(0, equals));
    if (option == nullptr && apply_cluster(command, word)) continue;
    if (option == nullptr) return unknown_option(word);
    std::string value;
    if (option->takes_value && equals != std::string::npos) {
      value = word.substr(equals + 1);
    } else if (option->takes_value) {
      if (++i == words.size()) return usage(fmt::format("{} wants a value", word));
      value = words[i];
    }
    if (std::string wrong = option->apply(command, value); !wrong.empty()) return usage(wrong);
  }
  if (Result<void> applied = apply_verb(command, plain); !applied) return applied.error();
  return command;
}

std::string help_text() {
  return R"(goma - API gateway and reverse proxy

usage: goma [server] [options]          serve (in the foreground)
       goma -t | goma config check      test the configuration
       goma -T                          print the effective configuration
       goma -s stop|quit|reopen|reload  signal the running goma
       goma config init -o FILE [-f]    write a starter configuration
       goma describe schema|markdown|man
       goma demo-backend --listen ADDRESS [--name TEXT]
       goma version

  -c, --config FILE     the configuration (default: $GOMA_CONFIG_FILE, PREFIX/goma.yml, )" GOMA_SYSCONFDIR R"(/goma.yml)
  -p, --prefix DIR      keep everything under DIR: pid file, control socket, relative paths
  -g TEXT               "workers 4; user NAME; group NAME; daemon on; sandbox off"
      --workers N       worker processes (default: one per core)
      --daemon          go to the background once serving
      --strict          warnings refuse the configuration
      --format json     findings as JSON
  -q                    with -t: nothing unless it is refused
  -f, --force           with config init: overwrite
  -o, --output FILE     with config init: where to
      --listen, --name  with demo-backend: where it listens, and what it calls itself
  -v, --version         the version
  -V                    the version, how it was built, and its modules
  -h, --help            this text

A running goma is driven by gomactl(8). Signals: HUP reload, QUIT stop gracefully, TERM and INT stop within 5 s,
USR1 reopen logs, USR2 start the new binary, WINCH stop the workers.
Exit codes: 0 done, 1 refused or failed, 2 bad usage, 3 not running, 78 the configuration is wrong.
)";
}

}  // namespace goma
