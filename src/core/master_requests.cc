// SPDX-License-Identifier: Apache-2.0
//
// The control socket's verbs. The first word is the verb, "--json" may follow, the rest are options.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "core/log.h"
#include "core/master.h"
#include "core/rehearsal.h"
#include "core/status.h"

namespace goma::core {

namespace {

constexpr int max_workers = 512;
constexpr int64_t zones_patience_ms = 60'000;

std::string json_string(const std::string& text) {
  std::string out;
  log::append_json_string(out, text);
  return out;
}

}  // namespace

void Master::on_request(uint64_t client, const std::vector<std::string>& words) {
  std::vector<std::string> options(words.begin() + 1, words.end());
  const bool json = std::erase(options, "--json") > 0;
  const Waiter waiter{client, json};
  const std::string& verb = words.front();
  if (verb == "status") return control_.answer(client, Answer{0, status(json), {}});
  if (verb == "workers") return control_.answer(client, Answer{0, json ? workers_json(*family_, loop_.now_ms()) + "\n" : workers_text(*family_, loop_.now_ms()), {}});
  if (verb == "zones") return request_zones(waiter, !options.empty());
  if (verb == "ping") return answer(waiter, 0, fmt::format("gomactl: goma is alive, pid {}\n", ::getpid()), fmt::format("{{\"ok\":true,\"pid\":{}}}\n", ::getpid()));
  if (verb == "reload") return request_reload(waiter, options);
  if (verb == "test") return request_test(waiter);
  if (verb == "stop") return request_stop(waiter, true);
  if (verb == "quit") return request_stop(waiter, false);
  if (verb == "upgrade") return request_upgrade(waiter);
  if (verb == "routes" || verb == "backends" || verb == "certificates" || verb == "redis") return ask_manager(waiter, verb);
  if (verb == "limits") return ask_manager(waiter, options.size() == 2 ? fmt::format("limits {} {}", options[0], options[1]) : verb);
  if (verb == "cache" && options.size() >= 2) return ask_manager(waiter, fmt::format("cache {}", fmt::join(options, " ")));
  if (verb == "config" && change_->current() != nullptr) {
    if (json) return ask_manager(waiter, verb);
    return control_.answer(client, Answer{0, change_->current()->plan.summary, {}});
  }
  if (verb == "reopen") {
    return reopen_logs([this, waiter](const std::string& error) {
      if (error.empty()) return answer(waiter, 0, "gomactl: logs reopened\n", "{\"ok\":true}\n");
      answer(waiter, 1, fmt::format("gomactl: {}\n", error), {});
    });
  }
  control_.answer(client, Answer{2, {}, fmt::format("gomactl: this goma does not know \"{}\"\n", verb)});
}

// Where the outcome is good it goes to standard output, else to standard error; JSON always to standard output.
void Master::answer(const Waiter& waiter, int code, const std::string& text, const std::string& json_text) {
  Answer to;
  to.code = code;
  if (waiter.json && !json_text.empty()) {
    to.out = json_text;
  } else if (waiter.json) {
    to.out = fmt::format("{{\"ok\":{},\"text\":{}}}\n", code == 0, json_string(text.substr(0, text.find('\n'))));
  } else {
    (code == 0 ? to.out : to.err) = text;
  }
  control_.answer(waiter.client, to);
}

std::string Master::state_word() const {
  if (upgrade_.running()) return "upgrading";
  switch (state_) {
    case State::starting:
      return "starting";
    case State::serving:
      return change_->running() ? "reloading" : "serving";
    case State::resting:
      return "resting";
    case State::succeeded:
    case State::stopping:
      return "stopping";
  }
  return "";
}

std::string Master::status(bool json) const {
  const StatusInput input{settings_.version, *family_, listeners_, change_->current(), state_word(),
                          (loop_.now_ms() - started_ms_) / 1000, loop_.now_ms(), last_ok_, last_text_};
  return json ? status_json(input) : status_text(input);
}

// Comparing every checksum of a full store takes some 100 ms per 256 MiB, and the locks may be held by a process that is
// stopped: so it is done aside. The answer of the child begins with its verdict.
void Master::request_zones(const Waiter& waiter, bool verify) {
  if (zones_.running()) return zones_waiters_.emplace_back(waiter, verify), void();
  const int64_t now_ns = loop_.now_us() * 1000;
  const auto look = [this, verify, now_ns, json = waiter.json] {
    const bool consistent = !verify || zones_are_consistent(slab_, now_ns);
    return (consistent ? "+" : "-") + (json ? zones_json(slab_, now_ns) : zones_text(slab_, now_ns));
  };
  zones_.start(loop_, forker(), "goma: zones", zones_patience_ms, look, [this, waiter, verify](const std::optional<std::string>& seen) {
    zones_seen(waiter, verify, seen);
    for (const auto& [next, its] : std::exchange(zones_waiters_, {})) request_zones(next, its);
  });
}

void Master::zones_seen(const Waiter& waiter, bool verify, const std::optional<std::string>& seen) {
  if (!seen) return answer(waiter, 1, "gomactl: the zones could not be looked at in time: a process holds their locks; see gomactl workers\n", {});
  const bool consistent = seen->starts_with('+');
  Answer to{consistent ? 0 : 1, seen->substr(1), {}};
  if (verify && !waiter.json) to.out += consistent ? "verified: consistent\n" : "";
  if (!consistent) to.err = "gomactl: something in the zones was damaged, and is dropped now\n";
  control_.answer(waiter.client, to);
}

void Master::request_reload(const Waiter& waiter, const std::vector<std::string>& options) {
  int workers = 0;
  bool force = false;
  for (const std::string& option : options) {
    force = force || option == "force";
    if (option.starts_with("workers=")) workers = std::atoi(option.c_str() + 8);
    if (option.starts_with("workers=") && (workers < 1 || workers > max_workers)) {
      return control_.answer(waiter.client, Answer{2, {}, fmt::format("gomactl: --workers wants a number from 1 to {}\n", max_workers)});
    }
  }
  if (state_ == State::stopping) return answer(waiter, 1, "gomactl: no reload now: goma is stopping\n", {});
  next_waiters_.push_back(waiter);
  force_wanted_ = force_wanted_ || force;
  reload(workers, "gomactl");
}

void Master::request_test(const Waiter& waiter) {
  if (tester_.running()) return answer(waiter, 1, "gomactl: another test is under way\n", {});
  const Fork fork = [this](const std::vector<int>& keep, const std::function<void()>& body) { return fork_child(keep, body); };
  std::vector<pid_t> family = friends();
  family.push_back(::getpid());
  family_->each([&family](const Child& child) { family.push_back(child.pid); });
  const Trial trial = [this, family](const Plan& plan, Problems& problems) { return rehearse(plan, settings_, family, problems); };
  tester_.start(loop_, fork, service_, settings_, trial, [this, waiter](const Loaded& loaded) {
    Answer to;
    to.code = loaded.code;
    if (waiter.json) {
      to.out = loaded.problems_json + "\n";
    } else {
      to.err = loaded.problems + loaded.summary + "\n";
    }
    control_.answer(waiter.client, to);
  }, change_->serving());
}

void Master::request_stop(const Waiter& waiter, bool fast) {
  stop_waiters_.push_back(waiter);
  if (state_ != State::stopping || !fast_) stop(fast);
}

void Master::request_upgrade(const Waiter& waiter) {
  if (!may_upgrade()) return answer(waiter, 1, fmt::format("gomactl: no upgrade now: goma is {}\n", state_word()), {});
  upgrade_waiters_.push_back(waiter);
  start_upgrade();
}

void Master::ask_manager(const Waiter& waiter, const std::string& what) {
  const uint64_t question = next_question_++;
  if (!family_->ask(question, what, waiter.json)) return answer(waiter, 1, "gomactl: the manager is starting; ask again\n", {});
  questions_[question] = waiter;
}

void Master::on_answer(uint64_t question, const std::string& text) {
  const auto asked = questions_.find(question);
  if (asked == questions_.end()) return;
  control_.answer(asked->second.client, Answer{0, text, {}});
  questions_.erase(asked);
}

}  // namespace goma::core
