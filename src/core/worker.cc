// SPDX-License-Identifier: Apache-2.0
//
// Orders in, reports out. Building happens on the helper thread; the loop only swaps.
#include "core/worker.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <ctime>

#include "core/heartbeat.h"
#include "core/loader.h"
#include "core/log.h"
#include "core/orders.h"
#include "core/problem.h"
#include "core/rotate.h"
#include "core/sandbox.h"
#include "core/sanitizer.h"
#include "core/stack_trace.h"

namespace goma::core {

namespace {

constexpr int64_t slack_ms = 500;
constexpr unsigned last_alarm_s = static_cast<unsigned>((Worker::orphan_ms + Worker::orphan_grace_ms) / 1000) + 5;

std::string process_name(int slot) { return slot < 0 ? "goma: manager" : fmt::format("goma: worker {}", slot); }

int64_t wall_ms() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000;
}

}  // namespace

void configure_log(const Plan& plan, const Settings& settings) {
  log::Options options;
  options.level = log::parse_level(plan.log_level);
  options.json = plan.log_format == "json";
  options.file = log_path(plan, settings.prefix);
  options.owner = settings.identity.uid;
  log::configure(options);
}

Worker::Worker(const Settings& settings, Service& service, Slab& slab, int channel, int slot) : settings_(settings), service_(service) {
  Result<std::unique_ptr<Metrics>> metrics = Metrics::open(slab);
  GOMA_CHECK(metrics.ok());
  metrics_ = std::move(metrics).value();
  if (Result<void> stripe = metrics_->acquire_stripe(); !stripe) log::warn("this process counts nothing", {{"error", stripe.error().text}});
  Result<ProcessTable> table = ProcessTable::open(slab);
  GOMA_CHECK(table.ok());
  processes_ = std::make_unique<ProcessTable>(std::move(table).value());
  processes_->enter(slot < 0 ? ProcessTable::Role::manager : ProcessTable::Role::worker, slot, wall_ms());
  stack_trace::leave_in(*processes_);
  beat_.bind<&Worker::on_beat>(loop_, this);
  on_beat();
  context_.loop = &loop_;
  context_.wheel = &wheel_;
  context_.slab = &slab;
  context_.metrics = metrics_.get();
  context_.helper = &helper_;
  context_.processes = processes_.get();
  context_.slot = slot;
  context_.prefix = settings.prefix;
  metrics_->describe("goma_log_lines_dropped_total", Metrics::Kind::counter, "Log lines that could not be written.");
  metrics_->describe("goma_log_failed_writes_total", Metrics::Kind::counter, "Writes to the log that failed.");
  dropped_ = metrics_->counter("goma_log_lines_dropped_total");
  failed_ = metrics_->counter("goma_log_failed_writes_total");
  quit_.open<&Worker::on_signal>(loop_, SIGQUIT, this);
  terminate_.open<&Worker::on_signal>(loop_, SIGTERM, this);
  // What a terminal or a script sends to the whole group is the master's business.
  for (auto [signal, number] : {std::pair(&interrupt_, SIGINT), {&hangup_, SIGHUP}, {&user1_, SIGUSR1}, {&user2_, SIGUSR2}, {&window_, SIGWINCH}}) {
    signal->open<&Worker::on_signal>(loop_, number, this);
  }
  second_.bind<&Worker::on_second>(loop_, this);
  second_.start(1000);
  orphan_.bind<&Worker::on_orphan>(loop_, this);
  overdue_.bind<&Loop::stop>(loop_, &loop_);
  service_.start(context_);
  channel_.open<&Worker::on_message, &Worker::on_closed>(loop_, channel, this);
}

int Worker::run() {
  loop_.run();
  on_second();
  processes_->leave(::getpid());
  metrics_->release_stripe(::getpid());
  return exit_code_;
}

void Worker::want_rotate() { channel_.send(report_want_rotate); }

void Worker::on_message(Message& message) {
  Unpack body(message.body);
  switch (message.kind) {
    case order_sockets:
      return take_sockets(message);
    case order_prepare:
      return prepare(body, message.fds.empty() ? -1 : message.fds.front());
    case order_commit:
      return commit(body.number());
    case order_abort:
      return abort(body.number());
    case order_drain:
      return drain(static_cast<int64_t>(body.number()));
    case order_reopen:
      log::reopen();
      return service_.reopen_logs();
    case order_ask:
      return answer(body);
    default:
      for (const int fd : message.fds) ::close(fd);
  }
}

// The master is gone. Who has no traffic leaves; the others give a new master the time to come, and do not outlive it for long.
void Worker::on_closed() {
  if (serving_ == nullptr || context_.slot < 0) return leave(0);
  orphan_grace_ = std::min(plan_.drain_ms, orphan_grace_ms);
  if (draining_) return drain(orphan_grace_);
  if (process::holder_of(settings_.pid_file) != 0) return drain(orphan_grace_);  // another master serves here
  log::error("the master has died; serving on for a moment", {{"slot", context_.slot}, {"ms", orphan_ms}});
  orphan_.start(orphan_ms);
}

void Worker::on_orphan() {
  log::error("the master has died and no other has come; leaving", {{"slot", context_.slot}, {"grace_ms", orphan_grace_}});
  drain(orphan_grace_);
}

void Worker::on_signal(int number) {
  if (number == SIGQUIT) drain(channel_.is_open() ? plan_.drain_ms : orphan_grace_);
  if (number == SIGTERM) leave(0);
}

void Worker::on_second() {
  const uint64_t dropped = log::dropped_lines(), failed = log::failed_writes();
  metrics_->add(dropped_, dropped - dropped_told_);
  metrics_->add(failed_, failed - failed_told_);
  dropped_told_ = dropped;
  failed_told_ = failed;
  trim_.look();
  second_.start(1000);
}

void Worker::on_beat() {
  processes_->beat(loop_.now_ms());
  beat_.start(Heartbeat::interval_ms);
}

void Worker::take_sockets(Message& message) {
  Unpack texts(message.body);
  for (const int fd : message.fds) sockets_.push_back({texts.text(), fd});
}

void Worker::drop_sockets() {
  for (const Listening& socket : sockets_) ::close(socket.fd);
  sockets_.clear();
}

void Worker::prepare(Unpack& order, int bundle) {
  auto prepared = std::make_unique<Prepared>();
  prepared->generation = wanted_ = order.number();
  prepared->plan = unpack_plan(order);
  Prepared* into = prepared.release();  // travels through the helper's copyable functions, owned by the second one
  const auto work = [this, into, bundle] {
    process::step_back();
    Result<std::unique_ptr<BundleSource>> source = BundleSource::open(bundle);
    ::close(bundle);
    Problems problems;
    if (source) into->built = service_.build(**source, settings_.config, problems);
    if (into->built == nullptr) into->problems = source ? problems.render() : source.error().text;
  };
  helper_.run(work, [this, into] { built(std::unique_ptr<Prepared>(into)); });
}

void Worker::built(std::unique_ptr<Prepared> prepared) {
  const uint64_t generation = prepared->generation;
  if (generation != wanted_) return;  // aborted meanwhile
  if (prepared->built == nullptr) {
    channel_.send(report_failed, Pack().number(generation).text(prepared->problems.substr(0, 50'000)).bytes());
    return;
  }
  prepared_ = std::move(prepared);
  channel_.send(report_ready, Pack().number(generation).bytes());
}

void Worker::commit(uint64_t generation) {
  if (prepared_ == nullptr || prepared_->generation != generation) return drop_sockets();
  std::unique_ptr<Prepared> next = std::move(prepared_);
  wanted_ = 0;
  plan_ = std::move(next->plan);
  serving_ = next->built.get();
  configure_log(plan_, settings_);
  loop_.refresh_clock();
  const int64_t begun_us = loop_.now_us();
  service_.commit(std::move(next->built), generation, std::exchange(sockets_, {}));
  loop_.refresh_clock();
  log::debug("committed", {{"slot", context_.slot}, {"generation", generation}, {"us", loop_.now_us() - begun_us}});
  processes_->set_generation(generation);
  trim_.configuration_changed();
  channel_.send(report_committed, Pack().number(generation).bytes());
}

void Worker::abort(uint64_t generation) {
  if (wanted_ != generation) return;
  wanted_ = 0;
  if (prepared_ == nullptr) return;
  Prepared* dropped = prepared_.release();
  helper_.run([dropped] { std::unique_ptr<Prepared> freed(dropped); }, {});
}

void Worker::drain(int64_t grace_ms) {
  if (!draining_) log::debug("draining", {{"slot", context_.slot}});
  draining_ = true;
  orphan_.stop();
  overdue_.start(grace_ms + slack_ms);  // whatever does not leave when it is asked is left behind
  if (serving_ == nullptr) return leave(0);
  service_.drain(grace_ms, [this] { leave(0); });
  process::set_title(process_name(context_.slot) + " (leaving)");  // it accepts nothing more from here on
}

void Worker::answer(Unpack& question) {
  const uint64_t number = question.number();
  const std::string what = question.text();
  const bool json = question.number() != 0;
  Result<int> text = memory_file(serving_ == nullptr ? std::string() : service_.query(*serving_, *context_.slab, what, json));
  if (!text) return;
  channel_.send(report_answer, Pack().number(number).bytes(), {*text});
  ::close(*text);
}

void Worker::leave(int code) {
  exit_code_ = code;
  loop_.stop();
}

void worker_main(const Settings& settings, Service& service, Slab& slab, pid_t master, int channel, int slot,
                 const std::function<void(Worker&)>& begun) {
  process::set_title(process_name(slot));
  if (Result<void> dropped = sandbox::give_up_rights(settings.identity); !dropped) {
    log::error(dropped.error().text);
    ::_exit(1);
  }
  process::last_alarm_after(master, last_alarm_s);
  if (const sandbox::State held = sandbox::state_of(::getpid()); held.capabilities || !held.no_new_privileges) {
    log::warn("a process keeps rights that it should not have", {{"slot", slot}, {"sandbox", sandbox::describe(held)}});
  }
  if (Result<void> filtered = settings.sandbox ? sandbox::filter_calls() : Result<void>(); !filtered && filtered.error().code != Code::invalid) {
    log::warn("no system call filter", {{"slot", slot}, {"error", filtered.error().text}});
  }
  log::start_thread();
  Worker worker(settings, service, slab, channel, slot);
  if (begun) begun(worker);
  const int code = worker.run();
  log::stop_thread();
  report_leaks();
  ::_exit(code);  // the service and its connections end with the process
}

}  // namespace goma::core
