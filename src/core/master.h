// SPDX-License-Identifier: Apache-2.0
//
// The master: owns the sockets, the slab and the children; turns signals and requests into changes. It never reads a
// byte of client traffic and never parses a configuration (the loader does).
//
//   starting    the first change is under way; after an upgrade, until the old master has handed over
//   serving     children serve; changes and upgrades come and go
//   resting     workers were told to leave (WINCH); the next reload brings them back
//   succeeded   a new binary has taken over; the children drain
//   stopping    children drain, then it ends
//
// Who owns the places and what an order does during an upgrade: core/upgrade.h.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/aside.h"
#include "core/change.h"
#include "core/control.h"
#include "core/family.h"
#include "core/file_watch.h"
#include "core/heartbeat.h"
#include "core/listener.h"
#include "core/log_keeper.h"
#include "core/loop.h"
#include "core/metric.h"
#include "core/orphans.h"
#include "core/predecessor.h"
#include "core/process.h"
#include "core/service.h"
#include "core/settings.h"
#include "core/slab.h"
#include "core/upgrade.h"

namespace goma::core {

class Master final : public FamilyListener, public UpgradeListener {
 public:
  // The references must outlive it. `terminal` is where start errors go; `ready_line` (or -1) is closed after one
  // byte when the start is complete, for who waits in the foreground.
  Master(Settings& settings, Service& service, int terminal, int ready_line);
  ~Master() override;
  Master(const Master&) = delete;
  Master& operator=(const Master&) = delete;

  // Lives until it is told to stop; returns the exit code.
  int run();

 private:
  enum class State { starting, serving, resting, succeeded, stopping };
  struct Waiter {
    uint64_t client;
    bool json;
  };

  // start (master.cc)
  bool set_up();
  bool make_slab();
  void open_signals();
  Fork forker();
  pid_t fork_child(const std::vector<int>& keep, const std::function<void()>& body);
  void started(const ChangeOutcome& outcome);
  void start_failed(const ChangeOutcome& outcome);
  void cannot_serve(const std::string& reason);
  void give_up(int code, const std::string& reason);
  void serve();
  void tell_starter(bool ready);
  void tell_service_manager() const;
  void say(const std::string& text) const;
  void write_state() const;

  // life (master.cc)
  void on_signal(int number);
  void reap();
  void reload(int workers, const std::string& why);
  void renew();
  void watch_files();
  void start_change();
  void reloaded(const ChangeOutcome& outcome);
  void do_what_waits();
  void reopen_logs(const LogKeeper::Done& done);
  void on_log_there(const std::string& error);
  void rest();
  void stop(bool fast);
  void drain(bool fast);
  void kill_all();
  void leave_places();
  void check_stopped();
  int64_t graceful_ms() const;
  std::vector<pid_t> friends() const;

  // upgrade, from both sides (master_upgrade.cc)
  bool may_upgrade() const;
  void start_upgrade();
  void pass_on(int number);
  void meet_predecessor();
  void on_yours();
  void on_predecessor_gone(bool settled);
  Result<void> own_places();
  void take_over();

  // requests (master_requests.cc)
  void on_request(uint64_t client, const std::vector<std::string>& words);
  void request_zones(const Waiter& waiter, bool verify);
  void zones_seen(const Waiter& waiter, bool verify, const std::optional<std::string>& seen);
  void request_reload(const Waiter& waiter, const std::vector<std::string>& options);
  void request_test(const Waiter& waiter);
  void request_upgrade(const Waiter& waiter);
  void request_stop(const Waiter& waiter, bool fast);
  void ask_manager(const Waiter& waiter, const std::string& what);
  void answer(const Waiter& waiter, int code, const std::string& text, const std::string& json_text);
  std::string state_word() const;
  std::string status(bool json) const;

  // UpgradeListener
  void on_handed(pid_t fresh, const std::string& status) override;
  void on_upgrade_failed(const std::string& reason) override;
  bool has_places(pid_t pid) const override { return pid_file_.successor() == pid; }
  void on_successor(std::string_view word) override;

  // FamilyListener
  void on_ready(Child& child, uint64_t generation) override { change_->on_ready(child, generation); }
  void on_failed(Child& child, uint64_t generation, const std::string& reason) override;
  void on_committed(Child& child, uint64_t generation) override { change_->on_committed(child, generation); }
  void on_gone(Child& child) override;
  void on_answer(uint64_t question, const std::string& text) override;
  void on_want_rotate() override;
  void on_family_changed() override { write_state(); }

  Settings& settings_;
  Service& service_;
  int terminal_;
  int ready_line_;
  State state_ = State::starting;
  int exit_code_ = 0;
  Loop loop_;
  std::array<Signal, 8> signals_;
  std::optional<Inheritance> inherited_;
  Slab slab_;
  std::unique_ptr<Metrics> metrics_;
  Metrics::Cell last_reload_;
  Listeners listeners_;
  process::PidFile pid_file_;
  bool owner_ = false;  // the places are ours
  Predecessor predecessor_;
  Orphans orphans_;
  std::unique_ptr<Family> family_;  // made by set_up, when there is a slab
  std::unique_ptr<Heartbeat> heartbeat_;
  std::unique_ptr<Change> change_;
  Loader tester_;
  LogKeeper log_keeper_;
  Aside zones_;
  std::vector<std::pair<Waiter, bool>> zones_waiters_;  // and whether they want it verified
  Upgrade upgrade_{*this};
  Control control_;
  Timer overdue_;
  int64_t started_ms_ = 0;
  bool fast_ = false;
  int64_t handed_ms_ = 0;
  int stop_wanted_ = 0;  // the signal, while the new master is taking over
  bool last_ok_ = true;
  std::string last_text_;
  int next_workers_ = 0;
  bool reload_wanted_ = false;
  bool force_wanted_ = false;  // the reload that is wanted may leave out what serves
  bool upgrade_wanted_ = false;
  std::unique_ptr<FileWatch> certificates_;
  std::unique_ptr<FileWatch> directories_;
  bool renewal_wanted_ = false;
  std::vector<Waiter> waiters_, next_waiters_, stop_waiters_, upgrade_waiters_;
  uint64_t next_question_ = 1;
  std::map<uint64_t, Waiter> questions_;
};

}  // namespace goma::core
