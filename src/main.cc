// SPDX-License-Identifier: Apache-2.0
//
// goma: the table of contents. Reads the command line, puts the parts together, and hands over. The only file that
// knows all layers.
#include <fmt/format.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "cli.h"
#include "core/describe.h"
#include "core/loader.h"
#include "core/master.h"
#include "core/places.h"
#include "core/process.h"
#include "core/rehearsal.h"
#include "core/safe_open.h"
#include "core/sandbox.h"
#include "demo_backend.h"
#include "http/config.h"
#include "http/server.h"
#include "modules/modules.h"

namespace goma {

namespace {

using Verb = Command::Verb;

int complain(const std::string& text, int code) {
  std::fputs(text.c_str(), stderr);
  return code;
}

std::string config_path(const Command& command) {
  if (!command.config.empty()) return command.config;
  if (const char* named = std::getenv("GOMA_CONFIG_FILE"); named != nullptr && *named != '\0') return named;
  return command.prefix.empty() ? GOMA_SYSCONFDIR "/goma.yml" : "goma.yml";
}

// --- verbs -----------------------------------------------------------------------------------------------------------

// The instance that the command line names. `make`: it is about to start, so its run directory is made.
core::Result<core::Settings> settings_for(const Command& command, const std::vector<std::string>& words, bool make) {
  core::Settings settings;
  settings.version = GOMA_VERSION;
  if (!words.empty()) {
    settings.binary = core::find_binary(words.front());
    settings.arguments.assign(words.begin() + 1, words.end());
  }
  settings.config = config_path(command);
  settings.workers = command.workers > 0 ? command.workers : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  settings.strict = command.strict;
  settings.sandbox = command.sandbox;
  if (core::Result<void> placed = core::find_places(command.prefix, settings, make); !placed) return placed.error();
  if (::geteuid() != 0) return settings;
  core::Result<core::process::Identity> identity = core::process::find_identity(command.user, command.group);
  if (!identity) return core::Error{core::Code::invalid, identity.error().text, 0};
  settings.identity = std::move(identity).value();
  if (!settings.identity.warning.empty() && make) complain(fmt::format("goma: warning: {}\n", settings.identity.warning), 0);
  return settings;
}

// What a start with this command line would meet here.
int rehearse(const Command& command, const core::Plan& plan, core::Problems& problems) {
  const core::Result<core::Settings> settings = settings_for(command, {}, false);
  if (settings.ok()) return core::rehearse(plan, settings.value(), core::instance_at(settings.value()), problems);
  problems.error("cannot-start", {}, settings.error().text);
  return 1;
}

int test(const Command& command) {
  const http::Server service(mod::all_modules());
  const std::string path = config_path(command);
  core::DiskSource source(command.prefix);
  const bool dump = command.verb == Verb::dump;
  const core::Trial trial = [&command](const core::Plan& plan, core::Problems& problems) { return rehearse(command, plan, problems); };
  const core::Loaded loaded = core::load(service, source, path, command.strict, dump || command.file_only ? core::Trial() : trial);
  if (command.json && !dump) std::fputs((loaded.problems_json + "\n").c_str(), stdout);
  if (!command.json && (!loaded.ok || !command.quiet)) std::fputs(loaded.problems.c_str(), stderr);
  if (!command.json && !command.quiet && !(dump && loaded.ok)) std::fputs((loaded.summary + "\n").c_str(), stderr);
  if (dump && loaded.ok) std::fputs(loaded.plan.summary.c_str(), stdout);
  return loaded.code;
}

int version(bool build) {
  fmt::print("goma {}\nconfiguration version 2\n", GOMA_VERSION);
  if (!build) return 0;
  fmt::print("compiler: {}\nconfigured with: {}\nmodules:", __VERSION__, GOMA_CONFIGURE_ARGUMENTS);
  for (const http::ModuleInfo* module : mod::all_modules()) fmt::print(" {}", module->name);
  fmt::print("\nsandbox: {}\n", core::sandbox::version());
  return 0;
}

int init(const Command& command) {
  struct stat about {};
  if (!command.force && ::stat(command.output.c_str(), &about) == 0) {
    return complain(fmt::format("goma: {} exists already; -f overwrites it\n", command.output), 1);
  }
  if (core::Result<void> written = core::write_safely(command.output, http::config_init_text(), 0600); !written) {
    return complain(fmt::format("goma: {}\n", written.error().text), 1);
  }
  fmt::print("goma: wrote {}; try: goma -c {}\n", command.output, command.output);
  return 0;
}

int describe(const Command& command) {
  core::DescribeInput input = http::describe_input();
  for (const http::ModuleInfo* module : mod::all_modules()) input.rules.push_back({module->types, module->doc, module->fields});
  const std::string text = command.what == "schema"     ? core::describe_schema(input)
                           : command.what == "markdown" ? core::describe_markdown(input)
                                                        : core::describe_mdoc(input);
  std::fputs(text.c_str(), stdout);
  return 0;
}

int signal_running(const Command& command) {
  core::Settings settings;
  if (core::Result<void> placed = core::find_places(command.prefix, settings, false); !placed) return complain(fmt::format("goma: error: {}\n", placed.error().text), 1);
  const pid_t pid = core::process::holder_of(settings.pid_file);
  if (pid == 0) return complain(fmt::format("goma: goma is not running (nobody holds {})\n", settings.pid_file), 3);
  const int number = command.signal == "stop" ? SIGTERM : command.signal == "quit" ? SIGQUIT : command.signal == "reopen" ? SIGUSR1 : SIGHUP;
  return ::kill(pid, number) == 0 ? 0 : complain(fmt::format("goma: cannot signal process {}\n", pid), 1);
}

// --- serve -----------------------------------------------------------------------------------------------------------

// Goes to the background: the caller stays until the child says that it serves (or ends) and passes its code on.
// In the child: the end of the line to say it over, and where errors go.
struct Background {
  int ready_line = -1;
  int terminal = STDERR_FILENO;
};

Background go_to_background() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) std::exit(complain("goma: error: cannot make a pipe\n", 1));
  const pid_t pid = ::fork();
  if (pid < 0) std::exit(complain("goma: error: cannot fork\n", 1));
  if (pid > 0) {
    ::close(ends[1]);
    char ready = 0;
    if (::read(ends[0], &ready, 1) == 1) std::exit(0);
    int status = 0;
    ::waitpid(pid, &status, 0);
    std::exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
  }
  ::close(ends[0]);
  ::setsid();
  Background background{ends[1], ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10)};
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null, fd);
  ::close(null);
  return background;
}

int serve(const Command& command, const std::vector<std::string>& words) {
  core::Result<core::Settings> settings = settings_for(command, words, true);
  if (!settings) return complain(fmt::format("goma: error: {}\n", settings.error().text), 1);
  // A master started by an upgrade is in the background already if it is to be.
  const bool upgrade = std::getenv("GOMA_UPGRADE") != nullptr;
  const Background background = command.daemon && !upgrade ? go_to_background() : Background{};
  core::process::raise_descriptor_limit();
  ::setenv("GOMA_CONFIG_FILE", settings->config.c_str(), 1);
  http::Server service(mod::all_modules());
  core::Master master(*settings, service, background.terminal, background.ready_line);
  return master.run();
}

}  // namespace

int run(const std::vector<std::string>& words) {
  core::Result<Command> read = read_command({words.begin() + 1, words.end()});
  if (!read) return complain(read.error().text, 2);
  const Command& command = *read;
  switch (command.verb) {
    case Verb::serve:
      return serve(command, words);
    case Verb::test:
    case Verb::dump:
      return test(command);
    case Verb::version:
      return version(false);
    case Verb::build:
      return version(true);
    case Verb::help:
      std::fputs(help_text().c_str(), stdout);
      return 0;
    case Verb::signal:
      return signal_running(command);
    case Verb::init:
      return init(command);
    case Verb::describe:
      return describe(command);
    case Verb::demo_backend:
      return run_demo_backend(command.listen, command.name);
  }
  return 2;
}

}  // namespace goma

int main(int argc, char** argv) {
  std::vector<std::string> words(argv, argv + argc);
  if (words.empty()) words.emplace_back("goma");
  std::signal(SIGPIPE, SIG_IGN);
  goma::core::process::remember_arguments(argc, argv);
  return goma::run(words);
}
