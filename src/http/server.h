// SPDX-License-Identifier: Apache-2.0
//
// The service of a worker: listening sockets, client connections, and the current site. Implements core::Service, the
// joint to the process family.
//
// When all connection slots are taken, a new client is worth more than one that keeps the gateway waiting: the oldest
// idle connection goes, else the slowest sender or reader, else the new client gets 503. A descriptor is kept in
// reserve so that even without descriptors a client is answered instead of left in the queue.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/list.h"
#include "core/service.h"
#include "http/access_log.h"
#include "http/connection.h"
#include "http/peer_pool.h"
#include "http/request_id.h"
#include "http/route_metrics.h"
#include "http/runtime.h"
#include "http/site.h"

namespace goma::http {

class Server final : public core::Service, public ConnectionOwner, public RouteBinder {
 public:
  explicit Server(std::span<const ModuleInfo* const> modules);
  ~Server() override;

  std::unique_ptr<core::Built> build(core::Source& source, const std::string& path, core::Problems& problems) const override;
  core::Plan plan(const core::Built& built) const override;
  std::shared_ptr<const core::RedisSettings> redis(const core::Built& built) const override;
  std::vector<core::OcspQuestion> to_staple(const core::Built& built) const override;
  void start(core::Context& context) override;
  void commit(std::unique_ptr<core::Built> built, uint64_t generation, std::vector<core::Listening> listening) override;
  void drain(int64_t grace_ms, std::function<void()> done) override;
  void reopen_logs() override;
  std::string status() const override;
  std::string query(const core::Built& built, core::Slab& slab, const std::string& what, bool json) const override;

 private:
  struct Listener;
  struct Worker;  // what exists only while serving

  void on_connection_phase(ClientConnection& connection) override;
  void on_connection_closed(ClientConnection& connection) override;
  void on_connection_greeted(Greeting& greeting) override;
  bool may_handshake(Greeting& greeting) override;
  void bind(const Route& route) override;

  void listen(std::vector<core::Listening> listening);
  void accept_from(Listener& listener);
  bool accept_one(Listener& listener);
  void accept_all(Listener& listener);
  void part_with(std::unique_ptr<Listener> listener, const std::vector<core::Listening>& now);
  void admit(int fd, const core::Address& peer, const EntryPoint& entry);
  void end_turn();
  void take_turns();
  bool make_room();
  bool has_room();
  void hold_accepting();
  void go_on_accepting();
  void watch(Listener& listener);
  void refuse_without_descriptors(Listener& listener);
  void turn_away(int fd, const EntryPoint& entry, Refusal reason);
  bool count_address(const core::Address& peer, const EntryPoint& entry, uint64_t& key);
  void forget_address(ClientConnection& connection);
  void bury();
  void check_drained();
  void end_grace();
  size_t slots() const;
  std::function<std::string()> metrics_renderer() const;

  std::span<const ModuleInfo* const> modules_;
  std::unique_ptr<Worker> worker_;
};

}  // namespace goma::http
