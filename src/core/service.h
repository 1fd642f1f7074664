// SPDX-License-Identifier: Apache-2.0
//
// The whole joint between the process family (core) and what it serves (http). Core forks, signals and swaps
// configurations; a Service builds a site, serves it and drains. main.cc hands one to the other.
//
// Life in a worker: start() once, then commit() for every generation, then drain(). build() is pure and may run on
// the helper thread, in the loader and in the manager; everything else runs on the loop.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/deadline.h"
#include "core/loop.h"
#include "core/ocsp.h"
#include "core/problem.h"
#include "core/redis_settings.h"
#include "core/source.h"

namespace goma::core {

class Slab;       // core/slab.h
class Metrics;    // core/metric.h
class Helper;     // core/helper.h
class ProcessTable;  // core/slab.h

// A time that does not come: a century.
inline constexpr int64_t never_ms = int64_t{1000} * 3600 * 24 * 36525;

// A built configuration as core sees it: something to hand back and to free.
class Built {
 public:
  virtual ~Built() = default;
};

// What the master must do for a configuration; made from a site by the loader.
struct Plan {
  struct Address {
    // As written: "127.0.0.1:8080", "[::]:80", "unix:web.sock"; the identity of the listener over reloads. With "tcp:" in
    // front connections are shown before their first bytes, with "udp:" it is a datagram socket.
    std::string text;
    std::string place;  // "goma.yml:5:16 (gateway.entryPoints.web.address)", for messages
    Place at{};         // the same for findings; stays in the process that read the file
  };
  std::vector<Address> addresses;
  std::string log_level = "error";   // trace debug info warn error off
  std::string log_format = "text";   // text json
  std::string log_file;              // "" = standard output and error
  Place log_place;                   // of its key; stays in the process that read the file
  int log_max_size_mb = 100;
  int log_max_backups = 3;
  int log_max_age_days = 7;
  std::vector<std::string> watch;    // directories whose changes mean reload
  std::vector<std::string> certificates;  // files and directories whose changes mean that only they are read anew
  uint64_t limit_zone_bytes = uint64_t{16} << 20;
  uint64_t routes = 0;
  uint64_t middlewares = 0;
  int64_t silence_ms = 5'000;        // after which a worker or the manager is replaced; 0: never
  int64_t drain_ms = 30'000;         // grace for long exchanges on a graceful stop; 0 = none, never_ms = no end to it
  // name -> digest of what it says (core/meaning): tells what a reload changed.
  using Marks = std::map<std::string, uint64_t>;
  Marks route_marks, middleware_marks;
  std::string summary;               // what `goma -T` prints: the effective configuration
};

// A listening socket handed to a worker. Every commit brings fresh descriptors, also of sockets that stay; the service
// owns them and closes them with the next commit or when it drains.
struct Listening {
  std::string text;  // Plan::Address::text
  int fd = -1;
};

// What a worker (or the manager) gives the service it runs. Lives as long as the process.
struct Context {
  Loop* loop = nullptr;
  DeadlineWheel* wheel = nullptr;
  Slab* slab = nullptr;
  Metrics* metrics = nullptr;  // this process's stripe
  Helper* helper = nullptr;
  ProcessTable* processes = nullptr;  // set_status(last request line) on it is what a crash report shows
  int slot = 0;                // worker number; -1 in the manager
  std::string prefix;          // where relative paths start
};

class Service {
 public:
  virtual ~Service() = default;

  // Reads the configuration at `path` through the source. Null when problems has errors. Pure: no descriptors, no
  // shared state; safe on any thread.
  virtual std::unique_ptr<Built> build(Source& source, const std::string& path, Problems& problems) const = 0;
  virtual Plan plan(const Built& built) const = 0;
  // Answers an operator's question about a built configuration: what is "routes", "backends" or "config"; text for
  // people or JSON. What the workers know of it is in the slab. An empty text means that the question is unknown.
  virtual std::string query(const Built& built, Slab& slab, const std::string& what, bool json) const = 0;
  // The Redis that hosts share; null: none. Pure.
  virtual std::shared_ptr<const RedisSettings> redis(const Built& built) const = 0;
  // The certificates for which OCSP responses are to be fetched. Pure.
  virtual std::vector<OcspQuestion> to_staple(const Built& built) const = 0;

  virtual void start(Context& context) = 0;
  // New exchanges use this site from now on. `listening` is the complete list of sockets to accept on; those
  // of the commit before are accepted empty and closed.
  virtual void commit(std::unique_ptr<Built> built, uint64_t generation, std::vector<Listening> listening) = 0;
  // Stops accepting, finishes exchanges, asks long ones to leave after grace_ms (0 = at once, never_ms = never), then calls
  // done once. Again with another grace: that one holds, from now on.
  virtual void drain(int64_t grace_ms, std::function<void()> done) = 0;
  // The log file was moved: open it again.
  virtual void reopen_logs() = 0;
  // One line about what the worker does right now (last request line), for the master's crash report. Kept in
  // memory shared with the master: must point into the slab or be copied there by the caller every turn it changes.
  virtual std::string status() const = 0;
};

}  // namespace goma::core
