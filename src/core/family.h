// SPDX-License-Identifier: Apache-2.0
//
// The master's children that serve: one worker per slot and one manager. Spawns them, speaks to them, restarts who
// dies, and brings everybody to the current generation. What generation that is, and when it changes, is decided by
// the Change; what the family learns goes to its listener.
//
//   down       no process; a restart may be on its way (back-off)
//   starting   forked, has not committed a generation
//   serving    has committed one
//   leaving    drains; its slot may have a new process already
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/channel.h"
#include "core/listener.h"
#include "core/loader.h"
#include "core/loop.h"
#include "core/metric.h"
#include "core/service.h"
#include "core/slab.h"
#include "core/socket.h"

namespace goma::core {

// One configuration that serves or is about to.
struct Generation {
  uint64_t number = 0;  // 0: none yet
  Descriptor bundle;
  Plan plan;
  Seen seen;
  int workers = 0;
  int64_t loaded_s = 0;  // wall clock
};

class Child;

// Who listens to the family: the master.
class FamilyListener {
 public:
  virtual ~FamilyListener() = default;
  virtual void on_ready(Child& child, uint64_t generation) = 0;
  virtual void on_failed(Child& child, uint64_t generation, const std::string& reason) = 0;
  virtual void on_committed(Child& child, uint64_t generation) = 0;
  virtual void on_gone(Child& child) = 0;  // it ended, wanted or not
  virtual void on_answer(uint64_t question, const std::string& text) = 0;
  virtual void on_want_rotate() = 0;
  virtual void on_family_changed() = 0;  // pids changed: the state file is stale
};

// Starts the process of a child: runs worker_main or manager_main with this channel and slot.
using ChildMain = std::function<void(int channel, int slot)>;

class Family;

class Child {
 public:
  enum class State { down, starting, serving, leaving };
  static constexpr int manager_slot = -1;

  Child(Family& family, int number) : slot(number), family_(family) {}

  const int slot;
  pid_t pid = -1;
  uint64_t start_time = 0;
  State state = State::down;
  uint64_t generation = 0;  // committed
  uint64_t asked = 0;       // generation it was told to prepare
  uint64_t ready = 0;       // generation it has prepared
  uint64_t restarts = 0;
  int64_t started_ms = 0;
  int64_t longest_lag_ms = 0;  // between two turns of its loop, as far as it was looked at

  bool is_manager() const { return slot == manager_slot; }
  bool alive() const { return pid > 0; }
  std::string name() const;
  Channel& channel() { return channel_; }

 private:
  friend class Family;
  void on_message(Message& message);
  void on_closed() {}
  void on_respawn();

  Family& family_;
  Channel channel_;
  Timer respawn_;
  int64_t spent_ = 0;  // restarts not yet earned back
};

class Family {
 public:
  Family(Loop& loop, Listeners& listeners, Slab& slab, Metrics& metrics, FamilyListener& listener);
  Family(const Family&) = delete;
  Family& operator=(const Family&) = delete;
  ~Family();

  void set_entry(Fork fork, ChildMain main);
  // Makes sure that slots 0..workers-1 and the manager have a process.
  void spawn(int workers);
  // Makes what is shared by all of them in the sizes of this plan; what is there already keeps its size, and that is told.
  void make_zones(const Plan& plan);
  // Tells a child to prepare this generation.
  void prepare(Child& child, const Generation& generation);
  // Hands a child the sockets it serves in this generation, and tells it to switch.
  void commit(Child& child, const Generation& generation);
  void abort(uint64_t generation);
  // What serves from now on: who restarts comes up with it; slots beyond its workers leave.
  void set_current(const Generation* generation);
  // Workers stop accepting, finish and end; nobody restarts. The manager ends too when told.
  void drain_workers(int64_t grace_ms);
  void drain_all(int64_t grace_ms);
  void kill_all();
  void reopen_logs();
  // Asks the manager; false when it cannot be asked now.
  bool ask(uint64_t question, const std::string& what, bool json);
  // A process has ended. False when it is none of ours.
  bool reaped(pid_t pid, int status);
  // Gives the place of a serving child that was told to die to a fresh process; the old one leaves, whenever it does. Who
  // does not serve yet or leaves already has no place to give.
  void replace(Child& child);
  // What it has left in the process table: when its loop turned last (monotonic clock), nothing when it has no entry;
  // whether it was aborted; its last request.
  std::optional<int64_t> beat_ms(const Child& child) const;
  bool has_left_stack(const Child& child) const;
  std::string last_request(const Child& child) const { return processes_->status_of(child.pid); }

  Child& manager() { return *manager_; }
  const Child& manager() const { return *manager_; }
  const std::vector<std::unique_ptr<Child>>& workers() const { return workers_; }
  // Calls visit(Child&) for each living process, leaving ones included.
  void each(const std::function<void(Child&)>& visit) const;
  size_t alive() const;

 private:
  friend class Child;
  void start(Child& child);
  void message(Child& child, Message& message);
  void settle(Child& child);
  void retire(std::unique_ptr<Child>& place, int64_t grace_ms);
  void tell_death(const Child& child, int status);
  void schedule(Child& child);
  void forget(pid_t pid);
  bool has(const Child* child) const;

  Loop& loop_;
  Listeners& listeners_;
  Slab& slab_;
  Metrics& metrics_;
  FamilyListener& listener_;
  Fork fork_;
  ChildMain main_;
  std::unique_ptr<ProcessTable> processes_;
  const Generation* current_ = nullptr;
  std::vector<std::unique_ptr<Child>> workers_;
  std::unique_ptr<Child> manager_;
  std::vector<std::unique_ptr<Child>> leaving_;
  bool closing_ = false;  // nobody restarts
  Metrics::Cell restarts_;
};

}  // namespace goma::core
