// SPDX-License-Identifier: Apache-2.0
//
// The pass-through ports of one worker: their listening sockets, the connections and sessions under way, what is
// counted and logged about them. The bytes are moved by core/tcp_relay and core/udp_relay; what a port means is its
// rule (http/pass_through_rule.h).
//
// The invariant: a connection keeps the rule it began with. A reload that changes a target or removes a port touches
// no TCP connection.
//
// Limits: a port that has maxConnections resets newcomers ("limit"); without descriptors accepting pauses
// ("descriptors"). Both are counted as errors of the port.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/list.h"
#include "core/parting.h"
#include "core/service.h"
#include "core/tcp_relay.h"
#include "http/pass_through_rule.h"

namespace goma::http {

class PassThrough {
 public:
  // `emptied` is called when the last connection or session ends.
  PassThrough(core::Context& context, core::Buffers& buffers, core::Resolver& resolver, std::function<void()> emptied);
  PassThrough(const PassThrough&) = delete;
  PassThrough& operator=(const PassThrough&) = delete;
  ~PassThrough();

  // Moves the sockets that belong here out of a commit's list.
  static std::vector<core::Listening> take(std::vector<core::Listening>& all);
  // From here on these sockets are served under these rules, and no others. A socket that stays comes with the
  // descriptor it had. Owns them.
  void listen(std::vector<core::Listening> sockets, const PassThroughRules& rules);
  // Nobody new; who is here stays.
  void drain();
  // Ends everything.
  void stop();
  size_t sessions() const { return sessions_; }

 private:
  struct Forward;
  struct Listener;
  class Session;

  Forward& forward_of(const std::shared_ptr<const PassThroughRule>& rule);
  void watch(Listener& listener);
  void accept_from(Listener& listener);
  bool accept_one(Listener& listener);
  void accept_all(Listener& listener);
  void part_with(std::unique_ptr<Listener> listener, const std::vector<core::Listening>& now);
  void admit(int fd, const core::Address& peer, Forward& forward);
  void go_on_accepting();
  void session_over(Session& session);
  void bury();

  core::Context& context_;
  core::TcpRelays relays_;
  std::function<void()> emptied_;
  std::unordered_map<std::string, std::unique_ptr<Forward>> forwards_;  // by address; they stay, as their series do
  std::vector<std::unique_ptr<Listener>> listeners_;
  core::Parting parting_;
  struct Lists;
  std::unique_ptr<Lists> lists_;
  core::Deferred burial_;
  core::Timer hold_;
  size_t most_sessions_;  // what descriptors allow
  size_t sessions_ = 0;
  bool draining_ = false;
};

}  // namespace goma::http
