// SPDX-License-Identifier: Apache-2.0
//
// Times are of the monotonic clock, which stands still while the machine is suspended.
#include "core/heartbeat.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstdio>

#include "core/log.h"
#include "core/process.h"
#include "core/text.h"

namespace goma::core {

namespace {

constexpr int64_t usual_ms = 1'000;      // between two looks
constexpr int64_t tolerated_ms = 20;     // by which a look is not late
constexpr int64_t without_beat_ms = 30'000;  // for who begins or ends, and has no entry
constexpr int64_t rest_ms = 1'000;       // between two that are given up
constexpr int64_t dying_ms = 1'000;      // after which it is killed
constexpr int64_t dumping_ms = 30'000;   // the same when it has left its stack: it may be writing a core

std::string of_process(pid_t pid, std::string_view what) {
  std::string text = process::read_small_file(fmt::format("/proc/{}/{}", pid, what));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

// The value of a line of /proc/PID/status.
std::string_view status_value(std::string_view status, std::string_view name) {
  for (std::string_view line : split(status, '\n')) {
    if (line.starts_with(name)) return trim(line.substr(name.size()));
  }
  return {};
}

// "a+0x1/0x2 < b+0x3/0x4": the kernel's side of the stack, one line for many.
std::string one_line(const std::string& kernel_stack) {
  std::string text;
  for (std::string_view line : split(kernel_stack, '\n')) {
    const size_t bracket = line.find("] ");
    if (bracket != std::string_view::npos) text.append(text.empty() ? "" : " < ").append(line.substr(bracket + 2));
  }
  return text;
}

}  // namespace

Heartbeat::Heartbeat(Loop& loop, Family& family, Metrics& metrics) : loop_(loop), family_(family), metrics_(metrics) {
  metrics_.describe("goma_worker_hangs_total", Metrics::Kind::counter, "Processes that were replaced because they were silent.");
  metrics_.describe("goma_worker_lag_milliseconds", Metrics::Kind::gauge, "Since the loop of a process turned last, every second; up to 250 is nothing.");
  hangs_ = metrics_.counter("goma_worker_hangs_total");
  timer_.bind<&Heartbeat::look>(loop_, this);
  due_ms_ = loop_.now_ms() + usual_ms;
  timer_.start(usual_ms);
}

void Heartbeat::allow(int64_t limit_ms) { limit_ms_ = limit_ms; }

void Heartbeat::look() {
  const int64_t now = loop_.now_ms();
  const int64_t late_before = late_ms_;
  if (now - due_ms_ > tolerated_ms) late_ms_ += now - due_ms_;
  next_ms_ = now + usual_ms;
  worst_ = nullptr;
  worst_ms_ = 0;
  for (const Metrics::Cell& cell : lags_) metrics_.set(cell, 0);
  family_.each([&](Child& child) { look_at(child, late_before); });
  if (worst_ != nullptr) judge(*worst_);
  std::erase_if(watches_, [](const auto& entry) { return !entry.second.present; });
  for (auto& [pid, watch] : watches_) watch.present = false;
  loop_.refresh_clock();
  due_ms_ = std::max(next_ms_, loop_.now_ms());
  timer_.start(due_ms_ - loop_.now_ms());
}

void Heartbeat::look_at(Child& child, int64_t late_before) {
  const int64_t now = loop_.now_ms();
  Watch& watch = watches_[child.pid];
  watch.present = true;
  if (watch.given_up_ms != 0) return finish(child, watch);
  const std::optional<int64_t> beat = family_.beat_ms(child);
  if (beat ? !watch.beats || watch.beat_ms != *beat : watch.beats || watch.beat_ms == 0) {
    watch = Watch();
    watch.beat_ms = beat.value_or(now);
    watch.beats = beat.has_value();
    watch.late_ms = late_before;
    watch.present = true;
  }
  const int64_t lag = std::max<int64_t>(now - watch.beat_ms, 0);
  if (watch.beats) show(child, lag);
  child.longest_lag_ms = std::max(child.longest_lag_ms, watch.beats ? lag : 0);
  if (limit_ms_ == 0 || lag < std::min(usual_ms, limit_ms_ / 2)) return;
  const int64_t limit = watch.beats ? limit_ms_ : std::max(limit_ms_, without_beat_ms);
  const int64_t silence = own_silence(child, watch);
  if (silence >= limit && silence > worst_ms_) {
    worst_ = &child;
    worst_ms_ = silence;
  }
  next_ms_ = std::min(next_ms_, silence >= limit ? std::max(now + interval_ms, resting_ms_) : now + limit - silence);
}

// What it did not spend on waiting for others.
int64_t Heartbeat::own_silence(const Child& child, Watch& watch) {
  return loop_.now_ms() - watch.beat_ms - (late_ms_ - watch.late_ms) - waited_ms(child, watch);
}

// For a processor, since it became suspect. The kernel counts a wait when it ends, so who is ready and does not run waits.
int64_t Heartbeat::waited_ms(const Child& child, Watch& watch) {
  const int64_t now = loop_.now_ms();
  unsigned long long ran = 0, waited = 0;
  const bool known = std::sscanf(of_process(child.pid, "schedstat").c_str(), "%llu %llu", &ran, &waited) == 2;
  if (!known) return 0;  // a kernel that does not count
  if (!std::exchange(watch.suspect, true)) {
    watch.waited_ns = waited;
    watch.ran_ms = now;
  }
  if (std::exchange(watch.ran_ns, ran) != ran) watch.ran_ms = now;
  const int64_t waiting = process::state_of(child.pid) == 'R' ? now - watch.ran_ms : 0;
  return static_cast<int64_t>((waited - watch.waited_ns) / 1'000'000) + waiting;
}

void Heartbeat::judge(Child& child) {
  const int64_t now = loop_.now_ms();
  if (now < resting_ms_) return;
  Watch& watch = watches_[child.pid];
  const std::string status = of_process(child.pid, "status");
  if (const std::string_view tracer = status_value(status, "TracerPid:"); !tracer.empty() && tracer != "0") {
    if (!std::exchange(watch.spared, true)) log::warn("a silent process is left alone: a debugger has it", {{"child", child.name()}, {"pid", child.pid}, {"debugger", tracer}});
    watch.late_ms = late_ms_ - (now - watch.beat_ms);  // once it is let go it has all the time again
    return;
  }
  give_up(child, watch);
}

void Heartbeat::give_up(Child& child, Watch& watch) {
  const std::string status = of_process(child.pid, "status");
  const std::string_view state = status_value(status, "State:");
  log::error("a process is silent and is replaced",
             {{"child", child.name()}, {"pid", child.pid}, {"silent_ms", loop_.now_ms() - watch.beat_ms}, {"state", state}, {"wchan", of_process(child.pid, "wchan")},
              {"syscall", of_process(child.pid, "syscall")}, {"kernel_stack", one_line(of_process(child.pid, "stack"))}, {"last_request", family_.last_request(child)}});
  metrics_.add(hangs_);
  watch.given_up_ms = loop_.now_ms();
  resting_ms_ = watch.given_up_ms + rest_ms;
  const bool can_speak = !state.starts_with('T') && !state.starts_with('t');
  ::kill(child.pid, can_speak ? SIGABRT : SIGKILL);
  family_.replace(child);
}

// Whoever was told to die has time to leave its stack, and then as much more as a core takes.
void Heartbeat::finish(const Child& child, const Watch& watch) {
  const int64_t patience = family_.has_left_stack(child) ? dumping_ms : dying_ms;
  if (loop_.now_ms() - watch.given_up_ms >= patience) ::kill(child.pid, SIGKILL);
}

void Heartbeat::show(const Child& child, int64_t lag_ms) {
  const auto index = static_cast<size_t>(child.slot + 1);
  if (child.state == Child::State::leaving) return;
  while (lags_.size() <= index) {
    const std::string name = lags_.empty() ? "manager" : std::to_string(lags_.size() - 1);
    lags_.push_back(metrics_.gauge("goma_worker_lag_milliseconds", metric_labels({{"worker", name}})));
  }
  metrics_.set(lags_[index], lag_ms);
}

}  // namespace goma::core
