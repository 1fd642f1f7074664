// SPDX-License-Identifier: Apache-2.0
//
// Start, signals, reload, stop. Who asks over the control socket is answered in master_requests.cc; upgrades are in
// master_upgrade.cc.
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
constexpr int64_t orphan_patience_ms = Worker::orphan_grace_ms + slack_ms;
constexpr int say_ms = 500;

// One line of what may be a text of many.
std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace

Master::Master(Settings& settings, Service& service, int terminal, int ready_line)
    : settings_(settings),
      service_(service),
      terminal_(terminal),
      ready_line_(ready_line),
      orphans_(loop_, [this] { check_stopped(); }),
      control_(loop_, [this](uint64_t client, const std::vector<std::string>& words) { on_request(client, words); }) {
  overdue_.bind<&Master::kill_all>(loop_, this);
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
    owner_ = true;
    orphans_.read(settings_.state_file);
    orphans_.read(settings_.state_file + ".next");
  }
  if (!make_slab()) return false;
  family_ = std::make_unique<Family>(loop_, listeners_, slab_, *metrics_, *this);
  heartbeat_ = std::make_unique<Heartbeat>(loop_, *family_, *metrics_);
  change_ = std::make_unique<Change>(loop_, *family_, listeners_, service_, settings_);
  family_->set_entry([this](const std::vector<int>& keep, const std::function<void()>& body) { return fork_child(keep, body); },
                     [this, master = ::getpid()](int channel, int slot) {
                       if (slot < 0) manager_main(settings_, service_, slab_, master, channel);
                       worker_main(settings_, service_, slab_, master, channel, slot);
                     });
  next_workers_ = settings_.workers;
  open_signals();
  if (inherited_) meet_predecessor();
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

// While an old master is the main process, only that one is listened to.
void Master::tell_service_manager() const {
  if (inherited_) notify::main_pid(::getpid());
  notify::ready(last_text_);
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
  settings_.workers = change_->current()->workers;
  last_text_ = brief(*change_->current());
  metrics_->set(last_reload_, 1);
  if (!predecessor_.present()) return serve();
  if (!predecessor_.understands()) return on_yours();
  predecessor_.ready();
}

// From here on this master does what it is told.
void Master::serve() {
  if (!inherited_) {
    if (Result<void> open = control_.open(settings_.control_socket, settings_.identity.operators); !open) return cannot_serve(open.error().text);
  }
  state_ = State::serving;
  write_state();
  if (!predecessor_.present()) {  // else both when everything is settled
    tell_service_manager();
    orphans_.end(orphan_patience_ms);
  }
  watch_files();
  heartbeat_->allow(change_->current()->plan.silence_ms);
  tell_starter(true);
  if (!settings_.identity.warning.empty()) log::warn(settings_.identity.warning);
  log::info("goma serves", {{"version", settings_.version}, {"generation", change_->current()->number}, {"routes", change_->current()->plan.routes},
                            {"workers", settings_.workers}});
  do_what_waits();
}

void Master::start_failed(const ChangeOutcome& outcome) {
  say(outcome.problems);
  if (outcome.code != 78) {
    say(fmt::format("goma: error: {}\n", outcome.reason));
  } else if (outcome.problems.find(outcome.reason) == std::string::npos) {
    say(outcome.reason + "\n");
  }
  give_up(outcome.code, first_line(outcome.reason));
}

void Master::cannot_serve(const std::string& reason) {
  say(fmt::format("goma: error: {}\n", reason));
  give_up(1, reason);
}

// The old master, if there is one, hears why.
void Master::give_up(int code, const std::string& reason) {
  predecessor_.say(reason);
  predecessor_.leave();
  exit_code_ = code;
  state_ = State::stopping;
  fast_ = true;
  family_->kill_all();
  check_stopped();
}

// Which processes are ours, for a start after we were killed. A new master that owns nothing yet writes beside the old one.
void Master::write_state() const {
  if (state_ == State::succeeded) return;
  std::string text = orphans_.lines();
  family_->each([&](Child& child) { text += fmt::format("{} {}\n", child.pid, child.start_time); });
  const std::string path = settings_.state_file + (owner_ ? "" : ".next");
  if (Result<void> written = write_safely(path, text, 0600); !written) log::error(written.error().text);
}

// Who may hold our addresses besides us.
std::vector<pid_t> Master::friends() const {
  std::vector<pid_t> pids = orphans_.pids();
  family_->each([&pids](Child& child) { pids.push_back(child.pid); });
  if (predecessor_.present()) pids.push_back(predecessor_.pid());
  return pids;
}

// --- signals ---------------------------------------------------------------------------------------------------------

void Master::on_signal(int number) {
  if (number == SIGCHLD) return reap();
  if (state_ == State::succeeded) return pass_on(number);
  switch (number) {
    case SIGHUP:
      return reload(0, "signal");
    case SIGQUIT:
      return stop(false);
    case SIGTERM:
    case SIGINT:
      return stop(true);
    case SIGUSR1:
      return reopen_logs({});
    case SIGUSR2:
      return may_upgrade() ? start_upgrade() : log::error("no upgrade now", {{"state", state_word()}});
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
  if (state_ != State::starting) predecessor_.say("reopen");
  log::info("logs reopened");
}

Fork Master::forker() {
  return [this](const std::vector<int>& keep, const std::function<void()>& body) { return fork_child(keep, body); };
}

// --- reload ----------------------------------------------------------------------------------------------------------

// workers 0: as many as now. One reload at a time; who comes meanwhile shares the next. What may not begin now waits.
void Master::reload(int workers, const std::string& why) {
  if (state_ == State::succeeded) return pass_on(SIGHUP);
  if (state_ == State::stopping) return log::warn("no reload now", {{"state", state_word()}});
  log::info("reload", {{"because", why}});
  if (workers > 0) next_workers_ = workers;
  reload_wanted_ = true;
  do_what_waits();
}

// A certificate on the disk is another one. Edits of the configuration wait for somebody's reload.
void Master::renew() {
  if (state_ != State::serving) return;
  log::info("reload", {{"because", "certificates changed"}});
  renewal_wanted_ = true;
  do_what_waits();
}

void Master::do_what_waits() {
  const bool ready = state_ == State::serving || state_ == State::resting;
  if (!ready || change_->running() || upgrade_.running()) return;
  if (reload_wanted_ || renewal_wanted_) return start_change();
  if (std::exchange(upgrade_wanted_, false)) start_upgrade();
}

void Master::watch_files() {
  const Generation& now = *change_->current();
  const auto watch = [this](std::unique_ptr<FileWatch>& one, WatchedPaths what, std::optional<uint64_t> state, auto changed) {
    if (what.paths.empty() && one == nullptr) return;
    if (one == nullptr) one = std::make_unique<FileWatch>(loop_, forker(), changed);
    one->watch(std::move(what), state);
  };
  watch(certificates_, watched_certificates(now.plan, settings_.prefix), now.seen.certificates, [this] { renew(); });
  watch(directories_, watched_directories(now.plan, settings_.prefix), now.seen.directories, [this] { reload(0, "a watched directory changed"); });
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
  do_what_waits();
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

// --- stop ------------------------------------------------------------------------------------------------------------

int64_t Master::graceful_ms() const { return change_->current() != nullptr ? change_->current()->plan.drain_ms : fast_ms; }

// WINCH: the workers leave, the master stays.
void Master::rest() {
  if (state_ != State::serving || change_->running()) return;
  log::info("the workers are told to leave");
  state_ = State::resting;
  family_->drain_workers(graceful_ms());
}

void Master::stop(bool fast) {
  if (state_ == State::stopping && (fast_ || !fast)) return fast ? kill_all() : void();
  if (upgrade_.state() == Upgrade::State::offered) {  // who has the places in a moment is to be stopped
    stop_wanted_ = fast || stop_wanted_ == SIGTERM ? SIGTERM : SIGQUIT;
    return;
  }
  if (state_ != State::stopping) {
    state_ = State::stopping;
    log::info("stopping", {{"fast", fast}});
    change_->cancel("goma was told to stop");
    upgrade_.end("goma was told to stop");
    if (owner_) notify::stopping();
    owner_ ? listeners_.keep_only({}) : listeners_.abandon();  // nobody new is let in once the workers have left their queues
    if (owner_ && !predecessor_.present()) orphans_.end(orphan_patience_ms);
  }
  if (owner_ && fast) predecessor_.say("term");
  drain(fast);
}

// The children finish; whoever is there when the grace is over is killed.
void Master::drain(bool fast) {
  fast_ = fast_ || fast;
  const int64_t grace_ms = fast_ ? fast_ms : graceful_ms();
  family_->drain_all(grace_ms);
  overdue_.start(grace_ms + slack_ms);
  check_stopped();
}

void Master::kill_all() {
  family_->kill_all();
  if (state_ == State::succeeded) return;
  upgrade_.kill();
  orphans_.kill();
  if (owner_) predecessor_.kill();
}

void Master::leave_places() {
  if (!owner_) {
    remove_safely(settings_.state_file + ".next");
    return;
  }
  control_.remove();
  // Who outlives us, because we were never in a position to end them, is the next start's business.
  orphans_.lines().empty() ? remove_safely(settings_.state_file) : write_state();
  pid_file_.remove();
}

void Master::check_stopped() {
  if ((state_ != State::stopping && state_ != State::succeeded) || family_->alive() > 0 || upgrade_.running()) return;
  if (owner_ && (orphans_.ending() || predecessor_.present())) return;
  if (state_ == State::stopping) leave_places();
  for (const Waiter& waiter : std::exchange(stop_waiters_, {})) answer(waiter, 0, "gomactl: stopped\n", "{\"ok\":true}\n");
  control_.answer_all(Answer{1, {}, "gomactl: goma has stopped\n"});
  if (change_->current() != nullptr) log::info("bye");
  tell_starter(false);
  loop_.stop();
}

}  // namespace goma::core
