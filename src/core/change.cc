// SPDX-License-Identifier: Apache-2.0
//
// Who takes part: the workers of the new generation, and the manager if it lives. A worker that dies while it serves
// is restarted by the family on the old generation and asked again; one that dies before it ever served ends the
// change.
#include "core/change.h"

#include <fmt/format.h>

#include <ctime>

#include "core/log.h"
#include "core/rehearsal.h"
#include "core/rotate.h"
#include "core/worker.h"

namespace goma::core {

namespace {

Differences differences(const Plan::Marks& old, const Plan::Marks& fresh) {
  Differences found;
  for (const auto& [name, mark] : fresh) {
    const auto before = old.find(name);
    if (before == old.end()) ++found.added;
    else found.changed += before->second != mark ? 1 : 0;
  }
  for (const auto& [name, mark] : old) found.removed += fresh.contains(name) ? 0 : 1;
  return found;
}

}  // namespace

Change::Change(Loop& loop, Family& family, Listeners& listeners, const Service& service, const Settings& settings)
    : loop_(loop), family_(family), listeners_(listeners), service_(service), settings_(settings) {
  overdue_.bind<&Change::on_overdue>(loop_, this);
}

Serving Change::serving() const {
  Serving serving;
  if (current_ == nullptr) return serving;
  serving.bundle = current_->bundle.get();
  serving.routes = current_->plan.routes;
  return serving;
}

void Change::start(const Fork& fork, Wish wish, std::function<void(ChangeOutcome)> done) {
  GOMA_CHECK(state_ == State::idle);
  state_ = State::loading;
  loop_.refresh_clock();
  started_ms_ = loop_.now_ms();
  friends_ = std::move(wish.friends);
  outcome_ = {};
  done_ = std::move(done);
  next_ = std::make_unique<Generation>();
  next_->number = next_number_++;
  next_->workers = wish.workers;
  Serving now = serving();
  now.may_be_less = wish.may_be_less;
  now.renew = wish.renew && current_ != nullptr;
  if (now.renew) now.paths = current_->plan.certificates;
  // The log is made there too: the disk that it is on may be slow, and the finding has the place of its key.
  const Trial make = [this](const Plan& plan, Problems& problems) {
    const Result<void> made = make_log(plan, settings_);
    tell_log(plan, settings_, made, problems);
    return made.ok() ? 0 : 78;
  };
  loader_.start(loop_, fork, service_, settings_, make, [this](Loaded result) { loaded(std::move(result)); }, now);
}

void Change::loaded(Loaded result) {
  outcome_.problems = std::move(result.problems);
  outcome_.problems_json = std::move(result.problems_json);
  outcome_.summary = std::move(result.summary);
  if (!result.ok) return refuse(78, outcome_.summary);
  next_->bundle = std::move(result.bundle);
  next_->plan = std::move(result.plan);
  next_->seen = result.seen;
  if (Result<void> bound = bind_new(); !bound) return refuse(1, bound.error().text);
  prepare_all();
}

// New addresses are bound now, so that a failure refuses the change. They listen from the commit on: a socket that listens is
// given clients by the kernel, also those that another one had before, and until the commit nobody would answer them.
Result<void> Change::bind_new() {
  for (const Plan::Address& address : next_->plan.addresses) {
    Result<void> reserved = listeners_.reserve(address, settings_.prefix, friends_);
    if (!reserved) return reserved;
  }
  return {};
}

bool Change::takes_part(const Child& child) const {
  if (child.state == Child::State::leaving) return false;
  return child.is_manager() || child.slot < next_->workers;
}

void Change::prepare_all() {
  state_ = State::preparing;
  overdue_.start(patience_ms);
  family_.make_zones(next_->plan);
  family_.spawn(next_->workers);
  family_.each([this](Child& child) {
    // A child that still catches up with the current generation is asked when it has.
    const bool catching_up = current_ != nullptr && child.asked == current_->number && child.generation != current_->number;
    if (takes_part(child) && !catching_up) family_.prepare(child, *next_);
  });
}

void Change::on_ready(Child&, uint64_t generation) {
  if (state_ == State::preparing && generation == next_->number) check_ready();
}

void Change::check_ready() {
  for (const auto& child : family_.workers()) {
    if (takes_part(*child) && (!child->alive() || child->ready != next_->number)) return;
  }
  if (family_.manager().alive() && family_.manager().ready != next_->number) return;
  commit();
}

void Change::commit() {
  state_ = State::committing;
  overdue_.start(patience_ms);
  const size_t slots = static_cast<size_t>(next_->workers);
  for (const Plan::Address& address : next_->plan.addresses) {
    Result<void> opened = listeners_.open(address, static_cast<int>(slots), settings_.prefix, friends_);
    if (!opened) log::error("fewer sockets than workers", {{"address", address.text}, {"error", opened.error().text}});
  }
  listeners_.make_way(next_->plan.addresses);
  next_->loaded_s = ::time(nullptr);
  if (current_ != nullptr) {
    outcome_.routes = differences(current_->plan.route_marks, next_->plan.route_marks);
    outcome_.middlewares = differences(current_->plan.middleware_marks, next_->plan.middleware_marks);
  }
  current_ = std::move(next_);
  configure_log(current_->plan, settings_);
  family_.each([this](Child& child) {
    if (child.ready == current_->number) family_.commit(child, *current_);
  });
  family_.set_current(current_.get());
  listeners_.keep_only(current_->plan.addresses);  // the workers have descriptors of their own, and leave no queue unserved
}

void Change::on_committed(Child& child, uint64_t generation) {
  if (state_ == State::committing) return check_committed();
  // A restarted child has caught up with the old generation: now it is asked for the new one.
  const bool behind = state_ == State::preparing && current_ != nullptr && generation == current_->number;
  if (behind && takes_part(child)) family_.prepare(child, *next_);
}

void Change::check_committed() {
  for (const auto& child : family_.workers()) {
    if (child->alive() && child->ready == current_->number && child->generation != current_->number) return;
  }
  const Child& manager = family_.manager();
  if (manager.alive() && manager.ready == current_->number && manager.generation != current_->number) return;
  finish();
}

void Change::on_failed(Child& child, uint64_t generation, const std::string& reason) {
  if (state_ != State::preparing || generation != next_->number) return;
  refuse(1, fmt::format("{} cannot build the configuration: {}", child.name(), reason));
}

void Change::on_gone(Child& child) {
  if (state_ == State::committing) return check_committed();
  if (state_ != State::preparing || child.state == Child::State::leaving) return;
  const bool new_slot = current_ == nullptr || child.slot >= current_->workers;
  if (!child.is_manager() && new_slot) return refuse(1, fmt::format("{} died while it started", child.name()));
  check_ready();
}

void Change::on_overdue() {
  if (state_ == State::preparing) return refuse(1, fmt::format("not everybody was ready within {} s", patience_ms / 1000));
  if (state_ == State::committing) finish();
}

void Change::refuse(int code, const std::string& reason) {
  outcome_.code = code;
  outcome_.reason = reason;
  if (state_ == State::preparing) family_.abort(next_->number);
  if (current_ != nullptr) {
    listeners_.keep_only(current_->plan.addresses);
    family_.set_current(current_.get());  // workers that were started for the new generation leave
  }
  next_.reset();
  finish();
}

void Change::cancel(const std::string& reason) {
  if (state_ != State::loading && state_ != State::preparing) return;
  loader_.cancel();
  refuse(1, reason);
}

void Change::finish() {
  const bool ok = state_ == State::committing;
  overdue_.stop();
  state_ = State::idle;
  outcome_.ok = ok;
  loop_.refresh_clock();
  outcome_.took_ms = loop_.now_ms() - started_ms_;
  std::function<void(ChangeOutcome)> done = std::exchange(done_, nullptr);
  if (done) done(std::move(outcome_));
}

}  // namespace goma::core
