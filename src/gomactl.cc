// SPDX-License-Identifier: Apache-2.0
//
// gomactl: asks the running goma, waits for the outcome, prints it, and exits with its code. What is said is said by
// the master; here are only the words for when there is none.
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <vector>

#include "core/control.h"
#include "core/places.h"
#include "core/process.h"
#include "core/text.h"
#include "core/units.h"

namespace goma {

namespace {

using core::Code;

constexpr std::string_view verbs[] = {"status", "reload", "test",     "stop",    "quit",   "reopen", "upgrade", "ping",
                                      "workers", "routes", "backends", "certificates", "zones", "redis", "limits", "cache", "config", "help", "version"};
constexpr std::string_view options[] = {"--json", "--workers", "--force", "--verify", "--help", "--version", "--prefix", "--socket", "--timeout"};

constexpr const char* help = R"(gomactl - drive a running goma

usage: gomactl [-p DIR | -s SOCKET] [--json] [--timeout TIME] COMMAND

  status              who serves what
  reload [--workers N] [--force]
                      load the configuration again, all or nothing; with --force also
                      one that leaves no route
  test                check the configuration, change nothing
  stop                stop within 5 s
  quit                stop gracefully
  reopen              open the logs again
  upgrade             replace the binary without losing a request
  ping                is it alive
  workers             the processes
  routes              the routes that serve
  backends            the backends
  certificates        the certificates and when they end
  zones [--verify]    the shared memory and how full it is; is it whole
  redis               the Redis that hosts share, as this host sees it
  limits              the bans that hold
  limits lift CLIENT  end the bans of a client, as "limits" shows it, or of "all"
  cache purge url URL | prefix HOST/PATH/ | tag TAG | all
                      forget stored responses, on all hosts
  config show         the effective configuration

  -p, --prefix DIR    the instance that was started with -p DIR
  -s, --socket PATH   its control socket
      --json          answer as JSON
      --timeout TIME  how long goma may be silent (10s); what takes longer gives signs
                      of life meanwhile; 0 waits for ever
  -h, --help          this text
  -v, --version       the version

Exit codes: 0 done, 1 refused or failed, 2 bad usage, 3 not running, 4 no permission, 5 no answer, 78 the configuration is wrong.
)";

struct Request {
  std::string prefix, socket, workers, timeout;
  core::ControlPatience patience;
  bool json = false, verify = false, force = false, help = false, version = false;
  std::vector<std::string> words;
};

int misuse(const std::string& text) {
  fmt::print(stderr, "gomactl: {}\n", text);
  return 2;
}

int unknown(std::string_view kind, const std::string& word, std::span<const std::string_view> known) {
  const std::string_view near = core::suggest(word, known);
  return misuse(fmt::format("unknown {} \"{}\"{}", kind, word, near.empty() ? std::string() : fmt::format("; did you mean \"{}\"?", near)));
}

// Reads the command line; an exit code when it is wrong, else 0.
int read(int argc, char** argv, Request& request) {
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    std::string value;
    const size_t equals = word.starts_with("--") ? word.find('=') : std::string::npos;
    const bool attached = equals != std::string::npos;
    if (attached) {
      value = word.substr(equals + 1);
      word.resize(equals);
    }
    std::string* into = word == "-p" || word == "--prefix"   ? &request.prefix
                        : word == "-s" || word == "--socket" ? &request.socket
                        : word == "--workers"                ? &request.workers
                        : word == "--timeout"                ? &request.timeout
                                                             : nullptr;
    if (into != nullptr) {
      if (!attached && i + 1 == argc) return misuse(fmt::format("{} wants a value", word));
      *into = attached ? value : argv[++i];
    } else if (word == "--json") {
      request.json = true;
    } else if (word == "--verify") {
      request.verify = true;
    } else if (word == "--force") {
      request.force = true;
    } else if (word == "-h" || word == "--help") {
      request.help = true;
    } else if (word == "-v" || word == "--version") {
      request.version = true;
    } else if (word.size() > 1 && word[0] == '-') {
      return unknown("option", word, options);
    } else {
      request.words.push_back(word);
    }
  }
  return 0;
}

// These may be under way for long, and a goma of an earlier version gives no sign of life meanwhile.
constexpr std::string_view long_verbs[] = {"reload", "test", "stop", "quit", "upgrade", "zones"};
constexpr int64_t long_first_ms = 120'000;

// How long this request waits. False when --timeout is no time.
bool choose_patience(Request& request) {
  for (const std::string_view verb : long_verbs) {
    if (verb == request.words.front()) request.patience.first_ms = long_first_ms;
  }
  if (request.timeout.empty()) return true;
  const bool plain = request.timeout.find_first_not_of("0123456789") == std::string::npos;
  const std::optional<core::Duration> time = core::parse_duration(plain ? request.timeout + "s" : request.timeout);
  if (!time || time->nanoseconds < 0) return false;
  request.patience = {time->ms(), time->ms()};
  return true;
}

int check_words(const Request& request) {
  if (request.words.empty()) return misuse("what shall I do? gomactl --help lists the commands");
  const std::string& verb = request.words.front();
  bool known = false;
  for (const std::string_view word : verbs) known = known || word == verb;
  if (!known) return unknown("command", verb, verbs);
  const size_t allowed = verb == "config" ? 2 : verb == "limits" ? 3 : verb == "cache" ? 4 : 1;
  if (request.words.size() > allowed) return misuse(fmt::format("\"{}\" is one word too many", request.words[allowed]));
  if (verb == "config" && (request.words.size() < 2 || request.words[1] != "show")) return misuse("config wants \"show\"");
  if (verb == "limits" && request.words.size() > 1 && (request.words.size() < 3 || request.words[1] != "lift")) return misuse("limits wants nothing, or \"lift\" and a client");
  const bool all = request.words.size() == 3 && request.words[2] == "all";
  if (verb == "cache" && (request.words.size() < 3 || request.words[1] != "purge" || (request.words.size() == 3 && !all))) return misuse("cache wants \"purge\" and url, prefix or tag with what to purge, or all");
  if (request.verify && verb != "zones") return misuse("--verify belongs to zones");
  if (!request.workers.empty() && verb != "reload") return misuse("--workers belongs to reload");
  if (request.force && verb != "reload") return misuse("--force belongs to reload");
  return 0;
}

// Why a process gives no answer, and what to do; by the letter of its state.
std::string advice(pid_t pid) {
  switch (core::process::state_of(pid)) {
    case 'T':
      return fmt::format("it is stopped (SIGSTOP, Ctrl-Z); to let it go on: kill -CONT {}", pid);
    case 't':
      return fmt::format("a debugger holds it; see: grep TracerPid /proc/{}/status", pid);
    case 'D':
      return fmt::format("it waits in the kernel, mostly for a disk or a network file system; see: cat /proc/{}/stack", pid);
    case 'R':
      return fmt::format("it computes; see: perf top -p {}, or gdb -p {}", pid, pid);
    case 'S':
      return fmt::format("it sleeps; see: cat /proc/{}/stack, or gdb -p {}", pid, pid);
    case 'Z':
      return fmt::format("it has ended, and its parent has not noticed; see: ps -o ppid= -p {}", pid);
    default:
      return "it cannot be seen from here";
  }
}

int tell_silence(pid_t pid, const std::string& what) {
  fmt::print(stderr, "gomactl: {}", what);
  if (pid > 0) fmt::print(stderr, " from process {}: {}", pid, advice(pid));
  fmt::print(stderr, "\ngomactl: workers serve without their master; {}a start after it takes their place\n",
             pid > 0 ? fmt::format("as the last resort: kill -KILL {}, and ", pid) : "");
  return 5;
}

int ask(const Request& request) {
  const std::string socket = request.socket.empty() ? core::control_socket_of(request.prefix) : request.socket;
  std::vector<std::string> words = {request.words.front()};
  if (request.json) words.emplace_back("--json");
  if (words.front() == "limits" || words.front() == "cache") words.insert(words.end(), request.words.begin() + 1, request.words.end());
  if (request.verify) words.emplace_back("verify");
  if (request.force) words.emplace_back("force");
  if (!request.workers.empty()) words.push_back("workers=" + request.workers);
  const core::Asked asked = core::ask_control(socket, words, request.patience, [](char kind, std::string_view line) {
    fmt::print(kind == 'e' ? stderr : stdout, "{}\n", line);
  });
  if (asked.code.ok()) return asked.code.value();
  const core::Error& error = asked.code.error();
  if (error.code == Code::timeout) return tell_silence(asked.master, error.text);
  if (error.code == Code::refused) {
    fmt::print(stderr, "gomactl: no permission on {}: be root or join the group \"goma\"\n", socket);
    return 4;
  }
  if (error.code == Code::not_found) {
    const bool left = error.system == ECONNREFUSED;
    const bool guessed = request.prefix.empty() && request.socket.empty();
    fmt::print(stderr, "gomactl: goma is not running ({}{})\n", left ? fmt::format("nobody listens on {}", socket) : fmt::format("no {}", socket),
               guessed ? "; one that was started with -p DIR is asked with -p DIR" : "");
    return 3;
  }
  fmt::print(stderr, "gomactl: {}: {}\n", socket, error.text);
  return 1;
}

int run(int argc, char** argv) {
  Request request;
  if (const int wrong = read(argc, argv, request); wrong != 0) return wrong;
  const std::string verb = request.words.empty() ? "" : request.words.front();
  if (request.help || verb == "help") {
    std::fputs(help, stdout);
    return 0;
  }
  if (request.version || verb == "version") {
    fmt::print("gomactl {}\n", GOMA_VERSION);
    return 0;
  }
  if (const int wrong = check_words(request); wrong != 0) return wrong;
  if (!choose_patience(request)) return misuse("--timeout wants a time such as 5s or 2m, 0 for ever");
  return ask(request);
}

}  // namespace

}  // namespace goma

int main(int argc, char** argv) { return goma::run(argc, argv); }
