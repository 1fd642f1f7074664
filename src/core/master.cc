// SPDX-License-Identifier: Apache-2.0
//
// Start, signals, reload, upgrade, stop. Who asks over the control socket is answered in master_requests.cc.
#include "core/master.h"

#include <fmt/format.h>
#include <malloc.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <ctime>
#include <sstream>

#include "core/log.h"
#include "core/manager.h"
#include "core/notify.h"
#include "core/outlet.h"
#include "core/safe_open.h"
#include "core/status.h"
#include "core/worker.h"

namespace goma::core {

namespace {

constexpr int64_t fast_ms = 5'000;
constexpr int64_t slack_ms = 1'000;
constexpr int say_ms = 500;

// One line of what may be a text of many.
std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace

Master::Master(Settings& settings, Service& service, int terminal, int ready_line)
    : settings_(settings),
      service_(service),
      terminal_(terminal),
      ready_line_(ready_line),
      control_(loop_, [this](uint64_t client, const std::vector<std::string>& words) { on_request(client, words); }) {
  overdue_.bind<&Master::on_overdue>(loop_, this);
}

Master::~Master() = default;

int Master::run() {
  process::set_title("goma: master");
  log::start_thread();
  inherited_ = take_inheritance();
  started_ms_ = loop_.now_ms();
  if (set_up()) {
    start_change();
    loop_.run();
    process::block_signals();
  }
  log::stop_thread();
  return exit_code_;
}

// --- start -----------------------------------------------------------------------------------------------------------

bool Master::set_up() {
  exit_code_ = 1;
  if (!inherited_) {
    if (Result<void> taken = pid_file_.take(settings_.pid_file); !taken) {
      say(fmt::format("goma: error: {}\n", taken.error().text));
      return false;
    }
    read_orphans();
  }
  if (!make_slab()) return false;
  family_ = std::make_unique<Family>(loop_, listeners_, slab_, *metrics_, *this);
  heartbeat_ = std::make_unique<Heartbeat>(loop_, *family_, *metrics_);
  change_ = std::make_unique<Change>(loop_, *family_, listeners_, service_, settings_);
  family_->set_entry([this](const std::vector<int>& keep, const std::function<void()>& body) { return fork_child(keep, body); },
                     [this](int channel, int slot) {
                       if (slot < 0) manager_main(settings_, service_, slab_, channel);
                       worker_main(settings_, service_, slab_, channel, slot);
                     });
  next_workers_ = settings_.workers;
  if (inherited_) {
    for (const Listening& socket : inherited_->sockets) listeners_.adopt(socket.text, socket.fd);
    change_->number_from(inherited_->generation + 1);
    next_workers_ = inherited_->workers;
  }
  open_signals();
  exit_code_ = 0;
  return true;
}

bool Master::make_slab() {
  Result<Slab> slab = inherited_ ? Slab::attach(inherited_->slab) : Slab::create(Slab::ample_size());
  if (!slab && inherited_) {
    log::warn("the shared memory of the old binary has another layout; limits, health and metrics start anew", {{"reason", slab.error().text}});
    slab = Slab::create(Slab::ample_size());
  }
  if (!slab) slab = Slab::create();  // an address space that is limited
  if (slab) slab_ = std::move(slab).value();
  Result<std::unique_ptr<Metrics>> metrics = slab ? Metrics::open(slab_) : slab.error();
  if (!metrics) {
    say(fmt::format("goma: error: no shared memory: {}\n", metrics.error().text));
    return false;
  }
  metrics_ = std::move(metrics).value();
  metrics_->release_dead_stripes();
  if (Result<void> stripe = metrics_->acquire_stripe(); !stripe) log::warn("the master counts nothing", {{"error", stripe.error().text}});
  metrics_->describe("goma_config_last_reload_success", Metrics::Kind::gauge, "1 when the last load of the configuration succeeded.");
  last_reload_ = metrics_->gauge("goma_config_last_reload_success");
  return true;
}

void Master::open_signals() {
  constexpr int numbers[] = {SIGCHLD, SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH};
  static_assert(std::size(numbers) == std::tuple_size_v<decltype(signals_)>);
  for (size_t i = 0; i < signals_.size(); ++i) signals_[i].open<&Master::on_signal>(loop_, numbers[i], this);
}

pid_t Master::fork_child(const std::vector<int>& keep, const std::function<void()>& body) {
  const process::SignalsBlocked blocked;
  const log::Forking forking;
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  // From here on nothing of the master's loop is ours but its signal handlers, which must go.
  for (Signal& signal : signals_) signal.close();
  process::reset_signals();
  std::vector<int> kept = Outlet::descriptors();
  kept.insert(kept.end(), keep.begin(), keep.end());
  process::close_all_but(kept);
  log::after_fork();
  body();
  ::_exit(0);
}

// Nobody is waited for who does not read; who reads slowly has a moment.
void Master::say(const std::string& text) const {
  Outlet::shared(terminal_).put(text, say_ms);
}

// Lets go whoever waits for the start of a daemon, and the terminal it was started from.
void Master::tell_starter(bool ready) {
  if (terminal_ > STDERR_FILENO) ::close(std::exchange(terminal_, STDERR_FILENO));
  if (ready_line_ < 0) return;
  if (ready && ::write(ready_line_, "r", 1) < 0) log::debug("nobody waits for the start");
  ::close(ready_line_);
  ready_line_ = -1;
}

void Master::started(const ChangeOutcome& outcome) {
  if (state_ != State::starting) return;
  if (!outcome.ok) return start_failed(outcome);
  say(outcome.problems);
  if (!take_places()) return;
  state_ = State::serving;
  settings_.workers = change_->current()->workers;
  last_text_ = brief(*change_->current());
  metrics_->set(last_reload_, 1);
  notify::ready(last_text_);
  write_state();
  end_orphans();
  watch_files();
  heartbeat_->allow(change_->current()->plan.silence_ms);
  tell_starter(true);
  if (!settings_.identity.warning.empty()) log::warn(settings_.identity.warning);
  log::info("goma serves", {{"version", settings_.version}, {"generation", change_->current()->number}, {"routes", change_->current()->plan.routes},
                            {"workers", settings_.workers}});
}

void Master::start_failed(const ChangeOutcome& outcome) {
  say(outcome.problems);
  if (outcome.code != 78) {
    say(fmt::format("goma: error: {}\n", outcome.reason));
  } else if (outcome.problems.find(outcome.reason) == std::string::npos) {
    say(outcome.reason + "\n");
  }
  if (inherited_) tell_old_master(*inherited_, first_line(outcome.reason));
  exit_code_ = outcome.code;
  state_ = State::stopping;
  fast_ = true;
  family_->kill_all();
  check_stopped();
}

// The pid file and the control socket; in an upgrade they are taken from the old master at the moment we can serve.
bool Master::take_places() {
  Result<void> taken = inherited_ ? pid_file_.replace(settings_.pid_file) : Result<void>();
  if (taken) taken = control_.open(settings_.control_socket, settings_.identity.operators);
  if (!taken) {
    ChangeOutcome outcome;
    outcome.code = 1;
    outcome.reason = taken.error().text;
    start_failed(outcome);
    return false;
  }
  if (inherited_) tell_old_master(*inherited_, {});
  inherited_.reset();
  return true;
}

// --- children of a master that was killed ----------------------------------------------------------------------------

void Master::write_state() const {
  if (state_ == State::starting || state_ == State::succeeded) return;
  std::string text;
  family_->each([&](Child& child) { text += fmt::format("{} {}\n", child.pid, child.start_time); });
  for (const Orphan& orphan : orphans_) text += fmt::format("{} {}\n", orphan.pid, orphan.start_time);
  if (Result<void> written = write_safely(settings_.state_file, text, 0600); !written) log::error(written.error().text);
}

void Master::read_orphans() {
  std::istringstream lines(read_own_file(settings_.state_file));
  Orphan orphan{};
  while (lines >> orphan.pid >> orphan.start_time) {
    if (orphan.pid > 0 && process::start_time(orphan.pid) == orphan.start_time) orphans_.push_back(orphan);
  }
}

std::vector<pid_t> Master::friends() const {
  std::vector<pid_t> pids;
  for (const Orphan& orphan : orphans_) pids.push_back(orphan.pid);
  return pids;
}

void Master::end_orphans() {
  for (const Orphan& orphan : orphans_) {
    if (process::start_time(orphan.pid) != orphan.start_time) continue;
    log::info("a process of an earlier master is told to leave", {{"pid", orphan.pid}});
    ::kill(orphan.pid, SIGQUIT);
  }
}

// --- signals ---------------------------------------------------------------------------------------------------------

void Master::on_signal(int number) {
  switch (number) {
    case SIGCHLD:
      return reap();
    case SIGHUP:
      return reload(0, "signal");
    case SIGQUIT:
      return stop(graceful_ms());
    case SIGTERM:
    case SIGINT:
      return stop(fast_ms);
    case SIGUSR1:
      return reopen_logs({});
    case SIGUSR2:
      if (!start_upgrade()) log::error("no upgrade now", {{"state", state_word()}});
      return;
    case SIGWINCH:
      // A terminal that is resized sends it too; who runs in the foreground means no harm.
      return ::isatty(STDIN_FILENO) != 0 ? void() : rest();
    default:
      return;
  }
}

void Master::reap() {
  int status = 0;
  for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    static_cast<void>(family_->reaped(pid, status) || change_->reaped(pid, status) || upgrade_.reaped(pid, status) ||
                      tester_.reaped(pid, status));
  }
  check_stopped();
}

// Everybody opens the log again once it is there; then `done` hears of it.
void Master::reopen_logs(const LogKeeper::Done& done) {
  const Plan plan = change_->current() != nullptr ? change_->current()->plan : Plan();
  log_keeper_.make(loop_, forker(), plan, settings_, [this, done](const std::string& error) {
    on_log_there(error);
    if (done) done(error);
  });
}

void Master::on_want_rotate() {
  if (change_->current() == nullptr) return;
  log_keeper_.rotate(loop_, forker(), change_->current()->plan, settings_, [this](const std::string& error) { on_log_there(error); });
}

void Master::on_log_there(const std::string& error) {
  if (!error.empty()) log::error(error);
  log::reopen();
  family_->reopen_logs();
  log::info("logs reopened");
}

Fork Master::forker() {
  return [this](const std::vector<int>& keep, const std::function<void()>& body) { return fork_child(keep, body); };
}

// --- reload ----------------------------------------------------------------------------------------------------------

// workers 0: as many as now. One reload at a time; who comes meanwhile shares the next.
void Master::reload(int workers, const std::string& why) {
  if (state_ != State::serving && state_ != State::resting) {
    log::warn("no reload now", {{"state", state_word()}});
    return;
  }
  log::info("reload", {{"because", why}});
  if (workers > 0) next_workers_ = workers;
  reload_wanted_ = true;
  if (!change_->running() && !upgrade_.running()) start_change();
}

// A certificate on the disk is another one. Edits of the configuration wait for somebody's reload.
void Master::renew() {
  if (state_ != State::serving) return;
  log::info("reload", {{"because", "certificates changed"}});
  renewal_wanted_ = true;
  if (!change_->running() && !upgrade_.running()) start_change();
}

namespace {

// What a directory of configurations is read for. An editor's own files are none of ours.
bool is_configuration(std::string_view path) { return path.ends_with(".yml") || path.ends_with(".yaml"); }

}  // namespace

void Master::watch_files() {
  const Plan& plan = change_->current()->plan;
  const auto watch = [this](std::unique_ptr<FileWatch>& one, std::vector<std::string> paths, Reach reach, FileWatch::Concerns concerns, auto changed) {
    if (paths.empty() && one == nullptr) return;
    if (one == nullptr) one = std::make_unique<FileWatch>(loop_, changed, concerns);
    for (std::string& path : paths) {
      if (!path.starts_with('/') && !settings_.prefix.empty()) path = settings_.prefix + "/" + path;
    }
    one->watch(std::move(paths), change_->started_wall_ms(), reach);
  };
  watch(certificates_, plan.certificates, Reach::anywhere, nullptr, [this] { renew(); });
  watch(directories_, plan.watch, Reach::within, is_configuration, [this] { reload(0, "a watched directory changed"); });
}

void Master::start_change() {
  const Change::Wish wish{next_workers_, renewal_wanted_ && !reload_wanted_, std::exchange(force_wanted_, false), friends()};
  renewal_wanted_ = false;
  reload_wanted_ = false;
  waiters_ = std::exchange(next_waiters_, {});
  if (state_ != State::starting) notify::reloading();
  const Fork fork = [this](const std::vector<int>& keep, const std::function<void()>& body) { return fork_child(keep, body); };
  change_->start(fork, wish, [this](const ChangeOutcome& outcome) {
    if (state_ == State::starting) return started(outcome);
    reloaded(outcome);
  });
}

void Master::reloaded(const ChangeOutcome& outcome) {
  const Generation* current = change_->current();
  last_ok_ = outcome.ok;
  last_text_ = outcome.ok ? change_line(outcome, current) : first_line(outcome.reason);
  metrics_->set(last_reload_, outcome.ok ? 1 : 0);
  for (const Waiter& waiter : std::exchange(waiters_, {})) control_.answer(waiter.client, change_answer(outcome, current, waiter.json));
  if (state_ == State::stopping || state_ == State::succeeded) return;
  if (outcome.ok) {
    state_ = State::serving;
    settings_.workers = current->workers;
    log::info("reloaded", {{"generation", current->number}, {"routes", current->plan.routes}, {"workers", current->workers}, {"ms", outcome.took_ms}});
    if (!outcome.problems.empty()) log::warn("the configuration has warnings", {{"findings", outcome.problems}});
  } else {
    log::error("reload refused", {{"reason", outcome.reason}, {"findings", outcome.problems}, {"generation", current->number}});
  }
  next_workers_ = settings_.workers;
  ::malloc_trim(0);
  notify::ready(outcome.ok ? brief(*current) : fmt::format("{}; last reload refused: {}", brief(*current), last_text_));
  write_state();
  if (outcome.ok) {
    watch_files();
    heartbeat_->allow(current->plan.silence_ms);
  }
  if (reload_wanted_ || renewal_wanted_) start_change();
}

void Master::on_failed(Child& child, uint64_t generation, const std::string& reason) {
  if (change_->current() != nullptr && generation == change_->current()->number) {
    log::error("a process cannot build the configuration that serves", {{"child", child.name()}, {"reason", first_line(reason)}});
    ::kill(child.pid, SIGKILL);
    return;
  }
  change_->on_failed(child, generation, reason);
}

void Master::on_gone(Child& child) {
  if (child.is_manager()) {
    for (const auto& [number, waiter] : std::exchange(questions_, {})) answer(waiter, 1, "gomactl: the manager died; ask again\n", {});
  }
  if (state_ != State::stopping) change_->on_gone(child);
  write_state();
}

// --- upgrade ---------------------------------------------------------------------------------------------------------

bool Master::start_upgrade() {
  if (state_ != State::serving || change_->running() || upgrade_.running()) return false;
  log::info("upgrade", {{"binary", settings_.binary}});
  Inheritance given;
  given.old_master = ::getpid();
  given.generation = change_->current()->number;
  given.workers = settings_.workers;
  given.slab = slab_.fd();
  const Fork fork = [this](const std::vector<int>& keep, const std::function<void()>& body) { return fork_child(keep, body); };
  upgrade_.start(loop_, fork, settings_, listeners_, given, [this](pid_t fresh, const std::string& error) { upgraded(fresh, error); });
  return true;
}

void Master::upgraded(pid_t fresh, const std::string& error) {
  const std::vector<Waiter> waiters = std::exchange(upgrade_waiters_, {});
  if (!error.empty()) {
    log::error("upgrade failed; the old binary serves on", {{"reason", error}});
    for (const Waiter& waiter : waiters) answer(waiter, 1, fmt::format("gomactl: upgrade failed, the old binary keeps serving: {}\n", error), {});
    if (reload_wanted_ || renewal_wanted_) start_change();
    return;
  }
  notify::main_pid(fresh);
  log::info("upgraded; this process drains and leaves", {{"new_pid", fresh}});
  for (const Waiter& waiter : waiters) answer(waiter, 0, fmt::format("gomactl: upgraded: pid {} serves, pid {} drains\n", fresh, ::getpid()), {});
  state_ = State::succeeded;
  control_.abandon();
  pid_file_.abandon();
  family_->drain_all(graceful_ms());
  check_stopped();
}

// --- stop ------------------------------------------------------------------------------------------------------------

int64_t Master::graceful_ms() const { return change_->current() != nullptr ? change_->current()->plan.drain_ms : fast_ms; }

// WINCH: the workers leave, the master stays.
void Master::rest() {
  if (state_ != State::serving || change_->running()) return;
  log::info("the workers are told to leave");
  state_ = State::resting;
  family_->drain_workers(graceful_ms());
}

void Master::stop(int64_t grace_ms) {
  const bool again = state_ == State::stopping && fast_ && grace_ms == fast_ms;
  if (again) return family_->kill_all();
  if (state_ != State::stopping && state_ != State::succeeded) {
    notify::stopping();
    log::info("stopping", {{"grace_ms", grace_ms}});
  }
  if (state_ != State::succeeded) {
    state_ = State::stopping;
    listeners_.keep_only({});  // nobody new is let in once the workers have left their queues
  }
  fast_ = fast_ || grace_ms == fast_ms;
  family_->drain_all(grace_ms);
  if (grace_ms == fast_ms) overdue_.start(fast_ms + slack_ms);
  check_stopped();
}

void Master::on_overdue() { family_->kill_all(); }

void Master::check_stopped() {
  if ((state_ != State::stopping && state_ != State::succeeded) || family_->alive() > 0) return;
  if (state_ == State::stopping) {
    control_.remove();
    if (!inherited_) {
      remove_safely(settings_.state_file);
      pid_file_.remove();
    }
  }
  for (const Waiter& waiter : std::exchange(stop_waiters_, {})) answer(waiter, 0, "gomactl: stopped\n", "{\"ok\":true}\n");
  if (change_->current() != nullptr) log::info("bye");
  tell_starter(false);
  loop_.stop();
}

}  // namespace goma::core
