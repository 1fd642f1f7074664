// SPDX-License-Identifier: Apache-2.0
//
// One TCP connection carried to a target as it is: connect, then move bytes both ways until both sides have ended.
//
//   waiting     the owner still looks at the first bytes (in the kernel's buffer; nothing is taken)
//   connecting  one target after another, one address after another
//   moving      each direction for itself; an end of one is passed on and leaves the other open
//   over        both descriptors are closed; the owner has been told, once
//
// The one idea: a direction reads only when the other side has taken everything, so a relay never holds more than one
// block or one pipe. A direction whose reads fill the block goes by splice, one whose splices are small goes by copy:
// the sizes of the messages themselves say which is cheaper.
//
// A side that was reset resets the other: nobody takes a cut message for a whole one.
#pragma once

#include <cstdint>
#include <string>

#include "core/deadline.h"
#include "core/list.h"
#include "core/metric.h"
#include "core/resolver.h"
#include "core/stream.h"

namespace goma::core {

class TcpRelay;
class TcpRelays;

// A host and port to connect to; as written, and taken apart.
struct RelayTarget {
  std::string text;
  std::string host;
  uint16_t port = 0;
};

class TcpRelayOwner {
 public:
  virtual ~TcpRelayOwner() = default;
  // waiting: something has come from the client, it has ended, or (overdue) the limit has passed. Look with MSG_PEEK,
  // then connect(), end(), or wait for more.
  virtual void on_client_bytes(TcpRelay& relay, bool overdue) = 0;
  // The target to try next; null: there is none left. Must live until the next call or the end.
  virtual const RelayTarget* next_target(TcpRelay& relay) = 0;
  // The target could not be reached: "refused", "timeout", "resolve", "descriptors" or "unreachable".
  virtual void on_target_failed(TcpRelay& relay, std::string_view reason) = 0;
  // What a fresh connection to a target begins with; may be empty.
  virtual std::string opening(TcpRelay& relay) = 0;
  // It is over. Do not destroy the relay on this stack.
  virtual void on_relay_over(TcpRelay& relay) = 0;
};

class TcpRelay {
 public:
  enum class End : unsigned char {
    none,
    complete,     // both sides have ended
    client_lost,  // the client's connection broke
    target_lost,  // the target's did
    unreachable,  // no target could be connected
    idle,         // nothing moved for too long
    refused,      // by the owner, before a target was asked
    stopped,      // by the owner, at any time
  };
  static std::string_view name(End end);

  struct Options {
    int64_t connect_ms = 10'000;  // per target
    int64_t idle_ms = 0;          // 0: none
    Metrics::Cell from_client;    // bytes
    Metrics::Cell from_target;
  };

  TcpRelay(TcpRelays& shared, TcpRelayOwner& owner, const Options& options);
  TcpRelay(const TcpRelay&) = delete;
  TcpRelay& operator=(const TcpRelay&) = delete;

  // Takes a client's connection and waits for its first bytes, at most so long (0: for ever).
  void wait_for_client(int fd, int64_t limit_ms);
  // Takes a client's connection and connects.
  void open(int fd);
  // Requires: waiting.
  void connect();
  // Ends it now; harmless when it is over.
  void end(End how);

  int client_fd() const { return client_.fd(); }
  bool client_closed() const { return client_.peer_closed(); }
  bool is_over() const { return state_ == State::over; }
  End how() const { return how_; }
  uint64_t from_client() const { return client_.received(); }
  uint64_t from_target() const { return target_.received(); }

  ListHook turn_hook;   // both in TcpRelays
  ListHook check_hook;

 private:
  enum class State : unsigned char { waiting, connecting, moving, over };

  // One direction.
  struct Way {
    Stream& from;
    Stream& to;
    Metrics::Cell bytes;
    End from_lost;
    End to_lost;
    bool ended = false;  // the sender has, and the receiver knows
    bool bulk = false;   // goes by splice
  };

  void on_client(unsigned ready);
  void on_target(unsigned ready);
  void on_deadline();
  void on_resolved(const Result<Resolver::Addresses>& addresses);
  void try_target();
  void try_address();
  void target_failed(std::string_view reason);
  void connect_done(unsigned ready);
  void serve(Way& from_it, Way& to_it, unsigned ready);
  bool pump(Way& way);
  bool move_some(Way& way);
  Stream::Read copy_some(Way& way);
  Stream::Read splice_some(Way& way);
  void sender_ended(Way& way);
  void want_turn();
  void want_check();
  void proceed();
  friend class TcpRelays;

  TcpRelays& shared_;
  TcpRelayOwner& owner_;
  Options options_;
  Stream client_;
  Stream target_;
  Way up_;
  Way down_;
  Deadline deadline_;
  Resolver::Lookup lookup_;
  Resolver::Addresses addresses_;
  size_t next_address_ = 0;
  State state_ = State::waiting;
  End how_ = End::none;
};

// What the relays of one loop share. A relay that has moved a lot in a row waits here for its next turn, so that
// others are served in between. One whose last read was short is looked at once more a moment later: a reset that came
// with the bytes has no event of its own, and asking the kernel after every message costs more than it is worth.
class TcpRelays {
 public:
  TcpRelays(Loop& l, DeadlineWheel& w, Buffers& b, Resolver& r, Metrics& m);

  Loop& loop;
  DeadlineWheel& wheel;
  Buffers& buffers;
  Resolver& resolver;
  Metrics& metrics;

 private:
  friend class TcpRelay;
  void take_turns();
  void check();
  Timer next_turn_;
  Timer next_check_;
  List<TcpRelay, &TcpRelay::turn_hook> hungry_;
  List<TcpRelay, &TcpRelay::check_hook> unchecked_;
};

}  // namespace goma::core
