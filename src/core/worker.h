// SPDX-License-Identifier: Apache-2.0
//
// The life of a child that serves: start, prepare and commit generations, drain, exit. Workers and the manager live
// it alike; the manager only brings another Service.
//
//   starting   waits for its first commit
//   serving    has a site
//   draining   finishes what it has, then exits
//
// A child whose master was killed serves on for a moment, so that a new master finds it at work and lets it drain (QUIT); then it
// drains by itself, for a time that has an end. Where another master serves already, it drains at once. If its loop hangs,
// the kernel ends it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/channel.h"
#include "core/deadline.h"
#include "core/helper.h"
#include "core/loop.h"
#include "core/metric.h"
#include "core/pack.h"
#include "core/service.h"
#include "core/settings.h"
#include "core/slab.h"
#include "core/trim.h"

namespace goma::core {

class Worker {
 public:
  static constexpr int64_t orphan_ms = 5'000;         // how long it waits for a new master
  static constexpr int64_t orphan_grace_ms = 30'000;  // its grace then, at most

  // Takes the descriptor of its channel. The references must outlive it; slot -1 is the manager.
  Worker(const Settings& settings, Service& service, Slab& slab, int channel, int slot);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Serves until it is told to leave; returns the exit code.
  int run();

  // For the manager's service: asks the master.
  void want_rotate();
  // The parts of the plan that concern a child, of the generation it commits or serves.
  const Plan& plan() const { return plan_; }

 private:
  struct Prepared {
    uint64_t generation = 0;
    std::unique_ptr<Built> built;
    Plan plan;
    std::string problems;
  };

  void on_message(Message& message);
  void on_closed();
  void on_orphan();
  void on_signal(int number);
  void on_second();
  void on_beat();
  void take_sockets(Message& message);
  void prepare(Unpack& order, int bundle);
  void built(std::unique_ptr<Prepared> prepared);
  void commit(uint64_t generation);
  void abort(uint64_t generation);
  void drain(int64_t grace_ms);
  void answer(Unpack& question);
  void drop_sockets();
  void leave(int code);

  const Settings& settings_;
  Service& service_;
  Loop loop_;
  DeadlineWheel wheel_{loop_};
  Helper helper_{loop_};
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<ProcessTable> processes_;
  Context context_;
  Channel channel_;
  Signal quit_, terminate_, interrupt_, hangup_, user1_, user2_, window_;
  Timer second_, overdue_, beat_, orphan_;
  int64_t orphan_grace_ = orphan_grace_ms;
  std::vector<Listening> sockets_;  // come with the next commit
  uint64_t wanted_ = 0;             // the generation being built or prepared
  std::unique_ptr<Prepared> prepared_;
  const Built* serving_ = nullptr;  // owned by the service
  Plan plan_;
  Metrics::Cell dropped_, failed_;
  uint64_t dropped_told_ = 0, failed_told_ = 0;
  Trim trim_{loop_, helper_};
  bool draining_ = false;
  int exit_code_ = 0;
};

// Applies the log options of a plan to this process. Relative files start at the prefix of the settings.
void configure_log(const Plan& plan, const Settings& settings);

// The whole life of a child that this master forked: title, user, service, exit. `begun` sees the worker before it runs. Never returns.
[[noreturn]] void worker_main(const Settings& settings, Service& service, Slab& slab, pid_t master, int channel, int slot,
                              const std::function<void(Worker&)>& begun = {});

}  // namespace goma::core
