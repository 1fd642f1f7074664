// SPDX-License-Identifier: Apache-2.0
//
// A change of configuration, in two phases; the first start is one too, so there is one way in.
//
//   idle        nothing happens
//   loading     the loader reads, builds, checks
//   preparing   new addresses are bound; every child builds the new site beside the old one
//   committing  everybody switches; new addresses listen, those that are gone are closed
//
// Invariant: until all have said ready nothing of the old generation has changed, and abort leaves no trace.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/family.h"
#include "core/listener.h"
#include "core/loader.h"
#include "core/loop.h"

namespace goma::core {

// How many are new, gone, and say something else.
struct Differences {
  size_t added = 0, removed = 0, changed = 0;
};

struct ChangeOutcome {
  bool ok = false;
  int code = 0;               // exit code: 0, 1 refused at run time, 78 the configuration is wrong
  std::string reason;         // one line, when not ok
  std::string problems;       // findings for people, warnings included
  std::string problems_json;  // the same, a JSON array
  std::string summary;        // "goma: FILE: 2 errors"
  int64_t took_ms = 0;
  Differences routes, middlewares;
};

class Change {
 public:
  static constexpr int64_t patience_ms = 30'000;
  enum class State { idle, loading, preparing, committing };

  Change(Loop& loop, Family& family, Listeners& listeners, const Service& service, const Settings& settings);
  Change(const Change&) = delete;
  Change& operator=(const Change&) = delete;

  // What is asked for.
  struct Wish {
    int workers = 0;
    bool renew = false;                 // of what serves only the certificates are read anew
    bool may_be_less = false;           // what is missing is meant to be, all routes included
    std::vector<pid_t> friends = {};    // who may hold our addresses
  };

  // Starts; done is called once, later. Requires: idle.
  void start(const Fork& fork, Wish wish, std::function<void(ChangeOutcome)> done);
  // Refuses it for this reason, if it has not been committed yet: it starts no process any more.
  void cancel(const std::string& reason);
  // The first generation gets at least this number.
  void number_from(uint64_t first) { next_number_ = first; }
  bool running() const { return state_ != State::idle; }
  // What serves, as a load has to know it.
  Serving serving() const;
  // What serves; null before the first success.
  const Generation* current() const { return current_.get(); }

  // What the master hears and passes on.
  void on_ready(Child& child, uint64_t generation);
  void on_failed(Child& child, uint64_t generation, const std::string& reason);
  void on_committed(Child& child, uint64_t generation);
  void on_gone(Child& child);
  bool reaped(pid_t pid, int status) { return loader_.reaped(pid, status); }

 private:
  void loaded(Loaded loaded);
  Result<void> bind_new();
  void prepare_all();
  void check_ready();
  void commit();
  void check_committed();
  void on_overdue();
  void refuse(int code, const std::string& reason);
  void finish();
  bool takes_part(const Child& child) const;

  Loop& loop_;
  Family& family_;
  Listeners& listeners_;
  const Service& service_;
  const Settings& settings_;
  State state_ = State::idle;
  Loader loader_;
  Timer overdue_;
  std::vector<pid_t> friends_;
  std::unique_ptr<Generation> current_;
  std::unique_ptr<Generation> next_;
  uint64_t next_number_ = 1;
  int64_t started_ms_ = 0;
  ChangeOutcome outcome_;
  std::function<void(ChangeOutcome)> done_;
};

}  // namespace goma::core
