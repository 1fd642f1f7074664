// SPDX-License-Identifier: Apache-2.0
//
// The child answers with one word - kept or turned - and the error behind it, if there is one.
#include "core/log_keeper.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/rotate.h"

namespace goma::core {

namespace {

constexpr std::string_view turned = "turned ", kept = "kept ";

std::string tend(const Plan& plan, const Settings& settings, bool rotate) {
  if (rotate && log_is_full(plan, settings.prefix)) {
    const Result<void> moved = rotate_log(plan, settings);
    if (!moved.ok()) return std::string(turned) + moved.error().text;
    const Result<void> made = make_log(plan, settings);
    return std::string(turned) + (made.ok() ? std::string() : made.error().text);
  }
  const Result<void> made = make_log(plan, settings);
  return std::string(kept) + (made.ok() ? std::string() : made.error().text);
}

}  // namespace

void LogKeeper::make(Loop& loop, const Fork& fork, const Plan& plan, const Settings& settings, Done done) {
  waiting_.push_back({false, std::move(done)});
  if (!aside_.running()) start(loop, fork, plan, settings);
}

void LogKeeper::rotate(Loop& loop, const Fork& fork, const Plan& plan, const Settings& settings, Done done) {
  waiting_.push_back({true, std::move(done)});
  if (!aside_.running()) start(loop, fork, plan, settings);
}

void LogKeeper::start(Loop& loop, const Fork& fork, const Plan& plan, const Settings& settings) {
  const std::vector<Waiter> mine = std::exchange(waiting_, {});
  const bool rotate = std::any_of(mine.begin(), mine.end(), [](const Waiter& waiter) { return waiter.rotate; });
  const auto work = [plan, &settings, rotate] { return tend(plan, settings, rotate); };
  aside_.start(loop, fork, "goma: log keeper", patience_ms, work, [this, &loop, fork, plan, &settings, mine](const std::optional<std::string>& outcome) {
    answer(mine, outcome ? *outcome : fmt::format("{}the disk of the log {} does not answer within {} s", turned, log_path(plan, settings.prefix), patience_ms / 1000));
    if (!waiting_.empty() && !aside_.running()) start(loop, fork, plan, settings);
  });
}

void LogKeeper::answer(const std::vector<Waiter>& waiters, const std::string& outcome) {
  const bool fresh = outcome.starts_with(turned);
  const std::string error = outcome.substr(fresh ? turned.size() : std::min(kept.size(), outcome.size()));
  for (const Waiter& waiter : waiters) {
    if (fresh || !waiter.rotate) waiter.done(error);
  }
}

}  // namespace goma::core
