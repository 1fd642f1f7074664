// SPDX-License-Identifier: Apache-2.0
//
// A client's connection, whatever it speaks, as the server sees it: something to admit, to rank when slots run out,
// to drain and to cut. A Greeting (http/greeting.h) comes first where TLS, PROXY protocol or a choice of HTTP versions
// must be settled; H1Server and H2Server follow it, or begin at once.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/list.h"
#include "core/socket.h"

namespace goma::http {

class ClientConnection {
 public:
  enum class Phase : unsigned char {
    busy,     // something is under way and does not depend on the client alone
    idle,     // nothing is under way; may be closed at any time
    waiting,  // the gateway waits for the client: for bytes of it, or for it to take some
    closed,
  };

  virtual ~ClientConnection() = default;
  virtual Phase phase() const = 0;
  // Since when it waits (Loop::now_ms), and how many bytes have moved since. Requires: Phase::waiting.
  virtual int64_t waiting_since_ms() const = 0;
  virtual uint64_t progress() const = 0;
  // Asks it to end: what is under way is finished, the client is told. abruptly: an idle one closes at once.
  virtual void drain(bool abruptly) = 0;
  // The time for finishing is over. Where the protocol has a word for that it is said, and shed follows; else cuts.
  virtual void say_goodbye() { shed(); }
  // Cuts it, whatever it is doing.
  virtual void shed() = 0;

  // The server's: under which address it is counted; 0: under none.
  uint64_t address_key = 0;
  core::ListHook hook;        // all connections of the server
  core::ListHook phase_hook;  // idle ones, or those that wait for the client
};

class Greeting;

// Who owns client connections.
class ConnectionOwner {
 public:
  virtual ~ConnectionOwner() = default;
  // Its phase changed.
  virtual void on_connection_phase(ClientConnection& connection) = 0;
  // Destroy it after the current callback.
  virtual void on_connection_closed(ClientConnection& connection) = 0;
  // Its stream is ready for HTTP: let the right protocol take over, then destroy it after the current callback.
  virtual void on_connection_greeted(Greeting& greeting) = 0;
  // Whether another handshake may be computed in this turn of the loop; else `then` is called in a later one.
  virtual bool may_handshake(Greeting& greeting) = 0;
};

}  // namespace goma::http
