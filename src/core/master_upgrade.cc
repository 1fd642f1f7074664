// SPDX-License-Identifier: Apache-2.0
//
// The master's part in an upgrade: first as the one that is replaced, then as the one that comes. core/upgrade.h tells the
// whole story.
#include <fmt/format.h>
#include <unistd.h>

#include <csignal>

#include "core/log.h"
#include "core/master.h"
#include "core/notify.h"
#include "core/safe_open.h"
#include "core/status.h"
#include "core/worker.h"

namespace goma::core {

namespace {

constexpr int64_t orphan_patience_ms = Worker::orphan_grace_ms + 1'000;
// A signal to a pid that was read from the pid file just before it changed is meant for goma, not for the master that leaves.
constexpr int64_t late_order_ms = 5'000;

}  // namespace

// --- the master that is replaced -------------------------------------------------------------------------------------

// At once, or as soon as what is under way is over.
bool Master::may_upgrade() const {
  const Upgrade::State state = upgrade_.state();
  return state_ == State::serving && (state == Upgrade::State::idle || state == Upgrade::State::ending);
}

void Master::start_upgrade() {
  if (change_->running() || upgrade_.running()) {
    upgrade_wanted_ = true;
    return;
  }
  log::info("upgrade", {{"binary", settings_.binary}});
  Inheritance given;
  given.old_master = ::getpid();
  given.generation = change_->current()->number;
  given.workers = settings_.workers;
  given.slab = slab_.fd();
  upgrade_.start(loop_, forker(), settings_, listeners_, given);
}

void Master::on_handed(pid_t fresh, const std::string& status) {
  notify::handed(fresh, status);
  log::info("upgraded; this process drains and leaves", {{"new_pid", fresh}});
  process::set_title("goma: master (upgraded, leaving)");
  state_ = State::succeeded;
  owner_ = false;
  handed_ms_ = loop_.now_ms();
  for (const Waiter& waiter : std::exchange(upgrade_waiters_, {})) {
    answer(waiter, 0, fmt::format("gomactl: upgraded: pid {} serves, pid {} drains\n", fresh, ::getpid()), {});
  }
  if (reload_wanted_) pass_on(SIGHUP);
  if (stop_wanted_ != 0) pass_on(stop_wanted_);
  stop_waiters_.clear();  // like everybody else who waits, they ask the new one
  control_.hand_over();
  pid_file_.abandon();
  upgrade_.settled();
  listeners_.abandon();
  certificates_.reset();
  directories_.reset();
  drain(stop_wanted_ == SIGTERM);
}

void Master::on_upgrade_failed(const std::string& reason) {
  const std::string_view then = state_ == State::stopping ? "goma stops" : "the old binary keeps serving";
  log::error("upgrade failed", {{"reason", reason}, {"then", then}});
  for (const Waiter& waiter : std::exchange(upgrade_waiters_, {})) {
    answer(waiter, 1, fmt::format("gomactl: upgrade failed, {}: {}\n", then, reason), {});
  }
  remove_safely(settings_.state_file + ".next");
  if (!pid_file_.is_ours()) {
    if (Result<void> owned = own_places(); !owned) log::error(owned.error().text);
    write_state();
  }
  if (state_ == State::stopping) return;  // reap() looks whether that was the last
  if (const int number = std::exchange(stop_wanted_, 0); number != 0) return stop(number == SIGTERM);
  do_what_waits();
}

// What a master that has handed over is told.
void Master::pass_on(int number) {
  const bool stops = number == SIGQUIT || number == SIGTERM || number == SIGINT;
  const pid_t successor = upgrade_.successor();
  if (successor > 0 && (!stops || loop_.now_ms() - handed_ms_ < late_order_ms)) {
    log::info("passed on to the new master", {{"signal", number}, {"pid", successor}});
    ::kill(successor, number);
  }
  if (number == SIGUSR1) reopen_logs({});
  if (stops && number != SIGQUIT) drain(true);
}

void Master::on_successor(std::string_view word) {
  if (word == "reopen") reopen_logs({});
  if (word == "term") drain(true);
}

// --- the master that comes -------------------------------------------------------------------------------------------

void Master::meet_predecessor() {
  for (const Listening& socket : inherited_->sockets) listeners_.adopt(socket.text, socket.fd);
  change_->number_from(inherited_->generation + 1);
  next_workers_ = inherited_->workers;
  orphans_.read(settings_.state_file);
  predecessor_.open(loop_, *inherited_,
                    {[this] { on_yours(); }, [this] { tell_service_manager(); }, [this](bool settled) { on_predecessor_gone(settled); },
                     [this] { cannot_serve("the old master does not answer"); }});
}

// The pid file and the control socket become ours in the place of whoever had them.
Result<void> Master::own_places() {
  const pid_t holder = process::holder_of(settings_.pid_file);
  Result<void> taken = holder == 0 ? pid_file_.take(settings_.pid_file) : pid_file_.replace(settings_.pid_file);
  if (taken) taken = control_.open(settings_.control_socket, settings_.identity.operators);
  return taken;
}

// The places are ours, and whatever goes with them.
void Master::take_over() {
  owner_ = true;
  listeners_.own();
  remove_safely(settings_.state_file + ".next");
  write_state();
  reopen_logs({});  // they may have been moved while the old master was the one to be told
}

void Master::on_yours() {
  if (state_ != State::starting) return;
  orphans_.read(settings_.state_file);
  if (Result<void> owned = own_places(); !owned) return cannot_serve(owned.error().text);
  take_over();
  predecessor_.understands() ? predecessor_.say("taken " + last_text_) : predecessor_.ready();
  serve();
}

void Master::on_predecessor_gone(bool settled) {
  if (!owner_) orphans_.read(settings_.state_file);  // else it says who our own children are, and theirs are known
  if (state_ == State::stopping) {
    if (owner_) orphans_.end(orphan_patience_ms);
    return check_stopped();
  }
  if (!owner_) {
    log::error("the old master has died during the upgrade; this one takes over", {{"pid", predecessor_.pid()}});
    const Result<void> owned = process::holder_of(settings_.pid_file) != 0 ? Error{Code::refused, "another master has started meanwhile", 0} : own_places();
    if (!owned) return cannot_serve(owned.error().text);
    take_over();
    reload_wanted_ = true;  // it may have been told something that nobody knows any more
    if (change_->current() != nullptr) serve();
    return;
  }
  orphans_.end(orphan_patience_ms);
  if (settled) return;
  tell_service_manager();
  reload(0, "the old master has died");
}

}  // namespace goma::core
