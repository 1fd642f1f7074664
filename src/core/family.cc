// SPDX-License-Identifier: Apache-2.0
//
// Children come and go; slots stay. A child that dies unasked is started again at once, ten times; after that
// slower each time (100 ms, doubling to 10 s). Every second of life earns one restart back.
#include "core/family.h"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>

#include "core/limit_zone.h"
#include "core/log.h"
#include "core/orders.h"
#include "core/stack_trace.h"

namespace goma::core {

namespace {

constexpr int64_t allowance_ms = 1'000;  // one restart at once is earned in this time
constexpr int64_t max_allowance = 10;
constexpr int64_t first_backoff_ms = 100;
constexpr int64_t last_backoff_ms = 10'000;
constexpr size_t max_waiting = 64;               // messages that a child has not taken

// The parts of a plan that a child needs.
Plan short_plan(const Plan& plan) {
  Plan brief;
  brief.log_level = plan.log_level;
  brief.log_format = plan.log_format;
  brief.log_file = plan.log_file;
  brief.log_max_size_mb = plan.log_max_size_mb;
  brief.log_max_backups = plan.log_max_backups;
  brief.log_max_age_days = plan.log_max_age_days;
  brief.watch = plan.watch;
  brief.routes = plan.routes;
  brief.middlewares = plan.middlewares;
  brief.drain_ms = plan.drain_ms;
  return brief;
}

}  // namespace

std::string Child::name() const { return is_manager() ? "manager" : fmt::format("worker {}", slot); }
void Child::on_message(Message& message) { family_.message(*this, message); }
void Child::on_respawn() { family_.start(*this); }

Family::Family(Loop& loop, Listeners& listeners, Slab& slab, Metrics& metrics, FamilyListener& listener)
    : loop_(loop), listeners_(listeners), slab_(slab), metrics_(metrics), listener_(listener),
      manager_(std::make_unique<Child>(*this, Child::manager_slot)) {
  Result<ProcessTable> table = ProcessTable::open(slab_);
  GOMA_CHECK(table.ok());
  processes_ = std::make_unique<ProcessTable>(std::move(table).value());
  processes_->enter(ProcessTable::Role::master, -1, int64_t{1000} * ::time(nullptr));
  metrics_.describe("goma_worker_restarts_total", Metrics::Kind::counter, "Processes that were started again after they died.");
  restarts_ = metrics_.counter("goma_worker_restarts_total");
}

Family::~Family() { processes_->leave(::getpid()); }

void Family::set_entry(Fork fork, ChildMain main) {
  fork_ = std::move(fork);
  main_ = std::move(main);
}

void Family::spawn(int workers) {
  closing_ = false;
  while (workers_.size() < static_cast<size_t>(workers)) {
    workers_.push_back(std::make_unique<Child>(*this, static_cast<int>(workers_.size())));
  }
  for (int slot = 0; slot < workers; ++slot) {
    if (!workers_[static_cast<size_t>(slot)]->alive()) start(*workers_[static_cast<size_t>(slot)]);
  }
  if (!manager_->alive()) start(*manager_);
}

void Family::make_zones(const Plan& plan) {
  const Result<LimitZone> limits = LimitZone::open(slab_, static_cast<size_t>(plan.limit_zone_bytes));
  if (!limits.ok()) return log::error("rate limits do not hold", {{"error", limits.error().text}});
  if (limits.value().bytes() != plan.limit_zone_bytes) {
    log::warn("the memory of limits keeps its size until the next start", {{"bytes", limits.value().bytes()}, {"configured", plan.limit_zone_bytes}});
  }
}

void Family::start(Child& child) {
  child.respawn_.stop();
  Result<std::pair<int, int>> line = Channel::pair();
  if (!line) {
    log::error("cannot start a process", {{"child", child.name()}, {"error", line.error().text}});
    child.spent_ = std::max<int64_t>(child.spent_, max_allowance) + 1;
    return schedule(child);
  }
  const int theirs = line->second;
  const pid_t pid = fork_({theirs, slab_.fd()}, [this, theirs, slot = child.slot] { main_(theirs, slot); });
  const int number = errno;
  ::close(theirs);
  if (pid < 0) {
    ::close(line->first);
    log::error("cannot start a process", {{"child", child.name()}, {"error", std::strerror(number)}});
    child.spent_ = std::max<int64_t>(child.spent_, max_allowance) + 1;
    return schedule(child);
  }
  child.pid = pid;
  child.start_time = process::start_time(pid);
  child.started_ms = loop_.now_ms();
  child.state = Child::State::starting;
  child.generation = child.asked = child.ready = 0;
  child.channel_.open<&Child::on_message, &Child::on_closed>(loop_, line->first, &child);
  log::debug("started", {{"child", child.name()}, {"pid", pid}});
  settle(child);
  listener_.on_family_changed();
}

// Brings a fresh child to the current generation.
void Family::settle(Child& child) {
  if (current_ == nullptr || child.state != Child::State::starting) return;
  if (child.is_manager() || child.slot < current_->workers) prepare(child, *current_);
}

void Family::prepare(Child& child, const Generation& generation) {
  if (!child.alive()) return;
  if (child.channel_.waiting() > max_waiting) {
    log::error("a process does not read what it is told, and is replaced", {{"child", child.name()}, {"pid", child.pid}});
    ::kill(child.pid, SIGKILL);
    return;
  }
  child.asked = generation.number;
  child.ready = 0;
  Pack body;
  body.number(generation.number);
  pack_plan(body, short_plan(generation.plan));
  child.channel_.send(order_prepare, body.bytes(), {generation.bundle.get()});
}

void Family::commit(Child& child, const Generation& generation) {
  const std::vector<Listening> lent =
      child.is_manager() ? std::vector<Listening>() : listeners_.lent_to(child.slot, generation.workers, generation.plan.addresses);
  for (size_t first = 0; first < lent.size(); first += Channel::max_fds) {
    Pack texts;
    std::vector<int> fds;
    for (size_t i = first; i < std::min(first + Channel::max_fds, lent.size()); ++i) {
      texts.text(lent[i].text);
      fds.push_back(lent[i].fd);
    }
    child.channel_.send(order_sockets, texts.bytes(), fds);
  }
  child.channel_.send(order_commit, Pack().number(generation.number).bytes());
}

void Family::abort(uint64_t generation) {
  each([&](Child& child) {
    if (child.asked != generation) return;
    child.asked = child.ready = 0;
    child.channel_.send(order_abort, Pack().number(generation).bytes());
  });
}

void Family::set_current(const Generation* generation) {
  current_ = generation;
  if (generation == nullptr) return;
  while (workers_.size() > static_cast<size_t>(generation->workers)) {
    retire(workers_.back(), never_ms);  // its tunnels may last: a reload cuts nothing
    workers_.pop_back();
  }
}

// Moves a child out of its place and asks it to leave.
void Family::retire(std::unique_ptr<Child>& place, int64_t grace_ms) {
  place->respawn_.stop();
  if (!place->alive()) return;
  place->state = Child::State::leaving;
  place->channel_.send(order_drain, Pack().number(static_cast<uint64_t>(grace_ms)).bytes());
  leaving_.push_back(std::move(place));
}

void Family::drain_workers(int64_t grace_ms) {
  closing_ = true;
  while (!workers_.empty()) {
    retire(workers_.back(), grace_ms);
    workers_.pop_back();
  }
  // Who leaves already hears of a shorter grace.
  for (const auto& child : leaving_) child->channel_.send(order_drain, Pack().number(static_cast<uint64_t>(grace_ms)).bytes());
}

void Family::drain_all(int64_t grace_ms) {
  drain_workers(grace_ms);
  retire(manager_, grace_ms);
  if (manager_ == nullptr) manager_ = std::make_unique<Child>(*this, Child::manager_slot);
}

void Family::kill_all() {
  closing_ = true;
  each([](Child& child) { ::kill(child.pid, SIGKILL); });
}

void Family::reopen_logs() {
  each([](Child& child) { child.channel().send(order_reopen); });
}

bool Family::ask(uint64_t question, const std::string& what, bool json) {
  if (manager_->state != Child::State::serving || manager_->channel_.waiting() > max_waiting) return false;
  manager_->channel_.send(order_ask, Pack().number(question).text(what).number(json).bytes());
  return true;
}

void Family::message(Child& child, Message& message) {
  std::vector<Descriptor> fds;
  for (const int fd : message.fds) fds.emplace_back(fd);
  Unpack body(message.body);
  const uint64_t number = body.number();
  switch (message.kind) {
    case report_ready:
      child.ready = number;
      if (current_ != nullptr && number == current_->number) return commit(child, *current_);
      return listener_.on_ready(child, number);
    case report_failed:
      return listener_.on_failed(child, number, body.text());
    case report_committed:
      child.generation = number;
      if (child.state == Child::State::starting) child.state = Child::State::serving;
      return listener_.on_committed(child, number);
    case report_answer: {
      Result<std::string> text = fds.empty() ? Error{} : read_memory_file(fds.front().get());
      return listener_.on_answer(number, text ? *text : std::string());
    }
    case report_want_rotate:
      return listener_.on_want_rotate();
    default:
      return;
  }
}

void Family::forget(pid_t pid) {
  processes_->leave(pid);
  metrics_.release_stripe(pid);
}

bool Family::reaped(pid_t pid, int status) {
  const auto same = [pid](const std::unique_ptr<Child>& child) { return child->pid == pid; };
  const auto left = std::find_if(leaving_.begin(), leaving_.end(), same);
  if (left != leaving_.end()) {
    if (WIFSIGNALED(status) && !closing_) tell_death(**left, status);
    (*left)->channel_.drain();  // its last words may still lie in the line
    forget(pid);
    std::unique_ptr<Child> gone = std::move(*left);
    leaving_.erase(left);
    gone->pid = -1;
    listener_.on_gone(*gone);
    return true;
  }
  const auto found = std::find_if(workers_.begin(), workers_.end(), same);
  Child* child = found != workers_.end() ? found->get() : manager_->pid == pid ? manager_.get() : nullptr;
  if (child == nullptr) return false;
  tell_death(*child, status);
  forget(pid);
  child->channel_.close();
  child->pid = -1;
  child->state = Child::State::down;
  const int64_t earned = (loop_.now_ms() - child->started_ms) / allowance_ms;
  child->spent_ = std::max<int64_t>(child->spent_ - earned, 0) + 1;
  listener_.on_gone(*child);
  // A change that is refused because of this death gives up slots, perhaps this one.
  if (closing_ || !has(child)) return true;
  ++child->restarts;
  metrics_.add(restarts_);
  schedule(*child);
  return true;
}

void Family::replace(Child& child) {
  if (closing_ || child.state != Child::State::serving) return;
  const auto found = std::find_if(workers_.begin(), workers_.end(), [&child](const std::unique_ptr<Child>& worker) { return worker.get() == &child; });
  std::unique_ptr<Child>& place = child.is_manager() ? manager_ : *found;
  auto fresh = std::make_unique<Child>(*this, child.slot);
  fresh->restarts = child.restarts + 1;
  fresh->spent_ = child.spent_;
  child.channel_.close();
  child.state = Child::State::leaving;
  leaving_.push_back(std::exchange(place, std::move(fresh)));
  metrics_.add(restarts_);
  start(*place);
}

std::optional<int64_t> Family::beat_ms(const Child& child) const {
  const ProcessTable::Entry* entry = processes_->find(child.pid);
  if (entry == nullptr) return std::nullopt;
  return __atomic_load_n(&entry->beat_ms, __ATOMIC_RELAXED);
}

bool Family::has_left_stack(const Child& child) const {
  const ProcessTable::Entry* entry = processes_->find(child.pid);
  return entry != nullptr && __atomic_load_n(&entry->frames, __ATOMIC_ACQUIRE) != 0;
}

bool Family::has(const Child* child) const {
  return child == manager_.get() ||
         std::any_of(workers_.begin(), workers_.end(), [child](const std::unique_ptr<Child>& worker) { return worker.get() == child; });
}

void Family::tell_death(const Child& child, int status) {
  const std::string last = processes_->status_of(child.pid);
  const std::string how = WIFSIGNALED(status) ? fmt::format("signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)))
                                              : fmt::format("exit code {}", WEXITSTATUS(status));
  log::error("a process died", {{"child", child.name()}, {"pid", child.pid}, {"reason", how}, {"last_request", last}});
  if (has_left_stack(child)) log::error("its stack", {{"child", child.name()}, {"pid", child.pid}, {"stack", stack_trace::describe(*processes_->find(child.pid))}});
}

void Family::schedule(Child& child) {
  if (child.spent_ <= max_allowance) return start(child);
  child.respawn_.bind<&Child::on_respawn>(loop_, &child);
  child.respawn_.start(std::min(first_backoff_ms << std::min<int64_t>(child.spent_ - max_allowance - 1, 10), last_backoff_ms));
}

void Family::each(const std::function<void(Child&)>& visit) const {
  for (const auto& child : workers_) {
    if (child->alive()) visit(*child);
  }
  if (manager_->alive()) visit(*manager_);
  for (const auto& child : leaving_) visit(*child);
}

size_t Family::alive() const {
  size_t count = 0;
  each([&](Child&) { ++count; });
  return count;
}

}  // namespace goma::core
