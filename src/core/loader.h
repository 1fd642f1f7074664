// SPDX-License-Identifier: Apache-2.0
//
// The short-lived child behind every load. It reads the configuration and everything it names as the master's user,
// builds a site to prove that it works, and hands back the bundle and the plan, or the problems. A crash in a parser
// costs a reload, not the master.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>

#include "core/channel.h"
#include "core/loop.h"
#include "core/pack.h"
#include "core/service.h"
#include "core/settings.h"
#include "core/socket.h"

namespace goma::core {

// Starts a child that runs the body and ends; the listed descriptors stay open in it. Returns its pid, -1 with errno.
using Fork = std::function<pid_t(const std::vector<int>& keep, const std::function<void()>& body)>;

// The states of what is watched, as it was read; nothing where it has changed meanwhile (core/file_look.h).
struct Seen {
  std::optional<uint64_t> certificates, directories;
};

// What a load came to.
struct Loaded {
  bool ok = false;
  int code = 0;               // 0; 78 the configuration is wrong; 1 a start would fail on this machine
  Descriptor bundle;          // when ok
  Plan plan;                  // when ok
  Seen seen;                  // when ok
  std::string problems;       // for people; warnings may accompany success
  std::string problems_json;  // the same as a JSON array
  std::string summary;        // "goma: FILE: 2 errors, 1 warning"
};

// What serves while a load is made. What was there must not be lost because something cannot be read for a moment, or by
// a file that was cut.
struct Serving {
  int bundle = -1;                 // -1: nothing serves yet
  uint64_t routes = 0;
  bool may_be_less = false;        // somebody said that what is missing is meant to be
  bool renew = false;              // only these files and directories are read anew; the rest is as in the bundle
  std::vector<std::string> paths;

  bool renews(std::string_view path) const;
};

// A plan as it travels between processes.
void pack_plan(Pack& pack, const Plan& plan);
Plan unpack_plan(Unpack& from);

// Holds a plan against the machine; adds findings and returns the exit code that they mean.
using Trial = std::function<int(const Plan& plan, Problems& problems)>;

// Reads, builds and plans through this source, and tries the plan if it is right; the part of a load that needs no
// process. The bundle is not sealed.
Loaded load(const Service& service, Source& source, const std::string& config, bool strict, const Trial& trial = {}, const Serving& serving = {});

class Loader {
 public:
  static constexpr int64_t patience_ms = 60'000;

  Loader() = default;
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;
  ~Loader();

  // Forks the child. Calls done once, later. Requires: not running.
  void start(Loop& loop, const Fork& fork, const Service& service, const Settings& settings, const Trial& trial, std::function<void(Loaded)> done,
             const Serving& serving = {});
  bool running() const { return pid_ > 0; }
  // Ends a load that nobody wants any more; done is not called.
  void cancel();
  // The child with this pid has ended with this wait status. False when it is not ours.
  bool reaped(pid_t pid, int status);

 private:
  void on_message(Message& message);
  void on_closed() {}
  void on_overdue();
  void finish(Loaded loaded);

  Channel channel_;
  Timer overdue_;
  pid_t pid_ = -1;
  std::function<void(Loaded)> done_;
};

}  // namespace goma::core
