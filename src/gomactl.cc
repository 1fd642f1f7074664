// SPDX-License-Identifier: Apache-2.0
//
// gomactl: asks the running goma, waits for the outcome, prints it, and exits with its code. What is said is said by
// the master; here are only the words for when there is none.
#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <vector>

#include "core/control.h"
#include "core/places.h"
#include "core/text.h"

namespace goma {

namespace {

using core::Code;

constexpr std::string_view verbs[] = {"status", "reload", "test",     "stop",    "quit",   "reopen", "upgrade", "ping",
                                      "workers", "routes", "backends", "certificates", "zones", "redis", "limits", "cache", "config", "help", "version"};
constexpr std::string_view options[] = {"--json", "--workers", "--verify", "--help", "--version", "--prefix", "--socket"};

constexpr const char* help = R"(gomactl - drive a running goma

usage: gomactl [-p DIR | -s SOCKET] [--json] COMMAND

  status              who serves what
  reload [--workers N]  load the configuration again, all or nothing
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
  -h, --help          this text
  -v, --version       the version

Exit codes: 0 done, 1 refused or failed, 2 bad usage, 3 not running, 4 no permission, 78 the configuration is wrong.
)";

struct Request {
  std::string prefix, socket, workers;
  bool json = false, verify = false, help = false, version = false;
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
                                                             : nullptr;
    if (into != nullptr) {
      if (!attached && i + 1 == argc) return misuse(fmt::format("{} wants a value", word));
      *into = attached ? value : argv[++i];
    } else if (word == "--json") {
      request.json = true;
    } else if (word == "--verify") {
      request.verify = true;
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
  return 0;
}

int ask(const Request& request) {
  const std::string socket = request.socket.empty() ? core::control_socket_of(request.prefix) : request.socket;
  std::vector<std::string> words = {request.words.front()};
  if (request.json) words.emplace_back("--json");
  if (words.front() == "limits" || words.front() == "cache") words.insert(words.end(), request.words.begin() + 1, request.words.end());
  if (request.verify) words.emplace_back("verify");
  if (!request.workers.empty()) words.push_back("workers=" + request.workers);
  core::Result<int> code = core::ask_control(socket, words, [](char kind, std::string_view line) {
    fmt::print(kind == 'e' ? stderr : stdout, "{}\n", line);
  });
  if (code) return *code;
  if (code.error().code == Code::refused) {
    fmt::print(stderr, "gomactl: no permission on {}: be root or join the group \"goma\"\n", socket);
    return 4;
  }
  if (code.error().code == Code::not_found) {
    fmt::print(stderr, "gomactl: goma is not running (no {})\n", socket);
    return 3;
  }
  fmt::print(stderr, "gomactl: {}\n", code.error().text);
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
  return ask(request);
}

}  // namespace

}  // namespace goma

int main(int argc, char** argv) { return goma::run(argc, argv); }
