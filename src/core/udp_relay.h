// SPDX-License-Identifier: Apache-2.0
//
// A UDP port carried to a target: every client address gets a session, a socket connected to the target; what comes
// back on it goes to the client from the very address it had asked. Datagrams of any size pass whole, and one for one.
//
// The one idea: sessions stand in a list by their last datagram. Its front is who is idle, and who goes when the table
// is full.
//
// Nothing is ever queued but the first datagrams of a session whose target's name is being looked up; what a socket
// does not take at once is dropped and counted, as UDP has it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/deadline.h"
#include "core/list.h"
#include "core/metric.h"
#include "core/resolver.h"
#include "core/tcp_relay.h"

namespace goma::core {

class UdpRelayOwner {
 public:
  enum class End : unsigned char {
    idle,         // no datagram for too long
    evicted,      // the table was full and it the quietest
    refused,      // the target said so (ICMP)
    unreachable,  // no target, no address, no descriptor
    stopped,
  };
  // What a session was.
  struct Facts {
    Address client;
    const RelayTarget* target = nullptr;
    uint64_t from_client = 0;
    uint64_t from_target = 0;
    int64_t took_ms = 0;
    End end = End::stopped;
  };

  virtual ~UdpRelayOwner() = default;
  // A session begins; its target, or null. The target must outlive the session: the owner keeps it through `keep`.
  virtual const RelayTarget* on_session_begun(std::shared_ptr<const void>& keep) = 0;
  virtual void on_session_over(const Facts& facts) = 0;
  // A datagram was dropped.
  virtual void on_dropped() = 0;
};

class UdpRelay {
 public:
  struct Options {
    int64_t idle_ms = 300'000;  // 0: none
    size_t max_sessions = 1024;
    Metrics::Cell from_client;  // bytes
    Metrics::Cell from_target;
  };

  UdpRelay(TcpRelays& shared, UdpRelayOwner& owner);
  UdpRelay(const UdpRelay&) = delete;
  UdpRelay& operator=(const UdpRelay&) = delete;
  ~UdpRelay();

  void configure(const Options& options);
  // Serves these sockets of one address, which it owns, and no others. Without any, all sessions end: their answers
  // would have to leave from that address.
  void serve(const std::vector<int>& sockets);
  // The address is another relay's from now on, and this is a socket of it, which stays the caller's: what has come is passed on,
  // answers still leave, and a session that is quiet ends.
  void answer_through(int socket);
  // One of those it serves or answers through; -1: none.
  int socket() const;
  // Answers of targets still pass, datagrams of clients are left to others; a session that is quiet ends.
  void drain();
  // Ends all sessions.
  void stop();
  size_t sessions() const { return table_.size(); }

 private:
  struct Session;
  struct Batch;
  struct Socket;
  struct Key {
    Address client;
    Address local;  // the address of the machine that was asked; none when the socket has only one
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key& key) const;
  };

  void hurry();
  void receive(Socket& socket);
  void take(const Key& key, std::string_view datagram);
  Session& open_session(const Key& key);
  void send_up(Session& session, std::string_view datagram);
  void answers(Session& session);
  void end(Session& session, UdpRelayOwner::End how);
  void touch(Session& session);
  void on_deadline();
  void bury();

  TcpRelays& shared_;
  UdpRelayOwner& owner_;
  Options options_;
  std::vector<std::unique_ptr<Socket>> sockets_;
  std::unordered_map<Key, std::unique_ptr<Session>, KeyHash> table_;
  std::unique_ptr<Batch> batch_;
  struct Lists;
  std::unique_ptr<Lists> lists_;
  Deadline deadline_;
  Deferred burial_;
  bool draining_ = false;
};

}  // namespace goma::core
